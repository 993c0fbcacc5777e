/* stories - the trained model of ../shared/data/stories260k (260 K parameters, 512 tokens): real
 * behaviour for tests, which the project itself does not carry. Include after cmocka.h. */
#ifndef HONE_TESTS_STORIES_H
#define HONE_TESTS_STORIES_H

#include <unistd.h>

/* HONE_SHARED_DIR: $HONE_SHARED when CMake ran, else ../shared beside the source tree. */
#define STORIES_DIR  HONE_SHARED_DIR "/data/stories260k"
#define STORIES_GGUF STORIES_DIR "/stories260k.gguf"
#define STORIES_HF   STORIES_DIR "/hf"

static inline int have_stories(void)
{
    return access(STORIES_GGUF, R_OK) == 0 && access(STORIES_HF "/tokenizer.model", R_OK) == 0;
}

/* Skips the test that calls it, by name, where the model is not. */
#define need_stories()                                                                             \
    do {                                                                                           \
        if (!have_stories()) {                                                                     \
            print_message("SKIP %s: needs ../shared/data/stories260k\n", __func__);                \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

#endif
