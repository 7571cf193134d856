/* The command `farheap` against a real farheapd: outputs, files, exit codes. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"
#include "tests/support/wire/tool_shell.h"

static struct server_process server;
static struct tool_shell tool;
static char *const out = tool.out, *const err = tool.err; /* what the last line said */

static void setup(void)
{
    static const char *const flags[] = {"--zones=2", NULL};
    char url[64];

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    (void)setenv("FARHEAP_URL", url, 1);
    (void)setenv("FARHEAP", FARHEAP_TOOL, 1);
    cr_assert_eq(chdir(server.folder), 0);
}

static void teardown(void)
{
    if (chdir("/") != 0) /* out of the folder that is removed next */
        perror("/");
    server_process_fini(&server);
}

TestSuite(cli, .init = setup, .fini = teardown, .timeout = 300);

#define EXPECT(code, ...)                                                                          \
    cr_assert_eq(tool_shell_run(&tool, __VA_ARGS__), code, "out: %s\nerr: %s", out, err)

static json_t *document(const char *schema)
{
    json_error_t error;
    json_t *json = json_loads(out, 0, &error);

    cr_assert_not_null(json, "%s: %s", error.text, out);
    cr_assert_str_eq(json_string_value(json_object_get(json, "schema")), schema);
    return json;
}

Test(cli, what_is_put_is_got)
{
    EXPECT(0, "echo hi | $FARHEAP put hello -");
    cr_assert_str_eq(out, "");
    EXPECT(0, "$FARHEAP get hello");
    cr_assert_str_eq(out, "hi\n");
    EXPECT(0, "$FARHEAP exists hello");
    EXPECT(0, "$FARHEAP rm hello");
    EXPECT(3, "$FARHEAP exists hello");
}

Test(cli, files_of_all_sizes_come_back_byte_for_byte)
{
    static const char *const sizes[] = {"0",       "1",       "4096",     "300000",
                                        "8388607", "8388608", "12582912", "20000001"};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT(0, "head -c %s /dev/urandom > file && $FARHEAP put f file && $FARHEAP get f -o back",
               sizes[i]);
        EXPECT(0, "cmp file back");
        EXPECT(0, "cat file | $FARHEAP put g && $FARHEAP get g | cmp - file");
        EXPECT(0, "$FARHEAP --json stat g && ! ls back.* 2>/dev/null");
        cr_assert_not_null(strstr(out, "\"ttl_ms\": 0"), "%s", out);
    }
}

Test(cli, a_range_is_part_of_an_object)
{
    EXPECT(0, "printf 0123456789 | $FARHEAP put digits");
    EXPECT(0, "$FARHEAP get digits --range 2-4");
    cr_assert_str_eq(out, "234");
    EXPECT(0, "$FARHEAP get digits --range 7-");
    cr_assert_str_eq(out, "789");
    EXPECT(0, "$FARHEAP get digits --range 8-100");
    cr_assert_str_eq(out, "89");
    EXPECT(2, "$FARHEAP get digits --range 4-2");
    EXPECT(2, "$FARHEAP get digits --range x");
    EXPECT(0, "head -c 9000000 /dev/urandom > file && $FARHEAP put f file");
    EXPECT(0,
           "$FARHEAP get f --range 5000000-8999999 -o part && tail -c +5000001 file | cmp - part");
}

Test(cli, conditions_have_exit_code_8)
{
    EXPECT(0, "echo 1 | $FARHEAP put c --if-absent");
    EXPECT(8, "echo 2 | $FARHEAP put c --if-absent");
    cr_assert_not_null(strstr(err, "farheap: put c: EXISTS: "), "%s", err);
    EXPECT(8, "echo 2 | $FARHEAP put c --if-version 999999");
    EXPECT(2, "echo 2 | $FARHEAP put c --if-version 1 --if-absent");
    EXPECT(8, "head -c 9000000 /dev/zero | $FARHEAP put c --if-absent");
    EXPECT(0, "$FARHEAP get c");
    cr_assert_str_eq(out, "1\n");
}

Test(cli, a_missing_name_says_what_to_do)
{
    EXPECT(3, "$FARHEAP get model/0");
    cr_assert_eq(strncmp(err, "farheap: get model/0: NOT_FOUND: ", 33), 0, "%s", err);
    cr_assert_not_null(strstr(err, "try: farheap ls model/\n"), "%s", err);
    EXPECT(3, "$FARHEAP get model/0 -o file");
    EXPECT(1, "test -e file");
    EXPECT(3, "$FARHEAP get --json model/0 -o file");
    {
        json_t *json = json_loads(err, 0, NULL);
        json_t *error = json_object_get(json, "error");

        cr_assert_not_null(json, "%s", err);
        cr_assert_str_eq(json_string_value(json_object_get(error, "code")), "NOT_FOUND");
        cr_assert_str_eq(json_string_value(json_object_get(error, "hint")),
                         "try: farheap ls model/");
        json_decref(json);
    }
}

Test(cli, no_server_has_exit_code_4)
{
    EXPECT(4, "$FARHEAP -u farheap://127.0.0.1:1 ping");
    cr_assert_not_null(strstr(err, "CONNECTION"), "%s", err);
    EXPECT(0, "$FARHEAP -u farheap://127.0.0.1:1 version");
}

Test(cli, a_wrong_command_line_has_exit_code_2_and_a_suggestion)
{
    EXPECT(2, "$FARHEAP");
    EXPECT(2, "$FARHEAP putt x");
    cr_assert_not_null(strstr(err, "did you mean: farheap put"), "%s", err);
    EXPECT(2, "$FARHEAP xyzzyplugh");
    EXPECT(2, "$FARHEAP ls --ttl 5s");
    cr_assert_not_null(strstr(err, "ls does not take --ttl"), "%s", err);
    EXPECT(2, "$FARHEAP ls --nonsense");
    EXPECT(2, "$FARHEAP get");
    EXPECT(2, "$FARHEAP alloc 12q");
    EXPECT(2, "$FARHEAP free fh:0:0");
    EXPECT(2, "$FARHEAP --timeout 5 ping");
    EXPECT(1, "$FARHEAP -u http://x ping");
}

Test(cli, every_verb_has_help)
{
    static const char *const verbs[] = {"put",   "get",   "ls",     "rm",   "exists", "lookup",
                                        "alloc", "read",  "write",  "zero", "resize", "free",
                                        "cas",   "add",   "stat",   "info", "zones",  "slabs",
                                        "buddy", "pages", "version"};

    EXPECT(0, "$FARHEAP -h");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        EXPECT(0, "$FARHEAP %s -h", verbs[i]);
        cr_assert_not_null(strstr(out, verbs[i]));
        EXPECT(0, "$FARHEAP help %s", verbs[i]);
    }
    EXPECT(0, "$FARHEAP bench -h");
    EXPECT(2, "$FARHEAP help putt");
}

Test(cli, ls_is_sorted_and_limited)
{
    EXPECT(0, "for n in b/2 b/10 a b/1; do echo $n | $FARHEAP put $n || exit; done");
    EXPECT(0, "$FARHEAP ls");
    cr_assert_str_eq(out, "a\nb/1\nb/10\nb/2\n");
    EXPECT(0, "$FARHEAP ls b/ --limit 2 | wc -l");
    cr_assert_eq(atoi(out), 2);
    EXPECT(0, "$FARHEAP ls -l b/1");
    cr_assert_not_null(strstr(out, "VERSION"), "%s", out);
    EXPECT(0, "$FARHEAP ls -l --plain a | cut -f 1,4");
    cr_assert_str_eq(out, "2\ta\n");
    EXPECT(0, "$FARHEAP ls --json b/");
    {
        json_t *json = document("farheap-ls/1");
        json_t *names = json_object_get(json, "names");
        fh_handle handle;

        cr_assert_eq(json_array_size(names), 3);
        cr_assert_eq(
            fh_handle_parse(json_string_value(json_object_get(json_array_get(names, 0), "handle")),
                            &handle),
            FH_OK);
        json_decref(json);
    }
}

Test(cli, a_prefix_is_deleted_only_with_force_when_nobody_can_be_asked)
{
    EXPECT(0, "for n in p/1 p/2 q; do echo $n | $FARHEAP put $n || exit; done");
    EXPECT(0, "$FARHEAP rm --prefix p/ -n");
    cr_assert_str_eq(out, "p/1\np/2\n");
    EXPECT(2, "$FARHEAP rm --prefix p/ </dev/null");
    EXPECT(0, "$FARHEAP ls | wc -l");
    cr_assert_eq(atoi(out), 3);
    EXPECT(0, "$FARHEAP rm --prefix p/ -f --json");
    json_decref(document("farheap-rm/1"));
    EXPECT(0, "$FARHEAP ls");
    cr_assert_str_eq(out, "q\n");
    EXPECT(2, "$FARHEAP rm");
    EXPECT(2, "$FARHEAP rm q --prefix q");
    EXPECT(3, "$FARHEAP rm r");
    EXPECT(0, "$FARHEAP rm -f r");
}

Test(cli, a_time_to_live_is_taken)
{
    EXPECT(0, "echo x | $FARHEAP put t --ttl 1h && $FARHEAP stat t --json");
    {
        json_t *json = document("farheap-stat/1");
        json_int_t ttl = json_integer_value(json_object_get(json, "ttl_ms"));

        cr_assert_gt(ttl, 3500000);
        cr_assert_leq(ttl, 3601000, "%lld", (long long)ttl);
        json_decref(json);
    }
    EXPECT(2, "echo x | $FARHEAP put t --ttl 5");
}

Test(cli, memory_by_handle)
{
    EXPECT(0, "h=$($FARHEAP alloc 1MiB) && printf abcdefgh | $FARHEAP write $h --at 4096 &&"
              " $FARHEAP read $h --at 4098 --len 3");
    cr_assert_str_eq(out, "cde");
    EXPECT(8, "h=$($FARHEAP alloc 64) && $FARHEAP add $h 5 && $FARHEAP add $h -- -2 &&"
              " $FARHEAP cas $h 3 9 && $FARHEAP read $h --len 8 --hex; $FARHEAP cas $h 3 1");
    cr_assert_str_eq(out, "0\n5\n3\n00000000  09 00 00 00 00 00 00 00"
                          "                          |........|\n");
    cr_assert_not_null(strstr(err, "CONFLICT"), "%s", err);
    EXPECT(3, "h=$($FARHEAP alloc 64) && h=$($FARHEAP resize $h 10000) && $FARHEAP zero $h &&"
              " $FARHEAP read $h -o got && test $(stat -c %%s got) = 10000 && $FARHEAP free $h &&"
              " $FARHEAP free $h");
    cr_assert_not_null(strstr(err, "STALE"), "%s", err);
    cr_assert_null(strchr(strchr(err, ':') + 1, '.'), "the key must not be told: %s", err);
}

Test(cli, places_of_an_object_are_written_and_read_at_once)
{
    EXPECT(0, "h=$($FARHEAP alloc 1MiB) && $FARHEAP patch $h 0:abc 500000:defg 7:h:i &&"
              " $FARHEAP gather $h 7:3 500001:2 0:2 9:0");
    cr_assert_str_eq(out, "h:iefab");
    EXPECT(8, "h=$($FARHEAP alloc 64) && $FARHEAP patch $h 0:a --if-version 1");
    EXPECT(1, "h=$($FARHEAP alloc 64) && $FARHEAP patch $h 0:a 64:b");
    EXPECT(2, "h=$($FARHEAP alloc 64) && $FARHEAP gather $h 1,2");
    EXPECT(2, "h=$($FARHEAP alloc 64) && $FARHEAP gather $h 1:99999");
}

Test(cli, lookup_leads_to_the_same_bytes)
{
    EXPECT(0, "echo same | $FARHEAP put n && $FARHEAP read $($FARHEAP lookup n)");
    cr_assert_str_eq(out, "same\n");
}

Test(cli, views_are_shown_to_people_and_to_programs)
{
    static const char *const views[] = {"info", "zones", "slabs", "buddy", "pages"};

    EXPECT(0, "head -c 100000 /dev/urandom | $FARHEAP put x && echo small | $FARHEAP put y");
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        char schema[64];

        EXPECT(0, "$FARHEAP %s", views[i]);
        cr_assert_gt(strlen(out), 40, "%s: %s", views[i], out);
        (void)snprintf(schema, sizeof(schema), "farheap-%s/1", views[i]);
        EXPECT(0, "$FARHEAP %s --json", views[i]);
        json_decref(document(schema));
        EXPECT(0, "$FARHEAP %s --plain", views[i]);
        cr_assert_not_null(strchr(out, '\t'), "%s: %s", views[i], out);
    }
    EXPECT(0, "$FARHEAP info --plain | grep '^objects.count\t'");
    cr_assert_str_eq(out, "objects.count\t2\n");
    EXPECT(0, "$FARHEAP zones --zone 1 --plain | wc -l");
    cr_assert_eq(atoi(out), 1);
}

Test(cli, pages_are_counted_in_a_table_and_drawn_on_a_map)
{
    json_t *d, *list;

    EXPECT(0, "head -c 100000 /dev/urandom | $FARHEAP put x && $FARHEAP alloc 1MiB >handle");
    EXPECT(0, "$FARHEAP pages");
    cr_assert_not_null(strstr(out, "NOTHING"), "%s", out);
    cr_assert_null(strchr(out, '#'), "a table: %s", out);
    EXPECT(0, "$FARHEAP pages --plain | awk -F'\t' '{ n += $3 } END { print n }'");
    cr_assert_eq(atoi(out), (100000 + 4095) / 4096, "%s", out);
    EXPECT(0, "$FARHEAP pages --map");
    cr_assert_not_null(strstr(out, "! failed"), "%s", out);
    cr_assert_not_null(strstr(out, "########"), "%s", out);
    EXPECT(0, "$FARHEAP pages --map --zone 1 --plain | cut -f 1");
    cr_assert_str_eq(out, "1\n");
    EXPECT(0, "$FARHEAP pages --map --zone 1 --json");
    d = document("farheap-pages/1");
    list = json_object_get(d, "zones");
    cr_assert_eq(json_array_size(list), 1u, "%s", out);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(list, 0), "zone")), 1);
    json_decref(d);
    EXPECT(2, "$FARHEAP pages --zone x");
    EXPECT(2, "$FARHEAP zones --map");
}

Test(cli, ping_and_version)
{
    EXPECT(0, "$FARHEAP ping -q");
    cr_assert_str_eq(out, "");
    EXPECT(0, "$FARHEAP ping -c 2 --json");
    json_decref(document("farheap-ping/1"));
    EXPECT(0, "$FARHEAP version --json");
    json_decref(document("farheap-version/1"));
    EXPECT(0, "$FARHEAP --version");
    cr_assert_eq(strncmp(out, "farheap ", 8), 0);
}

Test(cli, json_is_not_mixed_with_data)
{
    EXPECT(0, "echo x | $FARHEAP put j --json");
    json_decref(document("farheap-put/1"));
    EXPECT(2, "$FARHEAP get j --json");
    EXPECT(0, "$FARHEAP get j --json -o file");
    json_decref(document("farheap-get/1"));
}

Test(cli, binary_data_is_not_written_to_a_terminal)
{
    EXPECT(0, "printf 'a\\001b' | $FARHEAP put bin && printf 'text' | $FARHEAP put txt");
    EXPECT(1, "script -qec \"$FARHEAP get bin\" /dev/null </dev/null");
    cr_assert_not_null(strstr(out, "-o -"), "%s", out);
    EXPECT(0, "script -qec \"$FARHEAP get bin -o -\" /dev/null </dev/null");
    EXPECT(0, "script -qec \"$FARHEAP get txt\" /dev/null </dev/null");
    cr_assert_not_null(strstr(out, "text"), "%s", out);
}

Test(cli, a_transfer_longer_than_a_second_shows_how_far_it_is)
{
    EXPECT(0, "printf '%%s' '(head -c 9000000 /dev/zero; sleep 1.2; head -c 9000000 /dev/zero) |"
              " $FARHEAP put long' > slow && script -qec 'sh slow' /dev/null </dev/null");
    cr_assert_not_null(strstr(out, "long  "), "%s", out);
    cr_assert_not_null(strstr(out, "MiB/s"), "%s", out);
    EXPECT(0, "sh slow");
    cr_assert_str_eq(err, "", "no terminal, no bar");
}

static json_int_t objects_now(void)
{
    EXPECT(0, "$FARHEAP info --plain | sed -n 's/^objects.count\t//p'");
    return atoll(out);
}

/* The put is in the middle of its pieces when it is interrupted; one on its way in counts, too. */
Test(cli, a_put_cut_by_ctrl_c_changes_nothing)
{
    EXPECT(0, "echo old | $FARHEAP put big");
    cr_assert_eq(objects_now(), 1);
    EXPECT(130, "mkfifo pipe; $FARHEAP put big <pipe & put=$!; exec 3>pipe;"
                " head -c 20000000 /dev/zero >&3; for i in $(seq 600); do sleep 0.1; n=$($FARHEAP "
                "info --plain | sed -n"
                " 's/^objects.count\t//p'); echo $n >&2; test $n -ge 2 && break; done;"
                " kill -INT $put; wait $put");
    cr_assert_eq(objects_now(), 1, "what was staged is freed");
    EXPECT(0, "$FARHEAP get big");
    cr_assert_str_eq(out, "old\n");
}

Test(cli, a_cache_is_made_used_listed_and_destroyed)
{
    json_t *json, *row;

    EXPECT(0, "printf hello | $FARHEAP cache create point 24 --align 64 --initial -");
    EXPECT(8, "$FARHEAP cache create point 24");
    cr_assert_not_null(strstr(err, "there is a cache of this name"), "%s", err);
    EXPECT(0, "$FARHEAP alloc 24 --cache point > handle; $FARHEAP read $(cat handle) --len 5");
    cr_assert_str_eq(out, "hello");
    EXPECT(0, "$FARHEAP --plain cache ls");
    cr_assert_str_eq(out, "point\t24\t64\t2\t1\t1\t1\tgiven\n");
    EXPECT(0, "$FARHEAP --json cache ls");
    json = document("farheap-cache/1");
    row = json_array_get(json_object_get(json, "caches"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(row, "cache")), "point");
    cr_assert_eq(json_integer_value(json_object_get(row, "used")), 1);
    json_decref(json);
    EXPECT(0, "$FARHEAP --plain slabs | cut -f2 | sort -u");
    cr_assert_str_eq(out, "point\n");
    EXPECT(4, "$FARHEAP cache destroy point");
    EXPECT(0, "$FARHEAP free $(cat handle) && $FARHEAP cache destroy point");
    EXPECT(3, "$FARHEAP cache destroy point");
    EXPECT(3, "$FARHEAP alloc 24 --cache point");
    cr_assert_not_null(strstr(err, "try: farheap cache ls"), "%s", err);
    EXPECT(0, "$FARHEAP --plain cache ls");
    cr_assert_str_eq(out, "");
}

Test(cli, initial_bytes_may_come_from_a_file_of_the_objects_size)
{
    EXPECT(0,
           "head -c 32768 /dev/urandom > file && $FARHEAP cache create big 32KiB --initial file");
    EXPECT(0, "$FARHEAP read $($FARHEAP alloc 32KiB --cache big) | cmp - file");
    EXPECT(1, "head -c 40000 /dev/zero | $FARHEAP cache create more 32KiB --initial -");
    EXPECT(1, "$FARHEAP cache create none 8 --initial missing");
}

Test(cli, a_wrong_cache_command_is_refused_before_the_server_is_asked)
{
    EXPECT(2, "$FARHEAP cache");
    EXPECT(2, "$FARHEAP cache make x 8");
    EXPECT(2, "$FARHEAP cache create x");
    EXPECT(2, "$FARHEAP cache create x eight");
    EXPECT(2, "$FARHEAP cache create x 8 --align 8GiB");
    EXPECT(2, "$FARHEAP cache destroy");
    EXPECT(2, "$FARHEAP cache destroy x y");
    EXPECT(2, "$FARHEAP cache destroy x --align 8");
    EXPECT(2, "$FARHEAP cache ls x");
    EXPECT(2, "$FARHEAP free h --cache x");
}
