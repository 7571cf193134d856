/*
 * Theory.  Each page of an object starts with a record; the rest is filled from object, page and
 * version. A wrong byte breaks the CRC, a page of another object or another place breaks `object`
 * or `page` though its CRC is right, a stale or lost write breaks `version`, and a torn write shows
 * as two versions in one read. A tail too short for a record belongs to the page before it.
 *
 *   0        8      12        16      20    24
 *   object | page | version | bytes | crc | filling ...        crc covers all but itself
 *
 * Invariants
 *   [I1] `bytes` is the record's whole length: FH_VERIFY_PAGE for all but the last
 *   [I2] all pages of one read have one version, in version_min .. version_max
 */
#include "client/bench/verify.h"

#include <isa-l/crc.h>
#include <string.h>

struct record {
    uint64_t object;
    uint32_t page, version, bytes, crc;
};
_Static_assert(sizeof(struct record) == FH_VERIFY_BYTES, "the record has no padding");

/* The library takes a length of type int and a buffer that is not const. */
static uint32_t verify_crc(const uint8_t *buf, size_t size, uint32_t crc)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } p = {.in = buf};

    return crc32_iscsi(p.out, (int)size, crc);
}

static uint32_t record_crc(const uint8_t *page, size_t size)
{
    uint32_t crc = verify_crc(page, offsetof(struct record, crc), UINT32_MAX);

    return ~verify_crc(page + FH_VERIFY_BYTES, size - FH_VERIFY_BYTES, crc);
}

/* Length of the record at `offset`: a page, or all that is left when no other record would fit. */
static size_t record_bytes(uint64_t object_bytes, uint64_t offset)
{
    uint64_t left = object_bytes - offset;

    return left < FH_VERIFY_PAGE + FH_VERIFY_BYTES ? (size_t)left : FH_VERIFY_PAGE;
}

static void record_fill(uint8_t *page, size_t size, struct record *r)
{
    uint64_t word = (r->object << 24) ^ ((uint64_t)r->version << 48) ^ r->page;
    size_t at = FH_VERIFY_BYTES;

    for (; at + sizeof(word) <= size; at += sizeof(word)) {
        word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(page + at, &word, sizeof(word));
    }
    memset(page + at, (int)(word >> 56), size - at);
    memcpy(page, r, sizeof(*r));
    r->crc = record_crc(page, size);
    memcpy(page, r, sizeof(*r));
}

void fh_verify_fill(uint8_t *buf, size_t size, uint64_t object, uint32_t version)
{
    uint32_t page = 0;
    size_t step;

    for (size_t at = 0; at < size; at += step) {
        struct record r = {.object = object, .page = page++, .version = version};

        step = record_bytes(size, at);
        r.bytes = (uint32_t)step;
        record_fill(buf + at, step, &r);
    }
}

size_t fh_verify_span(uint64_t object_bytes, uint64_t offset, uint64_t touch)
{
    uint64_t left = object_bytes - offset;

    if (touch == 0 || left < touch + FH_VERIFY_BYTES)
        return (size_t)left;
    return (size_t)touch;
}

static bool fault(struct fh_verify_fault *why, const char *what, uint64_t found, uint64_t least,
                  uint64_t most)
{
    why->what = what;
    why->found = found;
    why->expected_min = least;
    why->expected_max = most;
    return false;
}

static bool record_check(const uint8_t *page, size_t size, const struct fh_verify_view *v,
                         struct fh_verify_fault *why)
{
    struct record r;

    memcpy(&r, page, sizeof(r));
    if (r.crc != record_crc(page, size))
        return fault(why, "crc", record_crc(page, size), r.crc, r.crc);
    if (r.object != v->object)
        return fault(why, "object", r.object, v->object, v->object);
    if (r.page != why->page)
        return fault(why, "page", r.page, why->page, why->page);
    if (r.bytes != size)
        return fault(why, "bytes", r.bytes, size, size);
    if (r.version < v->version_min || r.version > v->version_max)
        return fault(why, "version", r.version, v->version_min, v->version_max);
    return true;
}

/* Compares with the page as it was written; of several versions that it may have, with the one it
 * says it has. */
static void verify_locate(const uint8_t *page, size_t size, const struct fh_verify_view *v,
                          struct fh_verify_fault *why)
{
    uint8_t right[FH_VERIFY_PAGE + FH_VERIFY_BYTES];
    struct record r;
    size_t at = 0;

    memcpy(&r, page, sizeof(r));
    r.object = v->object;
    r.page = (uint32_t)why->page;
    r.bytes = (uint32_t)size;
    if (r.version < v->version_min || r.version > v->version_max)
        r.version = v->version_max;
    r.crc = 0;
    record_fill(right, size, &r);
    while (at < size && page[at] == right[at])
        at++;
    if ((why->located = at < size)) {
        why->byte = why->page * FH_VERIFY_PAGE + at;
        why->byte_found = page[at];
        why->byte_expected = right[at];
    }
}

bool fh_verify_check(const uint8_t *buf, size_t size, const struct fh_verify_view *v,
                     struct fh_verify_fault *why)
{
    struct fh_verify_view view = *v;
    size_t step;

    *why = (struct fh_verify_fault){.object = v->object, .page = v->offset / FH_VERIFY_PAGE};
    if (size == 0 || v->offset >= v->object_bytes || size > v->object_bytes - v->offset)
        return fault(why, "size", size, 1, v->object_bytes);
    for (size_t at = 0; at < size; at += step, why->page++) {
        step = record_bytes(v->object_bytes, v->offset + at);
        if (step > size - at)
            return fault(why, "size", size, at + step, v->object_bytes);
        if (!record_check(buf + at, step, &view, why)) {
            verify_locate(buf + at, step, &view, why);
            return false;
        }
        /* From the first page on, its version is the only right one [I2]. */
        memcpy(&view.version_min, buf + at + offsetof(struct record, version), sizeof(uint32_t));
        view.version_max = view.version_min;
    }
    return true;
}
