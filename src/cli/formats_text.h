/* formats_text - the words around the tables of docs/formats.md. */
#ifndef HONE_CLI_FORMATS_TEXT_H
#define HONE_CLI_FORMATS_TEXT_H

extern const char formats_text_head[], formats_text_checkpoints[], formats_text_mixes[],
    formats_text_tail[];

#endif
