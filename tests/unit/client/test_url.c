/* Where a node is: what is understood, and what is refused with a sentence. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/url.h"

TestSuite(url, .timeout = 10);

static struct fh_url parsed(const char *text)
{
    struct fh_url url;
    const char *why = "";

    cr_assert_eq(fh_url_parse(text, &url, &why), 0, "%s: %s", text, why);
    return url;
}

static void refused(const char *text)
{
    struct fh_url url;
    const char *why = NULL;

    cr_assert_lt(fh_url_parse(text, &url, &why), 0, "%s was taken", text);
    cr_assert_not_null(why);
}

Test(url, a_host_alone_means_the_default_port)
{
    struct fh_url url = parsed("farheap://far.example");

    cr_assert_not(url.secure);
    cr_assert_eq(url.host_count, 1);
    cr_assert_str_eq(url.hosts[0].name, "far.example");
    cr_assert_str_eq(url.hosts[0].port, "7420");
    cr_assert_eq(url.timeout_ms, 0);
}

Test(url, several_hosts_keep_their_order_and_ports)
{
    struct fh_url url = parsed("farheaps://a:1,b,[::1]:65535/?timeout=2s");

    cr_assert(url.secure);
    cr_assert_eq(url.host_count, 3);
    cr_assert_str_eq(url.hosts[0].port, "1");
    cr_assert_str_eq(url.hosts[1].name, "b");
    cr_assert_str_eq(url.hosts[2].name, "::1");
    cr_assert_str_eq(url.hosts[2].port, "65535");
    cr_assert_eq(url.timeout_ms, 2000);
}

Test(url, a_unix_socket_is_a_path)
{
    struct fh_url url = parsed("farheap+unix:///run/farheap.sock?timeout=250ms");

    cr_assert(url.local);
    cr_assert_eq(url.host_count, 0);
    cr_assert_str_eq(url.path, "/run/farheap.sock");
    cr_assert_eq(url.timeout_ms, 250);
}

Test(url, what_is_not_understood_is_refused)
{
    static const char *const wrong[] = {
        "",
        "http://a",
        "farheap:/a",
        "farheap://",
        "farheap://:7420",
        "farheap://a:",
        "farheap://a:0",
        "farheap://a:65536",
        "farheap://a:007420",
        "farheap://a:12x",
        "farheap://a,,b",
        "farheap://a,",
        "farheap://[::1",
        "farheap://[::1]x",
        "farheap://a/b",
        "farheap://a/?",
        "farheap://a/?timeout=",
        "farheap://a/?timeout=5",
        "farheap://a/?timeout=0s",
        "farheap://a/?timeout=2h",
        "farheap://a/?timeout=99999999999s",
        "farheap://a/?retries=5",
        "farheap+unix://run/x",
        "farheap+unix:///",
        "farheap://1,2,3,4,5,6,7,8,9",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refused(wrong[i]);
}

Test(url, eight_hosts_and_a_day_are_the_largest_that_fit)
{
    cr_assert_eq(parsed("farheap://1,2,3,4,5,6,7,8").host_count, 8);
    cr_assert_eq(parsed("farheap://a?timeout=1440m").timeout_ms, 86400000);
    refused("farheap://a?timeout=1441m");
}

Test(url, a_name_or_path_longer_than_its_room_is_refused)
{
    char text[512];

    memset(text, 'a', sizeof(text));
    memcpy(text, "farheap://", 10);
    text[10 + FH_URL_HOST_SIZE] = '\0';
    refused(text);
    text[10 + FH_URL_HOST_SIZE - 1] = '\0';
    cr_assert_eq(strlen(parsed(text).hosts[0].name), FH_URL_HOST_SIZE - 1);

    memset(text, 'a', sizeof(text));
    memcpy(text, "farheap+unix:///", 16);
    text[15 + FH_URL_PATH_SIZE] = '\0';
    refused(text);
    text[15 + FH_URL_PATH_SIZE - 1] = '\0';
    cr_assert_eq(strlen(parsed(text).path), FH_URL_PATH_SIZE - 1);
}
