/* Pages to the disk and back, on each backend, with and without O_DIRECT. */
#include "alloc/swap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/swap_rig.h"

static struct swap_rig rig;

#define ON_EACH_BACKEND(name, pages)                                                               \
    static void name(void);                                                                        \
    Test(swap, name##_on_io_uring)                                                                 \
    {                                                                                              \
        rig_open(&rig, RIG_URING, pages, false);                                                   \
        name();                                                                                    \
        rig_close(&rig);                                                                           \
    }                                                                                              \
    Test(swap, name##_on_threads)                                                                  \
    {                                                                                              \
        rig_open(&rig, RIG_THREADS, pages, false);                                                 \
        name();                                                                                    \
        rig_close(&rig);                                                                           \
    }                                                                                              \
    Test(swap, name##_on_threads_without_direct)                                                   \
    {                                                                                              \
        rig_open(&rig, RIG_THREADS, pages, true);                                                  \
        name();                                                                                    \
        rig_close(&rig);                                                                           \
    }                                                                                              \
    Test(swap, name##_on_the_fake_disk)                                                            \
    {                                                                                              \
        rig_open(&rig, RIG_FAKE, pages, false);                                                    \
        name();                                                                                    \
        rig_close(&rig);                                                                           \
    }                                                                                              \
    static void name(void)

TestSuite(swap, .timeout = 30);

static struct fh_swap_stats stats(void)
{
    struct fh_swap_stats out;
    fh_swap_stats(&rig.swap, &out);
    return out;
}

ON_EACH_BACKEND(a_run_comes_back_as_it_was, 256)
{
    struct rig_run *r = rig_run_new(&rig, 64);

    cr_assert_eq(rig_store(&rig, r, 1000, 64), 0);
    cr_assert_eq(r->run.count, 64);
    uint32_t first = r->run.first.v;
    for (uint32_t i = 0; i < 64; i++)
        cr_assert_eq(r->run.status[i], 0);
    rig_load(&rig, r, first, 64);
    for (uint32_t i = 0; i < 64; i++) {
        cr_assert_eq(r->run.status[i], 0);
        cr_assert(rig_is(r->run.pages[i], 1000 + i));
    }
    rig_load(&rig, r, first + 17, 3); /* any part of it */
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(rig_is(r->run.pages[i], 1017 + i));
    cr_assert_eq(stats().slots_used, 64);
    rig_give(&rig, first, 64);
    cr_assert_eq(stats().slots_used, 0);
    cr_assert_eq(stats().stored_pages, 64);
    cr_assert_eq(stats().loaded_pages, 67);
    rig_run_free(r);
}

ON_EACH_BACKEND(all_bounce_buffers_at_once_and_then_again, 1024)
{
    struct rig_run *r[FH_SWAP_BOUNCE_COUNT + 1];
    uint32_t taken = 0;

    for (uint32_t i = 0; i <= FH_SWAP_BOUNCE_COUNT; i++) {
        r[i] = rig_run_new(&rig, 64);
        for (uint32_t k = 0; k < 64; k++)
            rig_fill(r[i]->run.pages[k], i * 64 + k);
        int rc = fh_swap_store(&rig.swap, &r[i]->run);
        cr_assert_eq(rc, i < FH_SWAP_BOUNCE_COUNT ? 0 : -EAGAIN);
        taken += rc == 0 ? r[i]->run.count : 0;
    }
    cr_assert(fh_swap_check(&rig.swap, stderr));
    cr_assert_eq(stats().slots_used, taken, "the refused one took nothing");
    rig_wait(&rig);
    for (uint32_t i = 0; i < FH_SWAP_BOUNCE_COUNT; i++) {
        r[i]->over = false;
        memset(r[i]->bytes, 0, FH_SWAP_RUN_MAX * FH_PAGE_SIZE);
        fh_swap_load(&rig.swap, &r[i]->run);
    }
    rig_wait(&rig);
    for (uint32_t i = 0; i <= FH_SWAP_BOUNCE_COUNT; i++) {
        for (uint32_t k = 0; k < r[i]->run.count && i < FH_SWAP_BOUNCE_COUNT; k++)
            cr_assert(rig_is(r[i]->run.pages[k], i * 64 + k));
        rig_run_free(r[i]);
    }
    cr_assert_eq(rig.done, 2 * FH_SWAP_BOUNCE_COUNT);
}

/* Slots are stored to, loaded and given back at random; a plain array says what must come back. */
ON_EACH_BACKEND(a_random_walk_agrees_with_an_array, 500)
{
    static uint64_t content[501]; /* 0 = free */
    struct rng g = rng_from_env("swap");
    struct rig_run *r = rig_run_new(&rig, 1);
    uint64_t version = 1;

    for (uint32_t step = 0; step < 400; step++) {
        uint32_t slot = (uint32_t)rng_between(&g, 1, 500);
        if (rng_percent(&g, 40)) {
            int rc = rig_store(&rig, r, version, (uint32_t)rng_between(&g, 1, 64));
            for (uint32_t i = 0; rc == 0 && i < r->run.count; i++) {
                cr_assert_eq(content[r->run.first.v + i], 0);
                content[r->run.first.v + i] = version + i;
            }
            version += 64;
        } else if (content[slot] != 0) {
            rig_load(&rig, r, slot, 1);
            cr_assert_eq(r->run.status[0], 0);
            cr_assert(rig_is(r->run.pages[0], content[slot]));
            for (uint32_t i = slot; i <= 500 && i < slot + 20 && content[i] != 0; i++) {
                rig_give(&rig, i, 1);
                content[i] = 0;
            }
        }
    }
    cr_assert(fh_swap_check(&rig.swap, stderr));
    rig_run_free(r);
}

ON_EACH_BACKEND(a_load_keeps_its_slots_when_the_owner_gives_them_up, 64)
{
    struct rig_run *r = rig_run_new(&rig, 8), *other = rig_run_new(&rig, 64);

    cr_assert_eq(rig_store(&rig, r, 50, 8), 0);
    uint32_t first = r->run.first.v;
    r->over = false;
    fh_swap_load(&rig.swap, &r->run);
    rig_give(&rig, first, 8);
    cr_assert_eq(stats().slots_used, 8, "still live: being read");
    other->run.count = 64;
    for (uint32_t i = 0; i < 64; i++)
        rig_fill(other->run.pages[i], 7000 + i);
    cr_assert_eq(fh_swap_store(&rig.swap, &other->run), 0);
    cr_assert_eq(other->run.count, 56, "what is being read is not given out");
    rig_wait(&rig);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert(rig_is(r->run.pages[i], 50 + i));
    cr_assert_eq(stats().slots_used, 56);
    rig_run_free(r);
    rig_run_free(other);
}

Test(swap, takes_fewer_when_no_such_run_is_free_and_none_when_full)
{
    rig_open(&rig, RIG_FAKE, 40, false);
    struct rig_run *r = rig_run_new(&rig, 64);
    cr_assert_eq(rig_store(&rig, r, 0, 64), 0);
    cr_assert_eq(r->run.count, 40);
    cr_assert_eq(rig_store(&rig, r, 0, 64), -ENOSPC);
    cr_assert_eq(r->run.count, 64);
    rig_give(&rig, 11, 5);
    cr_assert_eq(rig_store(&rig, r, 0, 64), 0);
    cr_assert_eq(r->run.count, 5);
    cr_assert_eq(r->run.first.v, 11);
    rig_run_free(r);
    rig_close(&rig);
}

Test(swap, of_no_size_refuses_every_store)
{
    rig_open(&rig, RIG_FAKE, 0, false);
    struct rig_run *r = rig_run_new(&rig, 1);
    cr_assert_eq(rig_store(&rig, r, 0, 1), -ENOSPC);
    cr_assert_eq(stats().slots_total, 0);
    cr_assert_not(stats().direct);
    rig_run_free(r);
    rig_close(&rig);
}

Test(swap, names_of_a_slot_are_counted)
{
    rig_open(&rig, RIG_FAKE, 4, false);
    struct rig_run *r = rig_run_new(&rig, 1);
    cr_assert_eq(rig_store(&rig, r, 0, 1), 0);
    uint32_t names = 1;
    while (fh_swap_slot_take(&rig.swap, r->run.first))
        names++;
    cr_assert_eq(names, FH_SWAP_NAMES_MAX);
    rig_load(&rig, r, r->run.first.v, 1); /* there is room for a load's own */
    cr_assert_eq(r->run.status[0], 0);
    for (; names > 1; names--)
        fh_swap_slot_give(&rig.swap, r->run.first);
    cr_assert_eq(stats().slots_used, 1);
    fh_swap_slot_give(&rig.swap, r->run.first);
    cr_assert_eq(stats().slots_used, 0);
    rig_run_free(r);
    rig_close(&rig);
}

Test(swap, a_quarantined_slot_is_read_as_long_as_it_is_named_and_never_reused)
{
    rig_open(&rig, RIG_FAKE, 1, false);
    struct rig_run *r = rig_run_new(&rig, 1);
    cr_assert_eq(rig_store(&rig, r, 9, 1), 0);
    fh_swap_slot_quarantine(&rig.swap, r->run.first);
    rig_load(&rig, r, r->run.first.v, 1);
    cr_assert(rig_is(r->run.pages[0], 9));
    fh_swap_slot_give(&rig.swap, r->run.first);
    cr_assert_eq(stats().slots_quarantined, 1);
    cr_assert_eq(rig_store(&rig, r, 9, 1), -ENOSPC);
    rig_run_free(r);
    rig_close(&rig);
}

static int nonce_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { NONCE_PAGES = 20000 };

Test(swap, no_nonce_is_used_twice)
{
    static uint64_t nonces[NONCE_PAGES];
    uint32_t count = 0;

    rig_open(&rig, RIG_FAKE, 128, false);
    struct rig_run *r = rig_run_new(&rig, 64);
    while (count < NONCE_PAGES) {
        rig.disk->next[FH_DISK_EIO] = count % 7 == 0; /* a retry writes the same bytes */
        r->run.count = 1 + count % 64;
        r->over = false;
        cr_assert_eq(fh_swap_store(&rig.swap, &r->run), 0);
        for (uint32_t i = 0; i < r->run.count && count < NONCE_PAGES; i++)
            nonces[count++] = fh_slots_nonce(&rig.swap.slots, (struct fh_slot){r->run.first.v + i});
        rig_wait(&rig);
        cr_assert_eq(r->run.status[0], 0);
        rig_give(&rig, r->run.first.v, r->run.count);
    }
    cr_assert_gt(rig.disk->injected[FH_DISK_EIO], 0);
    qsort(nonces, count, sizeof(nonces[0]), nonce_order);
    for (uint32_t i = 1; i < count; i++)
        cr_assert_neq(nonces[i], nonces[i - 1]);
    rig_run_free(r);
    rig_close(&rig);
}

Test(swap, goes_on_with_a_new_key_and_stops_when_nonces_end)
{
    rig_open(&rig, RIG_FAKE, 64, false);
    struct rig_run *r = rig_run_new(&rig, 8);
    rig.swap.nonce_next = (UINT64_C(1) << FH_CIPHER_KEY_SHIFT) - 4;
    cr_assert_eq(rig_store(&rig, r, 70, 8), 0);
    cr_assert_eq(rig.swap.cipher.stats.keys, 2);
    rig_load(&rig, r, r->run.first.v, 8);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert(rig_is(r->run.pages[i], 70 + i));
    rig.swap.nonce_next = FH_CIPHER_NONCE_END - 8;
    cr_assert_eq(rig_store(&rig, r, 70, 8), 0);
    cr_assert_eq(rig_store(&rig, r, 70, 1), -ENOSPC);
    rig_run_free(r);
    rig_close(&rig);
}

/* --- the file --- */

Test(swap, file_has_no_name_and_its_space_is_reserved)
{
    struct stat st;

    rig_open(&rig, RIG_THREADS, 2560, false);
    cr_assert_eq(fstat(rig.swap.fd, &st), 0);
    cr_assert_eq(st.st_nlink, 0);
    cr_assert_eq(st.st_size, 2560 * FH_PAGE_SIZE);
    cr_assert_geq((uint64_t)st.st_blocks * 512, UINT64_C(2560) * FH_PAGE_SIZE);
    cr_assert(fcntl(rig.swap.fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(!!(fcntl(rig.swap.fd, F_GETFL) & O_DIRECT), stats().direct);
    cr_assert_eq(stats().slots_total, 2560);
    rig_close(&rig);
}

Test(swap, does_without_direct_when_asked)
{
    rig_open(&rig, RIG_THREADS, 16, true);
    cr_assert_not(stats().direct);
    cr_assert_not(fcntl(rig.swap.fd, F_GETFL) & O_DIRECT);
    struct rig_run *r = rig_run_new(&rig, 4);
    cr_assert_eq(rig_store(&rig, r, 0, 4), 0);
    cr_assert_eq(rig.io->syncs, 1);
    rig_run_free(r);
    rig_close(&rig);
}

static int open_with(const char *dir, uint64_t size_bytes)
{
    struct fh_swap_opts o = rig_opts(&rig, 0);
    o.dir = dir;
    o.size_bytes = size_bytes;
    return fh_swap_init(&rig.swap, &o);
}

Test(swap, tells_why_it_cannot_be_opened_and_leaves_nothing)
{
    rig.io = rig_io(RIG_FAKE, &rig.disk);
    cr_assert_eq(open_with("/nonexistent/folder", 1 << 20), -ENOENT);
    cr_assert_eq(open_with("/proc", 1 << 20), -ENOENT);
    cr_assert_eq(open_with(rig_dir(), (UINT64_C(1) << 32) * FH_PAGE_SIZE), -EFBIG);
    int rc = open_with(rig_dir(), UINT64_C(15) << 40); /* larger than any disk of ours */
    cr_assert(rc == -ENOSPC || rc == -EFBIG, "%d", rc);
    cr_assert_eq(rig.mem.used_bytes, 0);
    fh_io_destroy(rig.io);
}

/* The key's bytes as they were drawn; what rig_random draws next is something else. */
static void draw_and_note(void *ctx, void *buf, size_t size)
{
    static struct rng keys = {1234};
    struct iovec *note = ctx;

    rig_random(&keys, buf, size);
    cr_assert_leq(note->iov_len + size, FH_PAGE_SIZE);
    memcpy((uint8_t *)note->iov_base + note->iov_len, buf, size);
    note->iov_len += size;
}

/* Every piece of 8 bytes of what was drawn is looked for at every byte of the file. */
static void expect_no_piece(const uint8_t *raw, size_t size, const struct iovec *secret)
{
    for (size_t i = 0; i + 8 <= secret->iov_len; i++)
        cr_assert_null(memmem(raw, size, (uint8_t *)secret->iov_base + i, 8), "at %zu", i);
}

Test(swap, neither_plaintext_nor_key_ever_reaches_the_file)
{
    static uint8_t raw[64 * FH_PAGE_SIZE], drawn[FH_PAGE_SIZE];
    static char canary[] = "an unmistakable canary of this test";
    struct iovec key = {.iov_base = drawn}, text = {canary, sizeof(canary)};

    rig = (struct swap_rig){.io = rig_io(RIG_THREADS, &rig.disk)};
    struct fh_swap_opts o = rig_opts(&rig, 64);
    o.random = draw_and_note;
    o.random_ctx = &key;
    cr_assert_eq(fh_swap_init(&rig.swap, &o), 0);
    struct rig_run *r = rig_run_new(&rig, 64);
    for (uint32_t round = 0; round < 3; round++) {
        r->run.count = 64;
        for (uint32_t i = 0; i < 64; i++)
            memcpy(r->run.pages[i] + 100, canary, sizeof(canary));
        r->over = false;
        cr_assert_eq(fh_swap_store(&rig.swap, &r->run), 0);
        rig_wait(&rig);
        rig_load(&rig, r, 1, 64);
        rig_give(&rig, 1, 64);
        cr_assert_eq(fcntl(rig.swap.fd, F_SETFL, 0), 0); /* reads through the page cache */
        cr_assert_eq(pread(rig.swap.fd, raw, sizeof(raw), 0), (ssize_t)sizeof(raw));
        cr_assert_geq(key.iov_len, 32);
        expect_no_piece(raw, sizeof(raw), &text);
        expect_no_piece(raw, sizeof(raw), &key);
    }
    rig_run_free(r);
    rig_close(&rig);
}

/* --- looking inside --- */

Test(swap, check_sees_each_broken_invariant)
{
    rig_open(&rig, RIG_FAKE, 64, false);
    struct rig_run *r = rig_run_new(&rig, 8);
    cr_assert_eq(rig_store(&rig, r, 0, 8), 0);
    cr_assert(fh_swap_check(&rig.swap, stderr));

    rig.swap.bounce_free &= ~4u; /* [I1] */
    cr_assert_not(fh_swap_check(&rig.swap, NULL));
    rig.swap.bounce_free |= 4u;
    fh_list_push_back(&rig.swap.unsynced, &r->run.link); /* [I2] */
    cr_assert_not(fh_swap_check(&rig.swap, NULL));
    fh_list_remove(&r->run.link);
    rig.swap.nonce_next = 7; /* [I3] */
    cr_assert_not(fh_swap_check(&rig.swap, NULL));
    rig.swap.nonce_next = 8;
    rig.swap.slots.stats.used++; /* [I4] */
    cr_assert_not(fh_swap_check(&rig.swap, NULL));
    rig.swap.slots.stats.used--;
    rig.swap.cipher.stats.keys++;
    cr_assert_not(fh_swap_check(&rig.swap, NULL));
    rig.swap.cipher.stats.keys--;
    rig_run_free(r);
    rig_close(&rig);
}

Test(swap, dump_shows_slots_and_cipher)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    rig_open(&rig, RIG_FAKE, 64, false);
    fh_swap_dump(&rig.swap, out);
    fclose(out);
    cr_assert(strstr(text, "swap fd"));
    cr_assert(strstr(text, "slots total 64"));
    cr_assert(strstr(text, "cipher zone 3 keys 1"));
    free(text);
    rig_close(&rig);
}

Test(swap, closing_with_a_run_in_flight_is_a_programmer_error, .signal = SIGABRT)
{
    rig_open(&rig, RIG_FAKE, 64, false);
    struct rig_run *r = rig_run_new(&rig, 8);
    cr_assert_eq(fh_swap_store(&rig.swap, &r->run), 0);
    fh_swap_fini(&rig.swap);
}
