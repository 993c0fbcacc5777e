/*
 * jinja_node - tokens, and the tree that the parser makes of them. Private to text/jinja_*.
 *
 * A node is one struct for all kinds; what its members mean stands beside the kind. Nodes, names
 * and strings live in the program's arena. Names are interned: equal names are equal pointers.
 */
#ifndef HONE_TEXT_JINJA_NODE_H
#define HONE_TEXT_JINJA_NODE_H

#include "base/mem.h"
#include "text/jinja.h"

#include <stdbool.h>

enum {
    JINJA_NESTED_MAX = 150, /* parentheses, blocks: the parser's own recursion */
    JINJA_HEIGHT_MAX = 800, /* of the tree: also of a chain a + b + c + ... */
    JINJA_DEPTH_MAX = 1200, /* of evaluation; a macro's call counts JINJA_CALL_DEPTH */
    JINJA_CALL_DEPTH = 10,
    JINJA_VALUE_DEPTH_MAX = 200 /* lists in lists: printing, comparing */
};

typedef enum jinja_token_kind {
    JINJA_T_DATA,  /* text outside of tags */
    JINJA_T_BEGIN, /* {% */
    JINJA_T_END,   /* %} */
    JINJA_T_PRINT, /* {{ */
    JINJA_T_SHOWN, /* }} */
    JINJA_T_NAME,
    JINJA_T_STRING,
    JINJA_T_INT,
    JINJA_T_FLOAT,
    JINJA_T_OP, /* text is the operator */
    JINJA_T_EOF
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    uint32_t line, column; /* from 1, column in characters */
    const char *text; /* [n]: data and strings as they are meant; operators, names as written */
    uint32_t n;
    int64_t integer;
    double real;
} jinja_token;

/* Cuts n bytes of source into tokens, the last one EOF, all in the arena. `name` as for compile. */
HONE_CHECKED hone_status jinja_lex(const char *source, size_t n, const char *name,
                                   hone_arena *arena, jinja_token **tokens, size_t *count);

typedef enum jinja_kind {
    /* expressions */
    JINJA_CONST,   /* constant */
    JINJA_NAME,    /* name */
    JINJA_LIST,    /* list: items */
    JINJA_TUPLE,   /* list: items */
    JINJA_DICT,    /* list: key, value, key, value... */
    JINJA_COND,    /* a if b else c (may be NULL) */
    JINJA_AND,     /* a, b */
    JINJA_OR,      /* a, b */
    JINJA_NOT,     /* a */
    JINJA_COMPARE, /* a, then list of JINJA_BINARY whose b is the next operand */
    JINJA_BINARY,  /* a op b */
    JINJA_UNARY,   /* op a */
    JINJA_CONCAT,  /* list joined as text */
    JINJA_ATTR,    /* a.name */
    JINJA_ITEM,    /* a[b] */
    JINJA_SLICE,   /* a:b:c, each may be NULL; only as b of ITEM */
    JINJA_CALL,    /* a(list) */
    JINJA_FILTER,  /* a | name(list); row */
    JINJA_TEST,    /* a is name(list); row */
    JINJA_KEYWORD, /* name=a, *a (op '*') or **a (op 'd') in the list of a call */
    JINJA_NSREF,   /* name.text as a target of set */
    /* statements */
    JINJA_DATA,        /* constant */
    JINJA_OUTPUT,      /* a */
    JINJA_IF,          /* if a: body, else: other */
    JINJA_FOR,         /* for a in b if c: body, else: other; flag RECURSIVE */
    JINJA_SET,         /* a = b; or, b NULL, a = body through the filters of c */
    JINJA_WITH,        /* list: SET nodes; body */
    JINJA_MACRO,       /* name; list: parameters (NAME, default in a); body; flags USES_... */
    JINJA_CALLBLOCK,   /* a: a CALL; b: a MACRO, the caller */
    JINJA_FILTERBLOCK, /* c: chain of filters over the body */
    JINJA_SCOPE,       /* body in a scope of its own (generation) */
    JINJA_BREAK,
    JINJA_CONTINUE
} jinja_kind;

enum { /* flags */
       JINJA_RECURSIVE = 1,
       JINJA_USES_CALLER = 2,
       JINJA_USES_VARARGS = 4,
       JINJA_USES_KWARGS = 8,
       JINJA_CAPTURES = 16, /* FOR: a macro in the body may keep an iteration's scope */
};

typedef struct jinja_name {
    const char *s;
    uint32_t n;
} jinja_name;

typedef struct jinja_node jinja_node;
typedef struct jinja_nodes {
    jinja_node **at;
    uint32_t n, room;
} jinja_nodes;

struct jinja_value;
struct jinja_builtin;

struct jinja_node {
    jinja_kind kind;
    char op; /* + - * / % ~, f for //, ^ for **, = ! < > l for <=, g for >=, i for in, n for not in
              */
    uint8_t flags;
    uint16_t height;
    uint32_t line, column;
    const jinja_name *name;
    jinja_node *a, *b, *c;
    jinja_nodes list, body, other;
    const struct jinja_value *constant;
    const struct jinja_builtin *row; /* of a filter or test; NULL: fails when it is reached */
};

struct jinja_program {
    hone_arena arena;
    char *name;
    jinja_nodes body;
    const jinja_name **names; /* open hash of [1 << names_bits] */
    uint32_t names_bits, names_used;
};

/* Parser, in two files. */
typedef struct jinja_parser {
    jinja_program *program;
    const jinja_token *at;
    int nested;          /* recursion of the parser */
    int soft;            /* inside an if: unknown filters fail only when reached, as in jinja2 */
    int macros;          /* made so far: a loop asks whether its body makes any */
    int loops;           /* for loops around, within the macro */
    jinja_node *macro;   /* the innermost, or NULL */
    const char *ends[4]; /* tags that would end the innermost block, for messages */
} jinja_parser;

HONE_CHECKED hone_status jinja_parse(jinja_program *p, const jinja_token *tokens);
HONE_CHECKED hone_status jinja_parse_expression(jinja_parser *p, bool with_condition,
                                                jinja_node **out);
/* Expressions with commas become a tuple. end: a name that ends the list, or NULL. */
HONE_CHECKED hone_status jinja_parse_tuple(jinja_parser *p, bool with_condition, const char *end,
                                           bool parentheses, jinja_node **out);
HONE_CHECKED hone_status jinja_parse_primary(jinja_parser *p, bool with_namespace,
                                             jinja_node **out);
/* A chain of `name(args) | name...`; the innermost node's a is `value` (may be NULL). */
HONE_CHECKED hone_status jinja_parse_filters(jinja_parser *p, jinja_node *value, bool inline_first,
                                             jinja_node **out);

HONE_CHECKED hone_status jinja_node_new(jinja_parser *p, jinja_kind kind, const jinja_token *at,
                                        jinja_node **out);
/* n->height from its children. LIMIT when the tree gets too high. */
HONE_CHECKED hone_status jinja_node_done(jinja_parser *p, jinja_node *n);
HONE_CHECKED hone_status jinja_nodes_add(jinja_parser *p, jinja_nodes *list, jinja_node *n);
HONE_CHECKED hone_status jinja_intern(jinja_program *p, const char *s, size_t n,
                                      const jinja_name **out);
const jinja_name *jinja_find_name(const jinja_program *p, const char *s, size_t n); /* NULL: none */
bool jinja_is_op(const jinja_token *t, const char *op);
bool jinja_is_name(const jinja_token *t, const char *name);
HONE_CHECKED hone_status jinja_expect_op(jinja_parser *p, const char *op);
/* The token as a message shows it. */
const char *jinja_show(const jinja_token *t, char *buf, size_t size);
/* A failure at a token: "<name>, line 3, column 7: ...". */
hone_status jinja_fail_at_(const char *name, uint32_t line, uint32_t column, hone_status s,
                           const char *fmt, ...) HONE_PRINTF(5, 6);
#define jinja_fail_token(p, t, ...)                                                                \
    hone_failed_(jinja_fail_at_((p)->program->name, (t)->line, (t)->column, __VA_ARGS__))

#endif
