#include "engine/share.h"

#include "base/threads.h"
#include "engine/session.h"

void hone_engine_share_threads(hone_engine *e, const hone_engine *with)
{
    if (e->pool == with->pool || hone_pool_threads(e->pool) != hone_pool_threads(with->pool))
        return;
    hone_pool_close(e->pool);
    e->pool = e->forward->pool = hone_pool_share(with->pool);
    if (e->adapter)
        e->adapter->pool = e->pool;
}
