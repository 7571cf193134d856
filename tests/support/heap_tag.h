/*
 * heap_tag: a number on every block of a heap, whoever carved it: the tag of a block of pages, or
 * the record of one in a slab, for which the heap has record_bytes of HEAP_TAG_BYTES.
 */
#ifndef FH_TESTS_HEAP_TAG_H
#define FH_TESTS_HEAP_TAG_H

#include <string.h>

#include "alloc/heap.h"

enum { HEAP_TAG_BYTES = sizeof(uint32_t) };

static inline void *heap_tag_record(const struct fh_heap_block *b)
{
    return fh_slab_run_record(b->run, b->run->cache->size, b->index);
}

static inline void heap_tag_put(const struct fh_heap_block *b, uint32_t tag)
{
    if (b->run)
        memcpy(heap_tag_record(b), &tag, sizeof(tag));
}

static inline uint32_t heap_tag_get(const struct fh_heap_block *b)
{
    uint32_t tag = b->tag;

    if (b->run)
        memcpy(&tag, heap_tag_record(b), sizeof(tag));
    return tag;
}

/* As its owner frees it: the record is blank before. */
static inline int heap_tag_free(struct fh_heap *h, struct fh_addr addr)
{
    struct fh_heap_block b;
    int rc = fh_heap_find(h, addr, &b);

    if (rc != 0)
        return rc;
    heap_tag_put(&b, 0);
    return fh_heap_free(h, addr);
}

#endif
