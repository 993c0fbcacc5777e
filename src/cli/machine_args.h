/* machine_args - how much of the machine a command uses: --threads and --isa, the same wherever
 * they appear. Constants only; any thread. */
#ifndef HONE_CLI_MACHINE_ARGS_H
#define HONE_CLI_MACHINE_ARGS_H

#include "base/threads.h"
#include "cli/cli.h"

#define CLI_THREADS_OPTION                                                                         \
    {                                                                                              \
        .name = "threads", .type = CLI_INT, .argument = "N", .min = 0, .max = HONE_THREADS_MAX,    \
        .help = "threads; 0 = the CPUs allowed (default)"                                          \
    }
#define CLI_ISA_OPTION                                                                             \
    {                                                                                              \
        .name = "isa", .type = CLI_TEXT, .argument = "NAME",                                       \
        .help = "instruction set at most: scalar, avx2, avx512... (default: the best)"             \
    }

#endif
