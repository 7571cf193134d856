/* What lies on disk, damaged: the fuzz target of the catalog's records over inputs that hold, with
 * bytes of them changed by chance. FH_SEED replays a walk. */
#include <criterion/criterion.h>
#include <string.h>

#include "alloc/catalog.h"
#include "fuzz_record.h"
#include "tests/support/rng.h"

enum { RECORD_ROUNDS = 20000, ID = 8 };

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
        uint64_t other = rng_percent(r, 50) ? *at ^ UINT64_C(1) << rng_below(r, 8) : rng_next(r);
        *at = (uint8_t)other;
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
