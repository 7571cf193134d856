#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

#define GIB (UINT64_C(1) << 30)

static struct fh_config config;
static char file_path[64];
static const char *env_name, *env_value;

static const char *env_get(const char *name)
{
    if (strcmp(name, "HOME") == 0)
        return "/home/somebody";
    return env_name && strcmp(name, env_name) == 0 ? env_value : NULL;
}

static void setup(void)
{
    memset(&config, 0xa5, sizeof config);
    fh_config_init(&config);
    env_name = NULL;
    file_path[0] = 0;
}

static void teardown(void)
{
    fh_config_fini(&config);
    if (file_path[0])
        unlink(file_path);
}

TestSuite(config, .init = setup, .fini = teardown, .timeout = 30);

static bool load(char **argv)
{
    const struct fh_config_world world = {.env = env_get, .machine_bytes = 10 * GIB};
    int argc = 0;

    while (argv[argc])
        argc++;
    return fh_config_load(&config, argc, argv, &world);
}

static void write_file(const char *text)
{
    strcpy(file_path, "/tmp/farheap-config-XXXXXX");
    int fd = mkstemp(file_path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A good value of each key that is not its default, in the order of the table. */
static const char *const other[FH_CONFIG_KEYS] = {"127.0.0.1:1,plain",
                                                  "3",
                                                  "tertiary",
                                                  "1GiB",
                                                  "5TiB",
                                                  "40%",
                                                  "20%",
                                                  "/somewhere",
                                                  "5GiB",
                                                  "/elsewhere",
                                                  "threads",
                                                  "7",
                                                  "2%",
                                                  "5%",
                                                  "9.5%",
                                                  "11%",
                                                  "12",
                                                  "8KiB",
                                                  "a=/srv/a,rw",
                                                  "17",
                                                  "6s",
                                                  "7s",
                                                  "8m",
                                                  "9s",
                                                  "1MiB",
                                                  "3MiB",
                                                  "1MiB",
                                                  "",
                                                  "",
                                                  "",
                                                  "off",
                                                  "none",
                                                  "debug",
                                                  "json",
                                                  "some-node",
                                                  "on"};

static bool key_can_be_walked(unsigned k)
{
    return k != FH_KEY_tls_cert && k != FH_KEY_tls_key && k != FH_KEY_tls_ca &&
           k != FH_KEY_client_cert;
}

static void assert_value(unsigned k, enum fh_config_origin origin)
{
    char value[256];

    fh_config_value(&config, k, value, sizeof value);
    cr_assert_str_eq(value, other[k], "%s is %s", fh_config_key_name(k), value);
    cr_assert_eq(config.origin[k], origin);
}

Test(config, a_switch_may_stand_alone)
{
    cr_assert(load((char *[]){"farheapd", "--debug-alloc", "--node=n", NULL}), "%s",
              config.problem);
    cr_assert_eq(config.debug_alloc, 1u);
    cr_assert_eq(config.origin[FH_KEY_debug_alloc], FH_FROM_FLAG);
    fh_config_fini(&config);
    fh_config_init(&config);
    cr_assert(load((char *[]){"farheapd", "--debug-alloc=off", NULL}));
    cr_assert_eq(config.debug_alloc, 0u);
    fh_config_fini(&config);
    fh_config_init(&config);
    cr_assert_not(load((char *[]){"farheapd", "--debug-alloc=maybe", NULL}));
}

Test(config, every_default_is_a_good_value)
{
    cr_assert(load((char *[]){"farheapd", NULL}), "%s", config.problem);
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++)
        cr_assert_eq(config.origin[k], FH_FROM_DEFAULT);
    cr_assert_eq(config.memory, 10 * GIB / 1000 * 800, "80%% of the machine");
    cr_assert_eq(config.swap_size, FH_SWAP_AUTO);
    cr_assert_eq(config.listen.count, 1u);
}

Test(config, every_key_can_be_given_as_a_flag)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        char flag[128];
        if (!key_can_be_walked(k))
            continue;
        snprintf(flag, sizeof flag, "--%s=%s", fh_config_key_name(k), other[k]);
        cr_assert(load((char *[]){"farheapd", flag, NULL}), "%s", config.problem);
        assert_value(k, FH_FROM_FLAG);
        fh_config_fini(&config);
    }
}

Test(config, every_key_can_be_given_in_the_environment)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        char name[64] = "FARHEAP_";
        if (!key_can_be_walked(k))
            continue;
        for (const char *s = fh_config_key_name(k); *s; s++)
            strncat(name, (char[]){*s == '-' ? '_' : (char)(*s - 'a' + 'A'), 0}, 1);
        env_name = name;
        env_value = other[k];
        cr_assert(load((char *[]){"farheapd", NULL}), "%s", config.problem);
        assert_value(k, FH_FROM_ENVIRONMENT);
        fh_config_fini(&config);
    }
}

Test(config, every_key_can_be_given_in_the_file)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        char line[256];
        if (!key_can_be_walked(k))
            continue;
        snprintf(line, sizeof line, "[a heading]\n%s = %s\n", fh_config_key_name(k), other[k]);
        write_file(line);
        cr_assert(load((char *[]){"farheapd", "-c", file_path, NULL}), "%s", config.problem);
        assert_value(k, FH_FROM_FILE);
        fh_config_fini(&config);
        unlink(file_path);
    }
}

Test(config, a_flag_beats_the_environment_which_beats_the_file)
{
    write_file("zones = 2\nnode = from-file\nio-threads = 9\n");
    env_name = "FARHEAP_ZONES";
    env_value = "3";
    cr_assert(load((char *[]){"farheapd", "-c", file_path, "--node=from-flag", NULL}));
    cr_assert_eq(config.zones, 3u);
    cr_assert_str_eq(config.node, "from-flag");
    cr_assert_eq(config.io_threads, 9u);
    env_value = "3";
    fh_config_fini(&config);
    cr_assert(load((char *[]){"farheapd", "-c", file_path, "--zones=4", NULL}));
    cr_assert_eq(config.zones, 4u);
}

Test(config, repeated_listeners_add_up_and_hide_weaker_ones)
{
    write_file("listen = 127.0.0.1:1,plain\nlisten = 127.0.0.1:2,plain\n");
    cr_assert(load((char *[]){"farheapd", "-c", file_path, NULL}));
    cr_assert_eq(config.listen.count, 2u);
    fh_config_fini(&config);
    cr_assert(load((char *[]){"farheapd", "-c", file_path, "--listen=unix:/x,plain", NULL}));
    cr_assert_eq(config.listen.count, 1u);
    cr_assert_str_eq(config.listen.item[0], "unix:/x,plain");
}

static void assert_refused(char **argv, const char *word)
{
    cr_assert_not(load(argv));
    cr_assert(strstr(config.problem, word), "'%s' does not tell of %s", config.problem, word);
    fh_config_fini(&config);
}

Test(config, an_unknown_key_is_told_with_the_nearest)
{
    assert_refused((char *[]){"farheapd", "--swapsize=1GiB", NULL}, "'swap-size'");
    assert_refused((char *[]){"farheapd", "--memroy=1GiB", NULL}, "'memory'");
    write_file("\n\nmax-conections = 5\n");
    assert_refused((char *[]){"farheapd", "-c", file_path, NULL}, "'max-connections'");
}

Test(config, a_bad_value_is_told_with_its_line)
{
    char place[128];

    write_file("zones = 1\n; a comment\nmemory = much\n");
    snprintf(place, sizeof place, "%s:3: memory", file_path);
    assert_refused((char *[]){"farheapd", "-c", file_path, NULL}, place);
}

Test(config, what_is_out_of_range_or_malformed_is_refused)
{
    static char *const bad[] = {"--io=fast",          "--zones=-1",        "--zones=99999",
                                "--zones=1x",         "--free-min=101%",   "--frame-timeout=10",
                                "--frame-timeout=1y", "--max-body=1TiB",   "--memory=12",
                                "--memory=80",        "--idle-timeout=0s", "--copy-out-max=-1",
                                "--listen="};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(load((char *[]){"farheapd", bad[i], NULL}), "%s was taken", bad[i]);
        fh_config_fini(&config);
    }
}

Test(config, what_does_not_fit_together_is_refused)
{
    assert_refused((char *[]){"farheapd", "--listen=127.0.0.1:1", NULL}, "tls-cert");
    assert_refused((char *[]){"farheapd", "--tls-cert=x", NULL}, "without the other");
    assert_refused((char *[]){"farheapd", "--client-cert=require", NULL}, "tls-ca");
    assert_refused((char *[]){"farheapd", "--free-low=7%", NULL}, "decrease");
    assert_refused((char *[]){"farheapd", "stray", NULL}, "stray");
}

Test(config, a_line_too_long_for_the_reader_is_refused_and_not_cut)
{
    char text[400] = "node = ";

    memset(text + 7, 'x', 300);
    text[307] = '\n';
    text[308] = 0;
    write_file(text);
    assert_refused((char *[]){"farheapd", "-c", file_path, NULL}, ":1: line longer");
}

Test(config, what_is_printed_reads_back_as_the_same)
{
    char text[16384] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    char before[256], after[256];
    struct fh_config first;

    cr_assert(load((char *[]){"farheapd", "--zones=2", "--free-high=9.5%", NULL}));
    fh_config_print(&config, out);
    fclose(out);
    first = config;
    fh_config_init(&config);
    write_file(text);
    cr_assert(load((char *[]){"farheapd", "-c", file_path, NULL}), "%s", config.problem);
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        fh_config_value(&first, k, before, sizeof before);
        fh_config_value(&config, k, after, sizeof after);
        cr_assert_str_eq(before, after);
    }
    fh_config_fini(&first);
}

Test(config, the_shipped_file_is_the_template)
{
    static char shipped[32768], made[32768];
    FILE *file = fopen(FARHEAP_SOURCE_DIR "/deploy/farheap.conf", "re");
    FILE *out = fmemopen(made, sizeof made, "w");

    cr_assert(file);
    shipped[fread(shipped, 1, sizeof shipped - 1, file)] = 0;
    fclose(file);
    fh_config_print_template(out);
    fclose(out);
    cr_assert_str_eq(shipped, made);
}
