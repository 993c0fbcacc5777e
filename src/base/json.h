/*
 * json - parsing JSON that nobody vouches for, with jansson: depth and number of values are bounded
 * before anything is allocated, memory comes through hone_malloc, and running out of it is told
 * from bad syntax.
 *
 * Ownership: the caller drops *out with json_decref. Threading: any thread.
 */
#ifndef HONE_BASE_JSON_H
#define HONE_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>

/* Makes jansson allocate through hone_malloc (done by hone_json_parse too). For code that only
 * builds or prints JSON. Any number of calls, at any time. */
void hone_json_use_memory(void);

/* Text of `bytes` bytes -> value. Duplicate keys, invalid UTF-8, 0 in strings and anything after
 * the value are refused. Whole numbers beyond 64 bits become reals. what names the text in messages
 * ("config.json"). Errors: FORMAT (syntax with its line; deeper than depth_max), LIMIT (more than
 * values_max), MEMORY. */
HONE_CHECKED hone_status hone_json_parse(const char *text, size_t bytes, int depth_max,
                                         size_t values_max, const char *what, json_t **out);

/* Python writes Infinity, which JSON has not (Mamba-2's time_step_limit in a config.json). Outside
 * of strings it becomes a number that nobody means, of the same length. text NULL is fine. */
#define HONE_JSON_INFINITY 1e308
void hone_json_mend_infinity(char *text, size_t bytes);

/* The number under a key of an object; NaN where there is none. */
double hone_json_number(const json_t *object, const char *key);

#endif
