/* hub_name - names of repositories, paths that a server says, addresses. */
#include "file/hub_internal.h"
#include "file/internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* huggingface_hub's validate_repo_id: to 96 characters, one '/' at most, parts of letters, digits,
 * '-', '_', '.' that neither begin nor end with '-' or '.', no "--", "..", nor ".git" at the end.
 */
static bool is_repository(const char *s, size_t n)
{
    size_t slashes = 0;
    if (n == 0 || n > 96)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool edge = i == 0 || s[i - 1] == '/' || i + 1 == n || s[i + 1] == '/';
        if (s[i] == '/') {
            if (i == 0 || i + 1 == n || slashes++)
                return false;
        } else if (!is_name_char(s[i]) || (edge && (s[i] == '-' || s[i] == '.'))) {
            return false;
        } else if (i > 0 && (s[i] == '-' || s[i] == '.') && s[i - 1] == s[i]) {
            return false;
        }
    }
    return n < 4 || memcmp(s + n - 4, ".git", 4) != 0;
}

static bool copy_part(char *to, size_t size, const char *from, size_t n)
{
    if (n == 0 || n >= size)
        return false;
    memcpy(to, from, n);
    to[n] = 0;
    return hub_path_is_safe(to);
}

static bool read_name(const char *text, hub_name *out)
{
    memset(out, 0, sizeof *out);
    size_t n = strcspn(text, "@:");
    if (!is_repository(text, n))
        return false;
    memcpy(out->repository, text, n);
    const char *at = text + n;
    if (*at == '@') {
        size_t length = strcspn(++at, ":");
        if (!copy_part(out->revision, sizeof out->revision, at, length))
            return false;
        at += length;
    }
    return *at == 0 || copy_part(out->quant, sizeof out->quant, at + 1, strlen(at + 1));
}

hone_status hub_name_parse(const char *text, hub_name *out)
{
    if (read_name(text, out))
        return HONE_OK;
    return hone_fail(HONE_USAGE,
                     "\"%.200s\" is no repository of a hub: give OWNER/NAME, OWNER/NAME:QUANT or "
                     "OWNER/NAME@REVISION:QUANT, for example acme/tiny-GGUF:Q4_K_M",
                     text);
}

bool hone_hub_is_name(const char *text)
{
    hub_name name;
    static const char *const files[] = {".gguf", ".safetensors", ".json"};
    if (!read_name(text, &name) || !strchr(name.repository, '/'))
        return false;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (hone_ends_with(name.repository, files[i]))
            return false;
    return true;
}

bool hub_path_is_safe(const char *path)
{
    size_t n = strlen(path), part = 0;
    if (n == 0 || n > HUB_PATH_MAX || !hone_file_is_utf8(path, n))
        return false;
    for (size_t i = 0; i <= n; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c != '/' && c != 0) {
            if (c < 0x20 || c == 0x7f || c == '\\')
                return false;
            part++;
            continue;
        }
        const char *start = path + i - part;
        if (part == 0 || part > 255 || (part == 1 && start[0] == '.') ||
            (part == 2 && start[0] == '.' && start[1] == '.'))
            return false;
        part = 0;
    }
    return true;
}

bool hub_is_hex(const char *s, size_t digits)
{
    return strlen(s) == digits && strspn(s, "0123456789abcdef") == digits;
}

bool hub_is_blob_name(const char *s)
{
    size_t n = 0;
    while (is_name_char(s[n]))
        n++;
    return n > 0 && n <= HUB_HASH_MAX && s[n] == 0 && s[0] != '.';
}

char *hub_escape(hone_arena *a, const char *s, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = hone_arena_alloc(a, strlen(s) * 3 + 1), *to = out;
    if (!out)
        return NULL;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (is_name_char(*s) || c == '~' || (c == '/' && keep_slash)) {
            *to++ = *s;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return out;
}

char *hub_print(hone_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *out = n < 0 ? NULL : hone_arena_alloc(a, (size_t)n + 1);
    if (!out)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(out, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return out;
}

const char *hub_show_bytes(uint64_t bytes, char buf[32])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double n = (double)bytes * 1e-3;
    size_t u = 0;
    for (; n >= 1000 && u + 1 < sizeof units / sizeof *units; u++)
        n *= 1e-3;
    snprintf(buf, 32, "%.2f %s", n, units[u]);
    return buf;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = NULL, *y = NULL;
    bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
    curl_free(x);
    curl_free(y);
    return same;
}

bool hub_same_origin(const char *a, const char *b)
{
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x && y && curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK &&
                same_part(x, y, CURLUPART_SCHEME) && same_part(x, y, CURLUPART_HOST) &&
                same_part(x, y, CURLUPART_PORT);
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}
