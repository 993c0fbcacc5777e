/* models_text - the words around the tables of docs/models.md. */
#ifndef HONE_CLI_MODELS_TEXT_H
#define HONE_CLI_MODELS_TEXT_H

extern const char models_text_head[], models_text_memory[], models_text_add[];

#endif
