/*
 * journal_disk: the layout of a journal file, for who writes it and who replays it. Little endian,
 * as all machines we run on.
 *
 *   page 0: super   pages 1 .. FH_JOURNAL_HEAD_PAGES: head, sections   then the images
 */
#ifndef FH_ALLOC_JOURNAL_DISK_H
#define FH_ALLOC_JOURNAL_DISK_H

#include <stdint.h>
#include <string.h>

#include "crc.h"
#include "ids.h"
#include "journal.h"

#define FH_JOURNAL_SUPER_MAGIC "fhjrnl1\n"
#define FH_JOURNAL_HEAD_MAGIC  "fhgroup\n"

struct fh_journal_super {
    char magic[8];
    uint64_t generation;
    uint32_t crc, spare; /* crc: of the struct with 0 here */
};
struct fh_journal_head {
    char magic[8];
    uint64_t generation;
    uint32_t bytes;   /* of the head, this struct included */
    uint32_t batches; /* sections that follow */
    uint32_t images;
    uint32_t crc; /* of the head's bytes with 0 here */
};
struct fh_journal_section {
    uint32_t tag_size, count;
    uint64_t first;
    uint32_t last_bytes, spare;
}; /* the tag follows, then a sum per page */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout on disk is little endian");
_Static_assert(sizeof(struct fh_journal_super) == 24 && sizeof(struct fh_journal_head) == 32 &&
                   sizeof(struct fh_journal_section) == 24,
               "no padding on disk");

enum {
    FH_JOURNAL_HEAD_OFFSET = FH_PAGE_SIZE,
    FH_JOURNAL_HEAD_BYTES = FH_JOURNAL_HEAD_PAGES * FH_PAGE_SIZE
};
_Static_assert(sizeof(struct fh_journal_head) + sizeof(struct fh_journal_section) +
                       FH_JOURNAL_TAG_MAX + FH_JOURNAL_PAGES * sizeof(uint32_t) <=
                   FH_JOURNAL_HEAD_BYTES,
               "every batch fits into a group of its own");

static inline uint64_t fh_journal_image_offset(uint32_t image)
{
    return (uint64_t)(1 + FH_JOURNAL_HEAD_PAGES + image) << FH_PAGE_SHIFT;
}

/* A page that gives the file this generation. */
static inline void fh_journal_super_fill(uint8_t *page, uint64_t generation)
{
    struct fh_journal_super super = {.generation = generation};

    memcpy(super.magic, FH_JOURNAL_SUPER_MAGIC, sizeof(super.magic));
    super.crc = fh_crc32c(0, &super, sizeof(super));
    memset(page, 0, FH_PAGE_SIZE);
    memcpy(page, &super, sizeof(super));
}

#endif
