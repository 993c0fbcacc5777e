/*
 * jinja - a sandboxed interpreter of the Jinja that chat templates are written in.
 *
 * It renders as jinja2's ImmutableSandboxedEnvironment does with what Hugging Face sets
 * (trim_blocks, lstrip_blocks, loop controls, `generation` blocks, its own tojson, raise_exception,
 * strftime_now); values print as Python prints them. Templates come from strangers: a rendering has
 * a bound on steps, memory, depth and output, reaches no file and no clock but the one it is given,
 * and cannot change its input. What is not known is refused with its line and column.
 *
 * Ownership: a program owns its nodes and keeps nothing of the source. Threading: a program is
 * immutable, any number of threads may render it.
 */
#ifndef HONE_TEXT_JINJA_H
#define HONE_TEXT_JINJA_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>
#include <time.h>

typedef struct jinja_program jinja_program;

enum { JINJA_SOURCE_MAX = 1 << 20 };

/* Compiles n bytes of UTF-8. `name` stands before line and column in messages. Errors: FORMAT (no
 * template: what was found and expected), UNSUPPORTED (a tag, filter or test that is not known),
 * LIMIT (nested too deep, too large), MEMORY. */
HONE_CHECKED hone_status jinja_compile(const char *source, size_t n, const char *name,
                                       jinja_program **out);
void jinja_close(jinja_program *p); /* NULL is fine */

/* Bounds of one rendering; 0 = the default in brackets. */
typedef struct jinja_limits {
    uint64_t steps;      /* nodes evaluated and pieces of text copied [100 million: seconds] */
    size_t memory_bytes; /* [512 MiB] */
    size_t output_bytes; /* [64 MiB] */
} jinja_limits;

/* Renders with the members of the object `variables` as names. `now` is what strftime_now formats,
 * in local time. *text (hone_free) ends with a 0 that *bytes does not count. Errors: DATA (the
 * template raised an exception, or an operation failed as it does in Python), UNSUPPORTED, LIMIT,
 * MEMORY. */
HONE_CHECKED hone_status jinja_render(const jinja_program *p, const json_t *variables, time_t now,
                                      const jinja_limits *limits, char **text, size_t *bytes);

#endif
