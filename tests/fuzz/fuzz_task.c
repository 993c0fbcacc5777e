// links: engine
/* What says what a model is for: sentence-transformers' files of a folder. First byte: which of
 * them the rest is. */
#include "base/io.h"
#include "engine/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MODEL HONE_SOURCE_DIR "/tests/golden/data/models/llama/"
static const char *const names[] = {"modules.json", "1_Pooling/config.json",
                                    "config_sentence_transformers.json",
                                    "sentence_bert_config.json"};
static const char modules[] = "[{\"type\":\"a.Pooling\",\"path\":\"1_Pooling\"}]";
static hone_file *file;

static void close_file(void)
{
    hone_file_close(file);
}

/* A sound folder, of which one file will be replaced. */
static void fill_folder(void)
{
    need_folder();
    if (mkdir(in_folder("1_Pooling"), 0700) != 0 ||
        symlink(MODEL "config.json", in_folder("config.json")) != 0 ||
        symlink(MODEL "model.safetensors", in_folder("model.safetensors")) != 0 ||
        hone_write_file(in_folder("modules.json"), modules, sizeof modules - 1) != HONE_OK ||
        hone_file_open(folder, &file) != HONE_OK || atexit(close_file) != 0)
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
        fill_folder();
    if (size == 0)
        return 0;
    size_t which = data[0] & 3;
    const char *path = in_folder(names[which]);
    hone_task t = {0};
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
