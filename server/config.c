/*
 * Theory.  One X-macro makes the struct, the parser and all lists. Values are applied in the order
 * defaults, file, environment, flags; each application replaces what was there, also of a list: a
 * list given in a stronger place hides the weaker one's items.
 *
 * inih cuts lines silently at 200 bytes, so lines are counted and measured by our own reader.
 *
 * Invariants
 *   [I1] after a successful load each field lies in the bounds of its row
 *   [I2] origin[k] tells which place the value of k came from
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "units.h"

enum config_kind {
    KIND_COUNT,
    KIND_SIZE,
    KIND_TIME,
    KIND_SHARE,
    KIND_MEMORY,
    KIND_SWAP,
    KIND_CHOICE,
    KIND_TEXT,
    KIND_LIST
};

struct config_row {
    const char *key;
    enum config_kind kind;
    const char *text;
    uint64_t least, most;
    const char *choices, *meaning;
    size_t field;
};

static const struct config_row rows[] = {
#define CONFIG_ROW(field, key, kind, text, least, most, choices, meaning)                          \
    {key, KIND_##kind, text, least, most, choices, meaning, offsetof(struct fh_config, field)},
    FH_CONFIG_TABLE(CONFIG_ROW)
#undef CONFIG_ROW
};
_Static_assert(sizeof rows / sizeof rows[0] == FH_CONFIG_KEYS, "a row per key");

const char *fh_config_key_name(enum fh_config_key key)
{
    return rows[key].key;
}

const char *fh_config_origin_name(enum fh_config_origin origin)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};

    return names[origin];
}

__attribute__((format(printf, 2, 3))) static bool config_fail(struct fh_config *c,
                                                              const char *format, ...)
{
    va_list args;

    if (c->problem[0])
        return false;
    va_start(args, format);
    vsnprintf(c->problem, sizeof c->problem, format, args);
    va_end(args);
    return false;
}

static void *config_field(struct fh_config *c, const struct config_row *row)
{
    return (char *)c + row->field;
}

static void list_clear(struct fh_config_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        free(list->item[i]);
    list->count = 0;
}

void fh_config_init(struct fh_config *c)
{
    memset(c, 0, sizeof *c);
}

void fh_config_fini(struct fh_config *c)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        if (rows[k].kind == KIND_TEXT) {
            char **text = config_field(c, &rows[k]);
            free(*text);
        }
        if (rows[k].kind == KIND_LIST)
            list_clear(config_field(c, &rows[k]));
        free(c->text[k]);
    }
    memset(c, 0, sizeof *c);
}

/* Index of `text` in "a|b|c". */
static bool scan_choice(const char *choices, const char *text, uint64_t *out)
{
    size_t size = strlen(text);

    for (uint64_t index = 0; *choices; index++) {
        size_t part = strcspn(choices, "|");
        if (part == size && memcmp(choices, text, size) == 0) {
            *out = index;
            return true;
        }
        choices += part + (choices[part] == '|');
    }
    return false;
}

static void print_choice(const char *choices, uint64_t index, char *text, size_t size)
{
    while (index-- > 0)
        choices += strcspn(choices, "|") + 1;
    snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

static bool scan_memory(const struct fh_config *c, const char *text, uint64_t *out)
{
    uint64_t permille;

    if (!fh_units_scan_share(text, &permille))
        return fh_units_scan_size(text, out);
    *out = c->machine_bytes / 1000 * permille;
    return true;
}

bool fh_config_scan_memory(const struct fh_config *c, const char *text, uint64_t *out)
{
    const struct config_row *row = &rows[FH_KEY_memory];
    uint64_t value;

    if (!scan_memory(c, text, &value) || value < row->least || value > row->most)
        return false;
    *out = value;
    return true;
}

static bool scan_number(const struct fh_config *c, const struct config_row *row, const char *text,
                        uint64_t *out)
{
    switch (row->kind) {
    case KIND_COUNT:
        return fh_units_scan_count(text, out);
    case KIND_SIZE:
        return fh_units_scan_size(text, out);
    case KIND_TIME:
        return fh_units_scan_time(text, out);
    case KIND_SHARE:
        return fh_units_scan_share(text, out);
    case KIND_MEMORY:
        return scan_memory(c, text, out);
    case KIND_SWAP:
        return fh_units_scan_size(text, out);
    case KIND_CHOICE:
        return scan_choice(row->choices, text, out);
    case KIND_TEXT:
    case KIND_LIST:
        break;
    }
    return false;
}

static const char *kind_wants(const struct config_row *row)
{
    static const char *const wants[] = {"a number",
                                        "a size such as 64KiB",
                                        "a time such as 500ms or 5s",
                                        "a share such as 4%",
                                        "a size such as 2GiB or a share such as 80%",
                                        "a size such as 4GiB, 0 or auto"};
    return row->kind == KIND_CHOICE ? row->choices : wants[row->kind];
}

static bool set_number(struct fh_config *c, const struct config_row *row, const char *text,
                       const char *place)
{
    uint64_t *field = config_field(c, row);
    uint64_t value;

    if (row->kind == KIND_SWAP && strcmp(text, "auto") == 0) {
        *field = FH_SWAP_AUTO;
        return true;
    }
    if (!scan_number(c, row, text, &value))
        return config_fail(c, "%s: %s: '%.80s' is not %s", place, row->key, text, kind_wants(row));
    if (row->kind != KIND_CHOICE && (value < row->least || value > row->most))
        return config_fail(c, "%s: %s: '%.80s' is out of range (%llu to %llu)", place, row->key,
                           text, (unsigned long long)row->least, (unsigned long long)row->most);
    *field = value;
    return true;
}

static bool list_add(struct fh_config *c, struct fh_config_list *list, const char *item,
                     size_t size, const struct config_row *row, const char *place)
{
    if (list->count == FH_CONFIG_LIST_MAX)
        return config_fail(c, "%s: %s: at most %d of them", place, row->key, FH_CONFIG_LIST_MAX);
    list->item[list->count] = strndup(item, size);
    if (!list->item[list->count])
        return config_fail(c, "%s: %s: out of memory", place, row->key);
    list->count++;
    return true;
}

/* Items stand apart by spaces; they replace those of a weaker origin. */
static bool set_list(struct fh_config *c, unsigned k, const char *text,
                     enum fh_config_origin origin, const char *place)
{
    struct fh_config_list *list = config_field(c, &rows[k]);

    if (c->origin[k] != origin || origin == FH_FROM_DEFAULT)
        list_clear(list);
    text += strspn(text, " ");
    while (*text) {
        size_t size = strcspn(text, " ");
        if (!list_add(c, list, text, size, &rows[k], place))
            return false;
        text += size;
        text += strspn(text, " ");
    }
    return list->count > 0 || !*rows[k].text || config_fail(c, "%s: %s: empty", place, rows[k].key);
}

static bool set_text(struct fh_config *c, char **field, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return config_fail(c, "out of memory");
    free(*field);
    *field = copy;
    return true;
}

static bool config_set(struct fh_config *c, unsigned k, const char *text,
                       enum fh_config_origin origin, const char *place)
{
    bool good;

    if (rows[k].kind == KIND_LIST)
        good = set_list(c, k, text, origin, place);
    else if (rows[k].kind == KIND_TEXT)
        good = set_text(c, config_field(c, &rows[k]), text);
    else
        good = set_number(c, &rows[k], text, place);
    if (!good)
        return false;
    c->origin[k] = origin;
    return set_text(c, &c->text[k], text);
}

/* --- the nearest key, for whoever mistyped one --- */

enum { KEY_SIZE_MAX = 32 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Edits that lead from a to b (Wagner and Fischer 1974). */
static unsigned key_distance(const char *a, const char *b)
{
    unsigned row[KEY_SIZE_MAX + 1];
    size_t size = strlen(b);

    if (strlen(a) > KEY_SIZE_MAX || size > KEY_SIZE_MAX)
        return KEY_SIZE_MAX;
    for (unsigned j = 0; j <= size; j++)
        row[j] = j;
    for (unsigned i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (unsigned j = 0; j < size; j++) {
            unsigned up = row[j + 1];
            row[j + 1] = min3(up + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = up;
        }
    }
    return row[size];
}

static bool config_unknown(struct fh_config *c, const char *key, const char *place)
{
    unsigned best = 0;

    for (unsigned k = 1; k < FH_CONFIG_KEYS; k++)
        if (key_distance(key, rows[k].key) < key_distance(key, rows[best].key))
            best = k;
    return config_fail(c, "%s: unknown key '%.60s'; the nearest is '%s'", place, key,
                       rows[best].key);
}

static bool config_find(const char *key, unsigned *k)
{
    for (*k = 0; *k < FH_CONFIG_KEYS; ++*k)
        if (strcmp(rows[*k].key, key) == 0)
            return true;
    return false;
}

/* --- the file --- */

struct config_file {
    struct fh_config *config;
    const char *path;
    FILE *file;
    unsigned line;
    bool too_long;
};

static char *file_line(char *line, int size, void *ctx)
{
    struct config_file *f = ctx;
    char *got = fgets(line, size, f->file);

    if (!got)
        return NULL;
    f->line++;
    if (!strchr(line, '\n') && !feof(f->file))
        f->too_long = true;
    return f->too_long ? NULL : got;
}

static int file_entry(void *ctx, const char *section, const char *key, const char *value)
{
    struct config_file *f = ctx;
    char place[256];
    unsigned k;

    (void)section; /* only a heading */
    snprintf(place, sizeof place, "%s:%u", f->path, f->line);
    if (!config_find(key, &k))
        return config_unknown(f->config, key, place);
    return config_set(f->config, k, value ? value : "", FH_FROM_FILE, place);
}

static bool config_load_file(struct fh_config *c, const char *path)
{
    struct config_file f = {.config = c, .path = path, .file = fopen(path, "re")};

    if (!f.file)
        return config_fail(c, "%s: %s", path, strerror(errno));
    int rc = ini_parse_stream(file_line, &f, file_entry, &f);
    if (f.too_long)
        config_fail(c, "%s:%u: line longer than %d bytes", path, f.line, INI_MAX_LINE - 2);
    else if (ferror(f.file))
        config_fail(c, "%s: cannot be read", path);
    else if (rc != 0)
        config_fail(c, "%s:%d: not KEY = VALUE", path, rc);
    fclose(f.file);
    return c->problem[0] == 0;
}

/* --- environment and flags --- */

static bool config_load_environment(struct fh_config *c, const struct fh_config_world *world)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        char name[KEY_SIZE_MAX + 16];
        size_t size = (size_t)snprintf(name, sizeof name, "FARHEAP_%s", rows[k].key);
        for (size_t i = 0; i < size; i++)
            name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
        const char *value = world->env(name);
        if (value && !config_set(c, k, value, FH_FROM_ENVIRONMENT, name))
            return false;
    }
    return true;
}

enum {
    OPTION_FILE = 'c',
    OPTION_HELP = 'h',
    OPTION_VERSION = 'V',
    OPTION_VERBS = 256,
    OPTION_KEYS = 512
};

/* Its flag may stand alone. */
static bool row_is_switch(const struct config_row *row)
{
    return strcmp(row->choices, "off|on") == 0;
}

static void options_fill(struct option *options)
{
    static const struct {
        const char *name;
        enum fh_config_verb verb;
    } verbs[] = {{"check-config", FH_VERB_CHECK},
                 {"print-config", FH_VERB_PRINT},
                 {"print-template", FH_VERB_TEMPLATE},
                 {"version", FH_VERB_VERSION},
                 {"help", FH_VERB_HELP}};

    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++)
        *options++ = (struct option){
            rows[k].key, row_is_switch(&rows[k]) ? optional_argument : required_argument, NULL,
            OPTION_KEYS + (int)k};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        *options++ =
            (struct option){verbs[i].name, no_argument, NULL, OPTION_VERBS + (int)verbs[i].verb};
    *options = (struct option){NULL, 0, NULL, 0};
}

static bool flag_fail(struct fh_config *c, char **argv)
{
    const char *flag = argv[optind - 1];
    char key[64];

    if (strncmp(flag, "--", 2) != 0)
        return config_fail(c, "command line: '%.60s' is no option, or lacks its value", flag);
    snprintf(key, sizeof key, "%.*s", (int)strcspn(flag + 2, "="), flag + 2);
    unsigned k;
    if (config_find(key, &k))
        return config_fail(c, "command line: --%s needs a value", key);
    return config_unknown(c, key, "command line");
}

/* One pass over the flags: the first finds file and verb, the second applies the keys. */
static bool config_walk_flags(struct fh_config *c, int argc, char **argv, bool apply,
                              const char **file)
{
    struct option options[FH_CONFIG_KEYS + 8];
    int option;

    options_fill(options);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
        if (option == OPTION_FILE)
            *file = optarg;
        else if (option == OPTION_HELP)
            c->verb = FH_VERB_HELP;
        else if (option >= OPTION_KEYS && apply) {
            char place[KEY_SIZE_MAX + 8];
            snprintf(place, sizeof place, "--%s", rows[option - OPTION_KEYS].key);
            if (!config_set(c, (unsigned)(option - OPTION_KEYS), optarg ? optarg : "on",
                            FH_FROM_FLAG, place))
                return false;
        } else if (option >= OPTION_VERBS && option < OPTION_KEYS)
            c->verb = (enum fh_config_verb)(option - OPTION_VERBS);
        else if (option == '?')
            return flag_fail(c, argv);
    }
    if (optind < argc)
        return config_fail(c, "command line: unexpected '%.60s'", argv[optind]);
    return true;
}

/* --- what no single key can tell --- */

/* The state folder: the service manager's, else the machine's, else the user's. */
static bool config_state_folder(char *path, size_t size, const struct fh_config_world *world)
{
    const char *given = world->env("STATE_DIRECTORY");
    const char *state = world->env("XDG_STATE_HOME");
    const char *home = world->env("HOME");

    if (given)
        snprintf(path, size, "%s", given);
    else if (access("/var/lib/farheap", W_OK) == 0)
        snprintf(path, size, "/var/lib/farheap");
    else if (state && *state)
        snprintf(path, size, "%s/farheap", state);
    else if (home && *home)
        snprintf(path, size, "%s/.local/state/farheap", home);
    else
        return false;
    return true;
}

static bool config_fill_texts(struct fh_config *c, const struct fh_config_world *world)
{
    char text[512];

    if (!*c->swap) {
        if (!config_state_folder(text, sizeof text, world))
            return config_fail(c, "swap: no state folder found; give one with --swap=DIR");
        if (!set_text(c, &c->swap, text))
            return false;
    }
    if (!*c->node) {
        if (gethostname(text, sizeof text) != 0)
            snprintf(text, sizeof text, "farheap");
        text[sizeof text - 1] = 0;
        return set_text(c, &c->node, text);
    }
    return true;
}

static bool config_needs_tls(const struct fh_config *c)
{
    for (unsigned i = 0; i < c->listen.count; i++) {
        const char *comma = strrchr(c->listen.item[i], ',');
        if (!comma || strcmp(comma, ",plain") != 0)
            return true;
    }
    return false;
}

static bool config_check_whole(struct fh_config *c)
{
    if (config_needs_tls(c) && (!*c->tls_cert || !*c->tls_key))
        return config_fail(c, "listen: needs tls-cert and tls-key, or write ,plain behind the "
                              "address to serve plain text");
    if (!*c->tls_cert != !*c->tls_key)
        return config_fail(c, "tls-cert and tls-key: one without the other");
    if (c->client_cert != FH_CLIENT_CERT_OFF && !*c->tls_ca)
        return config_fail(c, "client-cert: needs tls-ca, the authorities to believe");
    if (c->memory_max != FH_SWAP_AUTO && c->memory > c->memory_max)
        return config_fail(c, "memory: more than memory-max");
    if (c->free_min > c->free_low || c->free_low > c->free_high)
        return config_fail(c, "free-min, free-low, free-high: must not decrease in this order");
    return true;
}

bool fh_config_load(struct fh_config *c, int argc, char **argv, const struct fh_config_world *world)
{
    const char *file = NULL;

    c->machine_bytes = world->machine_bytes;
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++)
        if (!config_set(c, k, rows[k].text, FH_FROM_DEFAULT, "default"))
            return false;
    if (!config_walk_flags(c, argc, argv, false, &file))
        return false;
    if (c->verb >= FH_VERB_TEMPLATE)
        return true;
    if (file && !config_load_file(c, file))
        return false;
    if (!config_load_environment(c, world))
        return false;
    if (!config_walk_flags(c, argc, argv, true, &file))
        return false;
    return config_fill_texts(c, world) && config_check_whole(c);
}

/* --- printing --- */

void fh_config_value(const struct fh_config *c, enum fh_config_key key, char *text, size_t size)
{
    const struct config_row *row = &rows[key];
    const void *field = (const char *)c + row->field;
    char number[FH_UNITS_TEXT_SIZE];

    text[0] = 0;
    if (row->kind == KIND_TEXT) {
        snprintf(text, size, "%s", *(char *const *)field);
        return;
    }
    if (row->kind == KIND_LIST) {
        const struct fh_config_list *list = field;
        for (unsigned i = 0; i < list->count; i++)
            snprintf(text + strlen(text), size - strlen(text), "%s%s", i ? " " : "", list->item[i]);
        return;
    }
    uint64_t value = *(const uint64_t *)field;
    if (row->kind == KIND_CHOICE) {
        print_choice(row->choices, value, text, size);
        return;
    }
    if (row->kind == KIND_COUNT)
        snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    else if (row->kind == KIND_TIME)
        fh_units_print_time(number, value);
    else if (row->kind == KIND_SHARE)
        fh_units_print_share(number, value);
    else if (row->kind == KIND_SWAP && value == FH_SWAP_AUTO)
        snprintf(number, sizeof number, "auto");
    else
        fh_units_print_size(number, value);
    snprintf(text, size, "%s", number);
}

void fh_config_print(const struct fh_config *c, FILE *out)
{
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        char value[1024];
        fh_config_value(c, k, value, sizeof value);
        fprintf(out, "%s = %-28s ; %s\n", rows[k].key, value, fh_config_origin_name(c->origin[k]));
    }
}

void fh_config_print_template(FILE *out)
{
    fprintf(out, "; farheap.conf: what farheapd -c reads. A line that is commented out shows the "
                 "default.\n; A flag --KEY=VALUE beats FARHEAP_KEY in the environment, which beats "
                 "this file.\n");
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        fprintf(out, "\n; %s", rows[k].meaning);
        if (*rows[k].choices)
            fprintf(out, ": %s", rows[k].choices);
        fprintf(out, "\n;%s = %s\n", rows[k].key, rows[k].text);
    }
}

void fh_config_print_help(FILE *out)
{
    fprintf(out, "usage: farheapd [-c FILE] [--KEY=VALUE ...]\n\n"
                 "Serves remote-addressable memory. Runs in the foreground, logs on stderr.\n\n"
                 "  -c FILE              read keys from a file\n"
                 "  --check-config       tell what is wrong with the configuration, exit 0 or 2\n"
                 "  --print-config       print each effective value and where it came from\n"
                 "  --print-template     print a commented farheap.conf\n"
                 "  --version, --help    print and exit\n\nKeys (also in the file, and as "
                 "FARHEAP_KEY in the environment):\n");
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        fprintf(out, "  --%s=%s\n      %s", rows[k].key, *rows[k].text ? rows[k].text : "...",
                rows[k].meaning);
        fprintf(out, *rows[k].choices ? ": %s\n" : "%s\n", rows[k].choices);
    }
}
