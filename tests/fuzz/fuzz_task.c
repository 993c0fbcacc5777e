// links: engine
/* What says what a model is for: sentence-transformers' files of a folder. First byte: which of
 * them the rest is. */
#include "base/io.h"
#include "engine/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MODEL HONE_SOURCE_DIR "/tests/golden/data/models/llama/"
static const char *const names[] = {"modules.json", "1_Pooling/config.json",
                                    "config_sentence_transformers.json",
                                    "sentence_bert_config.json"};
static const char modules[] = "[{\"type\":\"a.Pooling\",\"path\":\"1_Pooling\"}]";
static char dir[] = "/tmp/hone-fuzz-task-XXXXXX";
static hone_file *file;

static void remove_all(void)
{
    char command[64];
    hone_file_close(file);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        abort();
}

/* A sound folder, of which one file will be replaced. */
static void make_folder(void)
{
    char path[128];
    if (!mkdtemp(dir) || atexit(remove_all) != 0)
        abort();
    snprintf(path, sizeof path, "%s/1_Pooling", dir);
    if (mkdir(path, 0700) != 0)
        abort();
    snprintf(path, sizeof path, "%s/config.json", dir);
    if (symlink(MODEL "config.json", path) != 0)
        abort();
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (symlink(MODEL "model.safetensors", path) != 0)
        abort();
    snprintf(path, sizeof path, "%s/modules.json", dir);
    if (hone_write_file(path, modules, sizeof modules - 1) != HONE_OK ||
        hone_file_open(dir, &file) != HONE_OK)
        abort();
}

static void put(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!file)
        make_folder();
    if (size == 0)
        return 0;
    size_t which = data[0] & 3;
    char path[128];
    hone_task t = {0};
    snprintf(path, sizeof path, "%s/%s", dir, names[which]);
    put(path, data + 1, size - 1);
    hone_status s = hone_task_read(file, true, &t);
    if (s == HONE_OK ? t.n_prompts > HONE_TASK_PROMPTS || t.pooling > HONE_POOLING_COUNT
                     : !hone_error()[0])
        abort();
    hone_task_free(&t);
    if (which == 0)
        put(path, (const uint8_t *)modules, sizeof modules - 1);
    else
        unlink(path);
    return 0;
}
