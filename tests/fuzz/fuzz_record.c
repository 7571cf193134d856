/*
 * Theory.  Any bytes are refused, or they are a record: then its parts lie within the bytes, its
 * numbers within their limits, and packed it is those bytes again.
 */
#include "fuzz_record.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/catalog.h"
#include "alloc/crc.h"

enum { ID = 8, SUM = 4, RECORD_MAX = 64 * 1024 };

static void promise(bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "fuzz_record: broken: %s\n", what);
    abort();
}

static bool record_try(uint64_t id, const uint8_t *bytes, size_t size)
{
    static uint8_t again[RECORD_MAX];
    struct fh_catalog_record r;

    if (fh_catalog_unpack(id, bytes, size, &r) != 0)
        return false;
    const uint8_t *name = r.name, *sums = r.sums, *end = bytes + size;
    promise(id != 0 && r.id == id, "a record has the id it was asked for");
    promise(r.name_size >= 1 && r.name_size <= FH_CATALOG_NAME_MAX, "a name is within its limits");
    promise(r.file < FH_CATALOG_FILES, "a file is one that may be");
    promise(name >= bytes && name < end && (size_t)(end - name) >= r.name_size,
            "a name lies in it");
    promise(sums >= bytes && sums <= end &&
                (size_t)(end - sums) == (size_t)r.sum_count * sizeof(uint32_t),
            "sums reach to its end");
    promise(r.sum_count == (r.size + 4095) / 4096, "a sum per page");
    promise(fh_catalog_pack(&r, again, sizeof again) == size, "packed it is as long");
    promise(memcmp(again, bytes, size) == 0, "packed it is the same");
    return true;
}

int fuzz_record_try(const uint8_t *data, size_t size)
{
    static uint8_t copy[RECORD_MAX];
    uint64_t id;

    if (size < ID + SUM || size - ID > sizeof copy)
        return 0;
    memcpy(&id, data, ID);
    size -= ID;
    (void)record_try(id, data + ID, size);
    memcpy(copy, data + ID, size);
    uint32_t sum = fh_crc32c(fh_crc32c(0, &id, sizeof id), copy + SUM, size - SUM);
    memcpy(copy, &sum, SUM);
    return record_try(id, copy, size);
}

__attribute__((weak)) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_record_try(data, size);
    return 0;
}
