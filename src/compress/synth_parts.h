/* What the files of synth share. Private to compress/. */
#ifndef HONE_COMPRESS_SYNTH_PARTS_H
#define HONE_COMPRESS_SYNTH_PARTS_H

#include "file/write.h"

/* Writes the metadata of a byte-level BPE tokenizer of `vocab` tokens, of which the last `special`
 * are Llama 3's special tokens. vocab - special >= 256. */
HONE_CHECKED hone_status hone_synth_write_tokenizer(hone_gguf_writer *w, uint32_t vocab,
                                                    uint32_t special);

#endif
