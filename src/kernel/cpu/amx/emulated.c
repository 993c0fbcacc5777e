/* emulated - the AMX kernels with their tile instructions in plain C: for tests on machines without
 * AMX (AVX-512 they need). Nothing else refers to it, so that no program carries it. */
#define HONE_TILE_EMULATE
#include "kernel/cpu/amx/amx.c"
