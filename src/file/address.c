#include "file/address.h"

#include <curl/curl.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool starts(const char *s, const char *with)
{
    return strncasecmp(s, with, strlen(with)) == 0;
}

bool hone_address_is_plain(const char *url)
{
    char *user = NULL, *host = NULL, *query = NULL;
    CURLU *u = curl_url();
    bool good = u && (starts(url, "http://") || starts(url, "https://")) &&
                curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] &&
                curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK &&
                curl_url_get(u, CURLUPART_QUERY, &query, 0) != CURLUE_OK;
    curl_free(user);
    curl_free(host);
    curl_free(query);
    curl_url_cleanup(u);
    return good;
}

bool hone_address_is_here(const char *url)
{
    static const char *const here[] = {"//127.0.0.1", "//localhost", "//[::1]"};
    const char *host = strstr(url, "//");
    for (size_t i = 0; host && i < sizeof here / sizeof *here; i++) {
        const char *rest = host + strlen(here[i]);
        if (starts(host, here[i]) && (*rest == 0 || *rest == ':' || *rest == '/'))
            return hone_address_is_plain(url); /* "127.0.0.1:80@elsewhere" is a user */
    }
    return false;
}

bool hone_address_is_private(const char *url)
{
    return starts(url, "https://") || hone_address_is_here(url);
}
