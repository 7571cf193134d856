/*
 * exports: which names lead to files, and that none leads out of its folder: several hundred
 * hostile ones, and a folder that is exchanged for a link all the time.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/exports.h"
#include "tests/support/folder.h"

static char root[64], secret_path[128];
static struct fh_exports exports;
static uint64_t secret_number;

static const char *at(const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *out = path[turn++ % 4];

    (void)snprintf(out, sizeof(path[0]), "%s/%s", root, name);
    return out;
}

static void make_file(const char *name, const char *content)
{
    FILE *f = fopen(at(name), "w");

    cr_assert_not_null(f);
    (void)fputs(content, f);
    (void)fclose(f);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", at(name));
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static bool open_exports(const char *const *items, unsigned count, char *problem)
{
    struct fh_config_list list = {.count = count};

    for (unsigned i = 0; i < count; i++)
        list.item[i] = (char *)(uintptr_t)items[i];
    return fh_exports_open(&exports, &list, problem);
}

/* root/: secret, out/ (exported as nothing), in/: what is exported. */
static void setup(void)
{
    char problem[FH_EXPORT_PROBLEM_SIZE], ro[128], rw[128];
    const char *items[] = {ro, rw};
    struct stat st;

    (void)snprintf(root, sizeof(root), "/tmp/farheap-exports-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    make_file("secret", "nobody may read this");
    cr_assert_eq(stat(at("secret"), &st), 0);
    secret_number = st.st_ino;
    (void)snprintf(secret_path, sizeof(secret_path), "%s/secret", root);
    cr_assert_eq(mkdir(at("out"), 0755), 0);
    make_file("out/file", "outside");
    cr_assert_eq(mkdir(at("in"), 0755), 0);
    cr_assert_eq(mkdir(at("in/sub"), 0755), 0);
    make_file("in/file", "hello");
    make_file("in/sub/file", "deeper");
    cr_assert_eq(symlink("file", at("in/link")), 0);
    cr_assert_eq(symlink("../secret", at("in/up")), 0);
    cr_assert_eq(symlink(secret_path, at("in/absolute")), 0);
    cr_assert_eq(symlink("../out", at("in/folder")), 0);
    cr_assert_eq(symlink("sub", at("in/inner")), 0);
    cr_assert_eq(symlink("/proc/self/root", at("in/proc")), 0);
    cr_assert_eq(symlink("loop", at("in/loop")), 0);
    cr_assert_eq(mkfifo(at("in/fifo"), 0644), 0);
    make_socket("in/socket");
    (void)snprintf(ro, sizeof(ro), "ro=%s/in", root);
    (void)snprintf(rw, sizeof(rw), "rw=%s/in,rw", root);
    cr_assert(open_exports(items, 2, problem), "%s", problem);
}

static void teardown(void)
{
    fh_exports_close(&exports);
    folder_remove(root);
}

TestSuite(exports, .init = setup, .fini = teardown, .timeout = 60);

/* What a request for the name comes to: text first, then the kernel. Its descriptor is closed. */
static int try_open(const char *export, const void *path, size_t size, bool write,
                    struct fh_file_found *found)
{
    struct fh_file_wish wish = {.write = write};

    if (!fh_export_name_is_fine(export, strlen(export)) || !fh_export_path_is_fine(path, size))
        return -EINVAL;
    (void)snprintf(wish.name, sizeof(wish.name), "%s", export);
    memcpy(wish.path, path, size);
    int rc = fh_exports_file(&exports, &wish, found);
    if (rc == 0) {
        cr_assert_neq(found->number, secret_number, "the secret was opened as %s", wish.path);
        close(found->fd);
    }
    return rc;
}

static int try_text(const char *path)
{
    struct fh_file_found found;
    return try_open("rw", path, strlen(path), false, &found);
}

Test(exports, opens_regular_files_below_the_folder)
{
    struct fh_file_found found;

    cr_assert_eq(try_open("ro", "file", 4, false, &found), 0);
    cr_assert_eq(found.size_bytes, 5);
    cr_assert_not(found.may_write);
    cr_assert_eq(try_open("rw", "sub/file", 8, true, &found), 0);
    cr_assert_eq(found.size_bytes, 6);
    cr_assert(found.may_write);
    cr_assert_eq(try_open("ro", "file", 4, true, &found), -EACCES);
    cr_assert_eq(try_open("none", "file", 4, false, &found), -ENOENT);
    cr_assert_eq(try_text("missing"), -ENOENT);
    cr_assert_eq(try_text("file/below"), -ENOENT);
}

Test(exports, refuses_what_is_no_regular_file)
{
    cr_assert_eq(try_text("sub"), -EINVAL);
    cr_assert_eq(try_text("fifo"), -EINVAL);
    cr_assert_eq(try_text("socket"), -EINVAL);
}

Test(exports, refuses_every_link)
{
    static const char *const links[] = {"link",  "up",           "absolute", "folder/file",
                                        "inner", "inner/file",   "proc",     "proc/etc/passwd",
                                        "loop",  "loop/anything"};

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        cr_assert_eq(try_text(links[i]), -EACCES, "%s: %d", links[i], try_text(links[i]));
}

/* Every way up or out that can be written, in front of and behind something harmless. */
Test(exports, refuses_three_hundred_hostile_names)
{
    static const char *const ways[] = {"..",          "../",
                                       "../..",       "./..",
                                       "/..",         "/",
                                       "//",          ".",
                                       "./",          "/.",
                                       "...//..",     "..//",
                                       "../.",        ".././",
                                       "%2e%2e",      "%2e%2e/",
                                       "..%2f",       "..\\",
                                       "\\..",        "..;",
                                       "..\xc0\xaf",  "\xc0\xae\xc0\xae",
                                       "\xff\xfe..",  "~",
                                       "~root",       "$HOME",
                                       "`id`",        "*",
                                       "?",           "..\n",
                                       "\r\n..",      "\t../",
                                       "...",         "....",
                                       "..../",       "/proc/self/root",
                                       "/etc/passwd", "proc/self/root/etc/passwd",
                                       "/dev/zero",   "\x01",
                                       "\x7f..",      "CON",
                                       "aux:",        "..:",
                                       "file:///",    "http://"};
    static const char *const tails[] = {"", "/secret", "secret", "/../secret", "/out/file", "/./x"};
    static const char *const fronts[] = {"", "sub/", "sub/../"};
    unsigned tried = 0;

    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
            for (size_t f = 0; f < sizeof(fronts) / sizeof(fronts[0]); f++) {
                char path[256];
                (void)snprintf(path, sizeof(path), "%s%s%s", fronts[f], ways[w], tails[t]);
                int rc = try_text(path);
                cr_assert(rc == -EINVAL || rc == -ENOENT || rc == -EACCES, "'%s': %d", path, rc);
                tried++;
            }
        }
    }
    cr_assert_geq(tried, 300);
}

Test(exports, refuses_names_with_nul_or_without_end)
{
    static char longest[FH_EXPORT_PATH_MAX + 2];
    struct fh_file_found found;

    cr_assert_eq(try_open("rw", "file\0", 5, false, &found), -EINVAL);
    cr_assert_eq(try_open("rw", "\0file", 5, false, &found), -EINVAL);
    cr_assert_eq(try_open("rw", "file\0/../secret", 15, false, &found), -EINVAL);
    cr_assert_eq(try_open("rw", "", 0, false, &found), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 200; i < sizeof(longest); i += 200)
        longest[i] = '/';
    cr_assert_eq(try_open("rw", longest, FH_EXPORT_PATH_MAX + 1, false, &found), -EINVAL);
    cr_assert_eq(try_open("rw", longest, FH_EXPORT_PATH_MAX - 100, false, &found), -ENOENT);
    memset(longest, 'a', sizeof(longest));
    cr_assert_eq(try_open("rw", longest, 256, false, &found), -EINVAL);
    cr_assert_eq(try_open("rw", longest, 255, false, &found), -ENOENT);
}

Test(exports, refuses_hostile_names_of_exports)
{
    static const char *const names[] = {"", ".", "..", "a/b", "a\n", " ", "\xff", ".hidden", "a=b"};
    struct fh_file_found found;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_assert_eq(try_open(names[i], "file", 4, false, &found), -EINVAL, "%s", names[i]);
}

/* --- a race --- */

static atomic_bool racing;

/* Exchanges the folder in/swing for a link to out, and back. */
static void *swing(void *arg)
{
    char folder[128], link[128], away[128];

    (void)arg;
    (void)snprintf(folder, sizeof(folder), "%s/in/swing", root);
    (void)snprintf(link, sizeof(link), "%s/in/swing-link", root);
    (void)snprintf(away, sizeof(away), "%s/in/swing-away", root);
    while (atomic_load(&racing)) {
        (void)rename(folder, away);
        (void)rename(link, folder);
        (void)rename(folder, link);
        (void)rename(away, folder);
    }
    return NULL;
}

Test(exports, a_folder_that_becomes_a_link_never_leads_out)
{
    struct fh_file_found found;
    struct stat outside;
    pthread_t thread;
    unsigned opened = 0, refused = 0;

    cr_assert_eq(mkdir(at("in/swing"), 0755), 0);
    make_file("in/swing/file", "inside");
    cr_assert_eq(symlink("../out", at("in/swing-link")), 0);
    cr_assert_eq(stat(at("out/file"), &outside), 0);
    atomic_store(&racing, true);
    cr_assert_eq(pthread_create(&thread, NULL, swing, NULL), 0);
    for (unsigned i = 0; i < 20000 || (opened == 0 && i < 2000000); i++) {
        int rc = try_open("rw", "swing/file", 10, false, &found);
        cr_assert(rc == 0 || rc == -ENOENT || rc == -EACCES || rc == -EBUSY, "%d", rc);
        if (rc == 0)
            cr_assert_neq(found.number, (uint64_t)outside.st_ino, "out of the folder");
        opened += rc == 0;
        refused += rc != 0;
    }
    atomic_store(&racing, false);
    pthread_join(thread, NULL);
    cr_assert_gt(opened, 0u);
    fprintf(stderr, "opened %u times, refused %u times\n", opened, refused);
}

/* --- creating --- */

Test(exports, makes_a_file_of_zeros_once)
{
    struct fh_file_wish wish = {
        .name = "rw", .path = "sub/new", .write = true, .create = true, .size = 10000};
    struct fh_file_found found;
    struct stat st;

    cr_assert_eq(fh_exports_file(&exports, &wish, &found), 0);
    cr_assert_eq(found.size_bytes, 10000);
    cr_assert(found.may_write);
    cr_assert_eq(pwrite(found.fd, "x", 1, 0), 1);
    close(found.fd);
    wish.size = 5;
    cr_assert_eq(fh_exports_file(&exports, &wish, &found), 0, "it is there: opened as it is");
    cr_assert_eq(found.size_bytes, 10000);
    close(found.fd);
    cr_assert_eq(stat(at("in/sub/new"), &st), 0);
    cr_assert_eq(st.st_size, 10000);
    wish.size = (UINT64_C(1) << 40) + 1;
    cr_assert_eq(fh_exports_file(&exports, &wish, &found), -EFBIG);
    (void)snprintf(wish.name, sizeof(wish.name), "ro");
    cr_assert_eq(fh_exports_file(&exports, &wish, &found), -EACCES);
}

Test(exports, makes_nothing_through_a_link)
{
    static const char *const paths[] = {"folder/new", "up", "link", "inner/new"};
    struct fh_file_found found;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct fh_file_wish wish = {.name = "rw", .write = true, .create = true, .size = 1};
        (void)snprintf(wish.path, sizeof(wish.path), "%s", paths[i]);
        cr_assert_eq(fh_exports_file(&exports, &wish, &found), -EACCES, "%s", paths[i]);
    }
    cr_assert_neq(access(at("out/new"), F_OK), 0);
    cr_assert_neq(access(at("in/sub/new"), F_OK), 0);
}

/* --- lists --- */

struct seen {
    unsigned count, folders, room;
    char names[32][64];
};

static bool note(void *ctx, const struct fh_file_entry *entry)
{
    struct seen *s = ctx;

    if (s->room == 0)
        return false;
    s->room--;
    (void)snprintf(s->names[s->count++], sizeof(s->names[0]), "%s", entry->name);
    s->folders += entry->folder;
    return true;
}

Test(exports, lists_files_and_folders_and_nothing_else)
{
    struct fh_file_wish wish = {.name = "ro"};
    struct seen seen = {.room = 30};
    uint64_t cursor = 0;

    cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), 0);
    cr_assert_eq(cursor, 0);
    cr_assert_eq(seen.count, 2, "neither links, nor the FIFO, nor the socket");
    cr_assert_eq(seen.folders, 1);
    (void)snprintf(wish.path, sizeof(wish.path), "sub");
    seen = (struct seen){.room = 30};
    cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_str_eq(seen.names[0], "file");
    (void)snprintf(wish.path, sizeof(wish.path), "folder");
    cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), -ENOENT);
    (void)snprintf(wish.path, sizeof(wish.path), "file");
    cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), -ENOENT);
    wish.name[0] = wish.path[0] = 0;
    seen = (struct seen){.room = 30};
    cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), 0);
    cr_assert_eq(seen.count, 2, "the exports");
}

Test(exports, a_list_goes_on_where_it_stopped)
{
    struct fh_file_wish wish = {.name = "rw", .path = "many"};
    struct seen seen = {.room = 0};
    uint64_t cursor = 0;
    char name[32];

    cr_assert_eq(mkdir(at("in/many"), 0755), 0);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof(name), "in/many/%d", i);
        make_file(name, "");
    }
    do {
        seen.room = 3;
        cr_assert_eq(fh_exports_list(&exports, &wish, &cursor, note, &seen), 0);
    } while (cursor != 0);
    cr_assert_eq(seen.count, 20);
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 0; k < i; k++)
            cr_assert_str_neq(seen.names[i], seen.names[k]);
}

/* --- start --- */

Test(exports, says_what_is_wrong_at_start)
{
    static const char *const wrong[] = {"",
                                        "=",
                                        "a",
                                        "a=",
                                        "=/tmp",
                                        "a/b=/tmp",
                                        ".a=/tmp",
                                        "a=,rw",
                                        "a=/nonexistent/folder",
                                        "a=/etc/passwd"};
    const char *const twice[] = {"a=/tmp", "a=/var"};
    char problem[FH_EXPORT_PROBLEM_SIZE];

    fh_exports_close(&exports);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        problem[0] = 0;
        cr_assert_not(open_exports(&wrong[i], 1, problem), "%s", wrong[i]);
        cr_assert_neq(problem[0], 0);
        cr_assert_eq(exports.count, 0);
    }
    cr_assert_not(open_exports(twice, 2, problem));
}
