/*
 * share - two engines of one thread that are measured against each other work with the same
 * threads: where the system puts a worker is then the same for both. With workers of their own,
 * two engines of one configuration differed by 1.6x on a busy machine, for as long as they lived.
 */
#ifndef HONE_ENGINE_SHARE_H
#define HONE_ENGINE_SHARE_H

#include "engine/engine.h"

/* e works with the threads of `with` from now on, if it has as many. Both belong to one thread, and
 * are closed in any order. Not while a profile is recorded. */
void hone_engine_share_threads(hone_engine *e, const hone_engine *with);

#endif
