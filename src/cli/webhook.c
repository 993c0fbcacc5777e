#include "cli/webhook.h"

#include "base/hone_commit.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <strings.h>

static size_t ignore(char *data, size_t size, size_t count, void *arg)
{
    (void)data, (void)arg;
    return size * count;
}

static bool set(CURL *easy, struct curl_slist *headers, const char *url, const char *json,
                double seconds)
{
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, json) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(1000 * seconds)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "hone/" HONE_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore) == CURLE_OK;
}

hone_status cli_webhook_check(const char *url)
{
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0)
        return HONE_OK;
    return hone_fail(HONE_USAGE, "the webhook is no http or https address");
}

hone_status cli_webhook_post(const char *url, const char *json, double seconds)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return hone_fail(HONE_MEMORY, "libcurl cannot start");
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *easy = curl_easy_init();
    hone_status s = HONE_OK;
    if (!easy || !headers || !set(easy, headers, url, json, seconds)) {
        s = hone_fail(HONE_MEMORY, "libcurl cannot prepare a request");
    } else {
        CURLcode code = curl_easy_perform(easy);
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK)
            s = hone_fail(HONE_IO, "webhook: %s", curl_easy_strerror(code));
        else if (status < 200 || status >= 300)
            s = hone_fail(HONE_IO, "webhook: the server answers with %ld", status);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    curl_global_cleanup();
    return s;
}
