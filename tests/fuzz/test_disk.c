/* What lies on disk, damaged: the fuzz targets of records and journals over inputs that hold, with
 * bytes of them changed by chance. FH_SEED replays a walk. */
#include <criterion/criterion.h>
#include <string.h>

#include "alloc/catalog.h"
#include "alloc/journal_disk.h"
#include "fuzz_journal.h"
#include "fuzz_record.h"
#include "tests/support/rng.h"

enum { RECORD_ROUNDS = 20000, JOURNAL_ROUNDS = 3000, ID = 8 };

TestSuite(fuzz_disk, .timeout = 300);

/* A record of an object of `pages` pages, its id before it. */
static size_t record_make(uint8_t *out, size_t room, uint64_t id, uint32_t pages)
{
    static const uint32_t sums[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct fh_catalog_record r = {.id = id,
                                        .version = 3,
                                        .size = (uint64_t)pages * 4096 - (pages > 0),
                                        .place = 77,
                                        .file = 1,
                                        .name = "a/name",
                                        .name_size = 6,
                                        .sum_count = pages,
                                        .sums = sums};

    memcpy(out, &id, ID);
    return ID + fh_catalog_pack(&r, out + ID, room - ID);
}

/* A few bytes of chance, more often than not near the beginning. */
static void damage(struct rng *r, uint8_t *bytes, size_t size)
{
    for (uint64_t n = rng_between(r, 1, 3); n > 0; n--) {
        size_t near = rng_percent(r, 60) && size > 64 ? 64 : size;
        uint8_t *at = &bytes[rng_below(r, near)];
        *at = rng_percent(r, 50) ? (uint8_t)(*at ^ 1u << rng_below(r, 8)) : (uint8_t)rng_next(r);
    }
}

Test(fuzz_disk, a_damaged_record_is_refused_or_a_record)
{
    struct rng r = rng_from_env("records");
    uint8_t bytes[256];
    unsigned taken = 0;

    for (unsigned i = 0; i < RECORD_ROUNDS; i++) {
        size_t size = record_make(bytes, sizeof bytes, 1 + rng_below(&r, 9), i % 9);
        cr_assert(fuzz_record_try(bytes, size));
        cr_assert_not(fuzz_record_try(bytes, size - 1));
        damage(&r, bytes, size);
        taken += (unsigned)fuzz_record_try(bytes, size - rng_below(&r, 3));
    }
    cr_assert_gt(taken, 100u, "damage that only changes what a record may say");
}

/* A head of a group of zeros: of each section tag, first page, pages. */
static size_t head_add(uint8_t *head, size_t at, const char *tag, uint64_t first, uint32_t count)
{
    static const uint8_t zeros[FH_PAGE_SIZE];
    struct fh_journal_section s = {
        .tag_size = (uint32_t)strlen(tag), .count = count, .first = first, .last_bytes = 100};
    struct fh_journal_head h;
    uint32_t sum = fh_crc32c(0, zeros, sizeof zeros);

    memcpy(&h, head, sizeof h);
    memcpy(head + at, &s, sizeof s);
    at += sizeof s;
    memcpy(head + at, tag, s.tag_size);
    at += s.tag_size;
    for (uint32_t i = 0; i < count; i++, at += sizeof sum)
        memcpy(head + at, &sum, sizeof sum);
    h.batches++;
    h.images += count;
    h.bytes = (uint32_t)at;
    memcpy(head, &h, sizeof h);
    return at;
}

static size_t head_make(uint8_t head[FH_JOURNAL_HEAD_BYTES])
{
    memset(head, 0, FH_JOURNAL_HEAD_BYTES);
    size_t at = head_add(head, sizeof(struct fh_journal_head), "t", 1, 3);
    at = head_add(head, at, "unknown", 0, 2);
    return head_add(head, at, "long", 590, 7);
}

Test(fuzz_disk, a_damaged_journal_writes_nothing_where_it_may_not)
{
    struct rng r = rng_from_env("journals");
    static uint8_t head[FH_JOURNAL_HEAD_BYTES];
    size_t size = head_make(head);
    unsigned replayed = 0;

    cr_assert_eq(fuzz_journal_try(head, size), 10u);
    for (unsigned i = 0; i < JOURNAL_ROUNDS; i++) {
        head_make(head);
        damage(&r, head, size);
        replayed += fuzz_journal_try(head, size);
    }
    cr_assert_gt(replayed, 100u);
}
