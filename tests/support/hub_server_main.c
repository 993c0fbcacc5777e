/* hub_server DIR: serves the files below DIR (hub_server.h), prints the port, and ends by itself
 * after half an hour. */
#include "hub_server.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 256, LIFE_S = 1800 };

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), k = strlen(with);
    return n >= k && strcmp(s + n - k, with) == 0;
}

static bool load(const char *path, const char *name, hub_server_file *out)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        return false;
    long n = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)n + 1);
    bool good = data && fread(data, 1, (size_t)n, f) == (size_t)n;
    fclose(f);
    *out = (hub_server_file){.path = strdup(name),
                             .data = data,
                             .bytes = (size_t)n,
                             .in_v1 = true,
                             .lfs = ends(name, ".gguf") || ends(name, ".safetensors")};
    return good && out->path;
}

int main(int argc, char **argv)
{
    static hub_server_file files[FILES_MAX];
    size_t count = 0;
    char *roots[] = {argc > 1 ? argv[1] : NULL, NULL};
    FTS *walk = argc > 1 ? fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL) : NULL;
    if (!walk) {
        fprintf(stderr, "hub_server DIR\n");
        return 2;
    }
    for (FTSENT *e; (e = fts_read(walk)) && count < FILES_MAX;)
        if (e->fts_info == FTS_F &&
            !load(e->fts_path, e->fts_path + strlen(argv[1]) + 1, &files[count++])) {
            fprintf(stderr, "hub_server: cannot read %s\n", e->fts_path);
            return 1;
        }
    fts_close(walk);
    hub_server *s = hub_server_start(files, count, 0);
    if (!s)
        return 1;
    printf("%d\n", hub_server_port(s));
    fflush(stdout);
    sleep(LIFE_S);
    hub_server_stop(s);
    return 0;
}
