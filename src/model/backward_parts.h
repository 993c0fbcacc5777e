/* backward_parts - sizes that the files of backward share. Private to backward*.c. */
#ifndef HONE_MODEL_BACKWARD_PARTS_H
#define HONE_MODEL_BACKWARD_PARTS_H

enum {
    HONE_BACK_SUM_ROWS = 256, /* rows whose sum is formed together: part of the definition */
    HONE_BACK_TILE_ROWS = 256,
    HONE_BACK_TILE_PANELS = 8
};

#endif
