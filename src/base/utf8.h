/*
 * utf8 - well-formedness of UTF-8 one code point at a time (Unicode 15, table 3-7). Pure functions.
 */
#ifndef HONE_BASE_UTF8_H
#define HONE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum hone_utf8_kind {
    HONE_UTF8_VALID,     /* *len bytes are one code point */
    HONE_UTF8_INVALID,   /* *len bytes (1..3) are a maximal part that cannot become one */
    HONE_UTF8_INCOMPLETE /* all n bytes (*len) could become one with more bytes */
} hone_utf8_kind;

/* What starts at s; n >= 1. */
static inline hone_utf8_kind hone_utf8_next(const char *text, size_t n, size_t *len)
{
    const uint8_t *s = (const uint8_t *)text;
    uint8_t a = s[0];
    *len = 1;
    if (a < 0x80)
        return HONE_UTF8_VALID;
    if (a < 0xC2 || a > 0xF4)
        return HONE_UTF8_INVALID;
    size_t need = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
    uint8_t low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    uint8_t high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < need; i++) {
        if (i == n)
            return HONE_UTF8_INCOMPLETE;
        if (s[i] < low || s[i] > high)
            return HONE_UTF8_INVALID;
        low = 0x80;
        high = 0xBF;
        *len = i + 1;
    }
    return HONE_UTF8_VALID;
}

/* Bytes of the longest well-formed prefix of s. */
static inline size_t hone_utf8_valid_prefix(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if ((uint8_t)s[i] < 0x80) {
            i++;
            continue;
        }
        size_t len;
        if (hone_utf8_next(s + i, n - i, &len) != HONE_UTF8_VALID)
            break;
        i += len;
    }
    return i;
}

/* Bytes of the code point that starts with this byte, in well-formed text. */
static inline size_t hone_utf8_length(char first)
{
    uint8_t a = (uint8_t)first;
    return a < 0x80 ? 1 : a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
}

/* The code point at s, in well-formed text. */
static inline uint32_t hone_utf8_code(const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80)
        return s[0];
    if (s[0] < 0xE0)
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    if (s[0] < 0xF0)
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

/* Writes 1..4 bytes; returns how many. c is a scalar value. */
static inline size_t hone_utf8_put(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

#endif
