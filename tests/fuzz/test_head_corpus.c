/* The stored corpus of the fuzz target, run as a test. A file's name says what its head is: good_*
 * is taken as at least one kind of head, bad_* as none; *_prefix_* is about the prefix instead. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_head.h"

static size_t file_load(const char *name, uint8_t *bytes, size_t cap)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", FARHEAP_HEAD_CORPUS, name);

    cr_assert_lt((size_t)length, sizeof path);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    size_t size = fread(bytes, 1, cap, f);
    fclose(f);
    cr_assert_lt(size, cap, "%s is too large for the corpus", name);
    return size;
}

static void assert_as_named(const char *name, const struct fuzz_head_result *r)
{
    int head_ok = r->request_ok || r->response_ok || r->entry_ok;

    if (strncmp(name, "good_", 5) == 0) {
        cr_assert(r->prefix_ok, "%s", name);
        cr_assert(head_ok, "%s", name);
    } else if (strncmp(name, "bad_prefix_", 11) == 0) {
        cr_assert_not(r->prefix_ok, "%s", name);
    } else if (strncmp(name, "bad_", 4) == 0) {
        cr_assert_not(head_ok, "%s", name);
    }
}

Test(head_corpus, every_stored_input_is_what_its_name_says, .timeout = 60)
{
    static uint8_t bytes[1 << 16];
    unsigned good = 0, bad = 0;
    struct dirent *entry;
    DIR *folder = opendir(FARHEAP_HEAD_CORPUS);

    cr_assert_not_null(folder, "no corpus in %s", FARHEAP_HEAD_CORPUS);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        struct fuzz_head_result r =
            fuzz_head_try(bytes, file_load(entry->d_name, bytes, sizeof bytes));
        assert_as_named(entry->d_name, &r);
        good += strncmp(entry->d_name, "good_", 5) == 0;
        bad += strncmp(entry->d_name, "bad_", 4) == 0;
    }
    closedir(folder);
    cr_assert_geq(good, 20u);
    cr_assert_geq(bad, 20u);
}

/* Each stored input with each of its bits turned over, one at a time, and cut at each length. */
Test(head_corpus, every_stored_input_may_be_damaged_anywhere, .timeout = 120)
{
    static uint8_t bytes[1 << 16];
    struct dirent *entry;
    DIR *folder = opendir(FARHEAP_HEAD_CORPUS);

    cr_assert_not_null(folder, "no corpus in %s", FARHEAP_HEAD_CORPUS);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        size_t size = file_load(entry->d_name, bytes, sizeof bytes);
        for (size_t cut = 0; cut < size; cut += 1 + size / 256)
            fuzz_head_try(bytes, cut);
        for (size_t bit = 0; bit < size * 8; bit += 1 + size / 256) {
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            fuzz_head_try(bytes, size);
            bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
    closedir(folder);
}
