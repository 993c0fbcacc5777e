// links: model
/* Any bytes as an adapter_config.json: read or refused with a message; and as targets, of which one
 * module at least is chosen if they are taken. */
#include "model/adapter.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hone_adapter_options o;
    hone_module modules[] = {{.name = "model.layers.0.self_attn.q_proj"},
                             {.name = "model.layers.0.mlp.down_proj"},
                             {.name = "lone"}};
    char targets[256];
    size_t n = size < sizeof targets - 1 ? size : sizeof targets - 1;
    if (hone_adapter_config_read((const char *)data, size, "adapter_config.json", &o) == HONE_OK)
        check(o.rank >= 1 && o.rank <= HONE_RANK_MAX && o.dropout >= 0 && o.dropout < 1);
    else
        check(*hone_error() != 0);
    memcpy(targets, data, n);
    targets[n] = 0;
    if (hone_modules_choose(modules, 3, targets) == HONE_OK)
        check(modules[0].chosen || modules[1].chosen || modules[2].chosen);
    return 0;
}
