#include "cli/cli.h"

#define COMMAND(name) extern const cli_command cli_cmd_##name;
#include "cli/commands.def"
#undef COMMAND

const cli_command *const *cli_commands(size_t *count)
{
    static const cli_command *const all[] = {
#define COMMAND(name) &cli_cmd_##name,
#include "cli/commands.def"
#undef COMMAND
    };
    *count = sizeof all / sizeof *all;
    return all;
}
