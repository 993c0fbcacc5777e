/*
 * jinja_value - what a template computes with, and the machine that computes. Private to
 * text/jinja_*.
 *
 * Values are Python's: immutable but for namespaces (and the loop's own state). A value is 16 bytes
 * and is copied; what it points to lives in the arena of the rendering (or of the program, for
 * constants) and is freed with it. The arena is bounded by jinja_limits.
 *
 * Threading: a run belongs to one thread.
 */
#ifndef HONE_TEXT_JINJA_VALUE_H
#define HONE_TEXT_JINJA_VALUE_H

#include "text/jinja_node.h"

typedef enum jinja_type {
    JINJA_V_ABSENT, /* an argument that was not given */
    JINJA_V_UNDEFINED,
    JINJA_V_NONE,
    JINJA_V_BOOL,
    JINJA_V_INT,
    JINJA_V_FLOAT,
    JINJA_V_STR,
    JINJA_V_LIST,
    JINJA_V_TUPLE,
    JINJA_V_RANGE,
    JINJA_V_VIEW, /* keys(), values(), items() of a dictionary */
    JINJA_V_ITER, /* a generator: can be gone through once */
    JINJA_V_DICT,
    JINJA_V_NAMESPACE,
    JINJA_V_LOOP,
    JINJA_V_CYCLER,
    JINJA_V_JOINER,
    JINJA_V_CALLABLE,
    JINJA_V_TYPES
} jinja_type;

typedef struct jinja_seq jinja_seq;
typedef struct jinja_dict jinja_dict;
typedef struct jinja_loop jinja_loop;
typedef struct jinja_callable jinja_callable;
typedef struct jinja_undefined jinja_undefined;

typedef struct jinja_value {
    uint8_t type;
    uint8_t markup; /* STR that `safe` or `escape` made: + escapes the other side */
    uint32_t n;     /* bytes of a STR */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s; /* UTF-8, not terminated */
        jinja_seq *seq;
        jinja_dict *dict; /* DICT, NAMESPACE */
        jinja_loop *loop;
        jinja_callable *call;
        const jinja_undefined *undefined; /* may be NULL */
    } as;
} jinja_value;

struct jinja_seq {      /* LIST, TUPLE, RANGE, VIEW, ITER; CYCLER and JOINER count in `at` */
    jinja_value *items; /* NULL for a range */
    uint32_t n, room;
    uint32_t at;      /* ITER: how many are gone */
    const char *name; /* VIEW: "dict_keys"; ITER: what it says when printed */
    int64_t start, step;
};

typedef struct jinja_pair {
    jinja_value key, value;
} jinja_pair;

struct jinja_dict {
    jinja_pair *pairs;
    uint32_t n, room;
};

/* Why a value is undefined; says itself when it is used. */
struct jinja_undefined {
    const char *hint;  /* whole message, or NULL */
    const char *owner; /* "dict object"; NULL: a name */
    jinja_value key;
};

typedef struct jinja_scope jinja_scope;
typedef struct jinja_run jinja_run;

struct jinja_loop {
    jinja_value *items;
    uint32_t n, index; /* index from 0 */
    uint32_t depth;    /* from 0 */
    const jinja_node *node;
    jinja_scope *scope; /* around the loop, for a recursive call */
    jinja_value changed;
};

/* The arguments of a builtin. Bound: v[i] is the i-th of the row's parameters, ABSENT if not given.
 * Raw rows (params NULL) get v[0..n) by position and keys[0..n_keys) by name. */
typedef struct jinja_args {
    jinja_value self; /* what is filtered or tested; the object of a method */
    const jinja_value *v;
    uint32_t n;
    const jinja_pair *keys;
    uint32_t n_keys;
} jinja_args;

typedef hone_status jinja_fn(jinja_run *r, const jinja_args *a, jinja_value *out);

/* A row of the tables of filters, tests, methods and functions. */
typedef struct jinja_builtin {
    const char *name;
    jinja_fn *fn;
    const char *params; /* "a b c"; NULL: raw */
    uint8_t required;   /* so many of them must be given */
} jinja_builtin;

struct jinja_callable {
    const jinja_builtin *builtin; /* or a macro: */
    jinja_value self;
    const jinja_node *macro;
    jinja_scope *scope;
};

/* Text that grows, outside of the arena. */
typedef struct jinja_text {
    char *s;
    size_t n, room;
} jinja_text;

typedef struct jinja_variable {
    const jinja_name *name;
    jinja_value value;
} jinja_variable;

struct jinja_scope {
    jinja_scope *parent;
    jinja_variable *at;
    uint32_t n, room;
};

typedef enum jinja_flow { JINJA_GO, JINJA_BROKE, JINJA_CONTINUED } jinja_flow;

struct jinja_run {
    const jinja_program *program;
    hone_arena arena;
    jinja_limits limits;
    uint64_t steps;    /* left */
    size_t text_bytes; /* of all jinja_text together */
    int depth;
    jinja_flow flow;
    const jinja_node *at; /* where a failure is reported */
    jinja_text *out;
    time_t now;
    char *chunk; /* of the arena, for small allocations: [chunk_left] */
    size_t chunk_left;
    char *grow, *grow_end; /* end of the last text joined, and of the room behind it */
};

/* ---- the machine ---- */
hone_status jinja_raise_(jinja_run *r, hone_status s, const char *fmt, ...) HONE_PRINTF(3, 4);
/* A failure at r->at. */
#define jinja_raise(...) hone_failed_(jinja_raise_(__VA_ARGS__))
HONE_CHECKED hone_status jinja_charge(jinja_run *r, uint64_t steps);
HONE_CHECKED hone_status jinja_alloc(jinja_run *r, size_t count, size_t size, void *out);
HONE_CHECKED hone_status jinja_eval(jinja_run *r, jinja_scope *s, const jinja_node *n,
                                    jinja_value *out);
HONE_CHECKED hone_status jinja_exec(jinja_run *r, jinja_scope *s, const jinja_nodes *body);
/* A loop's body for every item of `over`. depth: of recursive loops. */
HONE_CHECKED hone_status jinja_exec_for(jinja_run *r, jinja_scope *s, const jinja_node *n,
                                        const jinja_value *over, uint32_t depth);
/* Calls any value with arguments by position v[0..n) and by name. */
HONE_CHECKED hone_status jinja_call(jinja_run *r, const jinja_value *callee, const jinja_args *a,
                                    jinja_value *out);
/* Binds arguments to the row's parameters and calls it. what: "filter", "method"... */
HONE_CHECKED hone_status jinja_call_builtin(jinja_run *r, const jinja_builtin *row,
                                            const jinja_args *a, jinja_value *out);
HONE_CHECKED hone_status jinja_call_macro(jinja_run *r, const jinja_callable *m,
                                          const jinja_args *a, jinja_value *out);
/* Evaluates the list of a call: positions, keywords, *a, **a. `self` is left alone. */
HONE_CHECKED hone_status jinja_eval_args(jinja_run *r, jinja_scope *s, const jinja_nodes *list,
                                         jinja_args *a);
HONE_CHECKED hone_status jinja_enter(jinja_run *r, int levels); /* recursion; undone by leave */
void jinja_leave(jinja_run *r, int levels);
HONE_CHECKED hone_status jinja_scope_new(jinja_run *r, jinja_scope *parent, jinja_scope **out);
HONE_CHECKED hone_status jinja_scope_set(jinja_run *r, jinja_scope *s, const jinja_name *name,
                                         const jinja_value *v);

/* An argument as a whole number, with what it is when absent, or as a truth (absent: false). */
HONE_CHECKED hone_status jinja_get_int(jinja_run *r, const jinja_value *v, int64_t fallback,
                                       int64_t *out);
HONE_CHECKED hone_status jinja_get_flag(jinja_run *r, const jinja_value *v, bool *out);

/* ---- tables ---- */
const jinja_builtin *jinja_find_filter(const char *name, size_t n);
const jinja_builtin *jinja_find_test(const char *name, size_t n);
const jinja_builtin *jinja_find_function(const char *name, size_t n);
const jinja_builtin *jinja_find_method(jinja_type type, const char *name, size_t n);
const jinja_builtin *jinja_find_row(const jinja_builtin *rows, size_t count, const char *name,
                                    size_t n);
extern const jinja_builtin jinja_str_methods[];
extern const size_t jinja_str_method_count;
extern const jinja_builtin jinja_seq_filters[];
extern const size_t jinja_seq_filter_count;
/* True for a method of the type that would change it: the sandbox says no. */
bool jinja_is_mutator(jinja_type type, const char *name, size_t n);

/* ---- values ---- */
extern const jinja_value jinja_none;
jinja_value jinja_bool(bool b);
jinja_value jinja_int(int64_t i);
jinja_value jinja_float(double f);
jinja_value jinja_str(const char *s, size_t n); /* not copied */
jinja_value jinja_cstr(const char *s);          /* the same, up to its 0 */
HONE_CHECKED hone_status jinja_str_copy(jinja_run *r, const char *s, size_t n, jinja_value *out);
HONE_CHECKED hone_status jinja_str_join(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                        jinja_value *out);
HONE_CHECKED hone_status jinja_seq_new(jinja_run *r, jinja_type type, uint32_t room,
                                       jinja_value *out);
HONE_CHECKED hone_status jinja_seq_add(jinja_run *r, jinja_value *seq, const jinja_value *item);
HONE_CHECKED hone_status jinja_dict_new(jinja_run *r, jinja_type type, uint32_t room,
                                        jinja_value *out);
/* Errors: DATA when the key cannot be one (a list). */
HONE_CHECKED hone_status jinja_dict_set(jinja_run *r, jinja_value *dict, const jinja_value *key,
                                        const jinja_value *value);
/* NULL in *out when the key is not there. */
HONE_CHECKED hone_status jinja_dict_get(jinja_run *r, const jinja_value *dict,
                                        const jinja_value *key, const jinja_value **out);
HONE_CHECKED hone_status jinja_from_json(jinja_run *r, const json_t *j, int depth,
                                         jinja_value *out);

const char *jinja_type_name(const jinja_value *v); /* Python's: "str", "dict", "NoneType" */
bool jinja_is_undefined(const jinja_value *v);
bool jinja_is_number(const jinja_value *v);   /* bool included, as in Python */
bool jinja_is_sequence(const jinja_value *v); /* LIST, TUPLE, RANGE, VIEW, ITER */
double jinja_as_double(const jinja_value *v);
bool jinja_as_int(const jinja_value *v, int64_t *out); /* INT and BOOL */
HONE_CHECKED hone_status jinja_truth(jinja_run *r, const jinja_value *v, bool *out);
HONE_CHECKED hone_status jinja_equal(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                     bool *out);
/* -1, 0, 1, or 2 when NaN is in it; DATA when the two have no order. op: for the message. */
HONE_CHECKED hone_status jinja_order(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                     const char *op, int *out);
HONE_CHECKED hone_status jinja_contains(jinja_run *r, const jinja_value *in,
                                        const jinja_value *what, bool *out);
/* len(): DATA when it has none. Characters of a string. */
HONE_CHECKED hone_status jinja_length(jinja_run *r, const jinja_value *v, size_t *out);
/* All items as one array (characters, keys, elements); a generator is used up by it. */
HONE_CHECKED hone_status jinja_items(jinja_run *r, const jinja_value *v, jinja_value **items,
                                     uint32_t *n);
HONE_CHECKED hone_status jinja_get_attr(jinja_run *r, const jinja_value *v, const char *name,
                                        size_t n, jinja_value *out);
HONE_CHECKED hone_status jinja_get_item(jinja_run *r, const jinja_value *v, const jinja_value *key,
                                        jinja_value *out);
HONE_CHECKED hone_status jinja_get_slice(jinja_run *r, const jinja_value *v,
                                         const jinja_value *start, const jinja_value *stop,
                                         const jinja_value *step, jinja_value *out);
/* The message of an undefined value as a DATA failure. */
hone_status jinja_raise_undefined_(jinja_run *r, const jinja_value *v);
#define jinja_raise_undefined(r, v) hone_failed_(jinja_raise_undefined_(r, v))
/* a op b; op as in jinja_node. */
HONE_CHECKED hone_status jinja_arithmetic(jinja_run *r, char op, const jinja_value *a,
                                          const jinja_value *b, jinja_value *out);
HONE_CHECKED hone_status jinja_escape(jinja_run *r, const jinja_value *v, jinja_value *out);

/* ---- text ---- */
HONE_CHECKED hone_status jinja_text_add(jinja_run *r, jinja_text *t, const char *s, size_t n);
HONE_CHECKED hone_status jinja_text_cstr(jinja_run *r, jinja_text *t, const char *s);
HONE_CHECKED hone_status jinja_text_fill(jinja_run *r, jinja_text *t, const char *c, size_t n,
                                         size_t times);
/* Takes the text as a value into the arena and frees it; frees it also when `s` is a failure. */
HONE_CHECKED hone_status jinja_text_take(jinja_run *r, jinja_text *t, hone_status s,
                                         jinja_value *out);
void jinja_text_free(jinja_run *r, jinja_text *t);
/* str(v) and repr(v), Python's. */
HONE_CHECKED hone_status jinja_print(jinja_run *r, jinja_text *t, const jinja_value *v);
HONE_CHECKED hone_status jinja_repr(jinja_run *r, jinja_text *t, const jinja_value *v, int depth);
/* v as a string value: itself, or what print gives. */
HONE_CHECKED hone_status jinja_to_str(jinja_run *r, const jinja_value *v, jinja_value *out);
void jinja_print_float(double f, char *buf, size_t size); /* repr of a float; 40 bytes are enough */

typedef struct jinja_json_style {
    const char *item, *pair; /* separators */
    size_t n_item, n_pair;
    const char *indent; /* one level, or NULL for one line */
    size_t n_indent;
    bool ascii, sorted;
} jinja_json_style;
HONE_CHECKED hone_status jinja_print_json(jinja_run *r, jinja_text *t, const jinja_value *v,
                                          const jinja_json_style *style, int depth);
/* 'format' % args, and format.format(args). */
HONE_CHECKED hone_status jinja_format_percent(jinja_run *r, const jinja_value *format,
                                              const jinja_value *args, jinja_value *out);
HONE_CHECKED hone_status jinja_format_braces(jinja_run *r, const jinja_args *a, jinja_value *out);

/* ---- characters ---- */
bool jinja_is_space(uint32_t c); /* str.isspace */
size_t jinja_count_characters(const char *s, size_t n);
/* Byte offset of character `index` (at most n). */
size_t jinja_character_offset(const char *s, size_t n, size_t index);
typedef enum jinja_case {
    JINJA_UPPER,
    JINJA_LOWER,
    JINJA_CAPITALIZE,
    JINJA_TITLE,
    JINJA_SWAP
} jinja_case;
HONE_CHECKED hone_status jinja_change_case(jinja_run *r, const jinja_value *v, jinja_case how,
                                           jinja_value *out);
typedef enum jinja_side { JINJA_LEFT = 1, JINJA_RIGHT = 2, JINJA_BOTH = 3 } jinja_side;
/* Strips white space, or the characters of `set` if that is a string. */
jinja_value jinja_strip(const jinja_value *v, const jinja_value *set, jinja_side side);
/* The same, charged: for texts and sets that a template chose. */
HONE_CHECKED hone_status jinja_strip_value(jinja_run *r, const jinja_value *v,
                                           const jinja_value *set, jinja_side side,
                                           jinja_value *out);
HONE_CHECKED hone_status jinja_replace(jinja_run *r, const jinja_value *v, const jinja_value *old,
                                       const jinja_value *fresh, int64_t count, jinja_value *out);

#endif
