#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/address.h"

TestSuite(address, .timeout = 10);

static const char *round_trip(const char *text)
{
    static char printed[FH_ADDRESS_TEXT_SIZE];
    struct fh_address a;

    if (fh_address_parse(text, &a) != 0)
        return "refused";
    fh_address_print(&a, printed);
    return printed;
}

Test(address, is_read_and_printed)
{
    cr_assert_str_eq(round_trip("127.0.0.1:7420"), "127.0.0.1:7420");
    cr_assert_str_eq(round_trip("[::1]:80"), "[::1]:80");
    cr_assert_str_eq(round_trip(":7420"), "0.0.0.0:7420");
    cr_assert_str_eq(round_trip("unix:/run/x"), "unix:/run/x");
}

Test(address, what_is_none_is_refused)
{
    static const char *const bad[] = {"",           "7420",        "127.0.0.1",
                                      "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456",
                                      "unix:",      "1.2.3.4.5:1"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_str_eq(round_trip(bad[i]), "refused", "%s", bad[i]);
}

Test(address, loopback_is_known)
{
    struct fh_address a;

    cr_assert_eq(fh_address_parse("127.3.2.1:1", &a), 0);
    cr_assert(fh_address_is_loopback(&a));
    cr_assert_eq(fh_address_parse("[::1]:1", &a), 0);
    cr_assert(fh_address_is_loopback(&a));
    cr_assert_eq(fh_address_parse("0.0.0.0:1", &a), 0);
    cr_assert_not(fh_address_is_loopback(&a));
}

Test(address, port_0_gets_a_port_and_a_taken_one_is_refused)
{
    struct fh_address a, bound, again;
    int fd, other;

    cr_assert_eq(fh_address_parse("127.0.0.1:0", &a), 0);
    cr_assert_eq(fh_address_listen(&a, &fd, &bound), 0);
    cr_assert_neq(fh_address_port(&bound), 0u);
    cr_assert_eq(fh_address_listen(&bound, &other, &again), -EADDRINUSE);
    close(fd);
}

Test(address, a_stale_unix_socket_is_replaced_and_a_live_one_is_not)
{
    char dir[] = "/tmp/farheap-address-XXXXXX", text[64];
    struct fh_address a, bound;
    int fd, other;

    cr_assert(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    cr_assert_eq(fh_address_parse(text, &a), 0);
    cr_assert_eq(fh_address_listen(&a, &fd, &bound), 0);
    cr_assert_eq(fh_address_listen(&a, &other, &bound), -EADDRINUSE);
    close(fd); /* as if killed: the file stays */
    cr_assert_eq(fh_address_listen(&a, &fd, &bound), 0);
    close(fd);
    unlink(text + 5);
    rmdir(dir);
}
