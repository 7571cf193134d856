/*
 * Theory.  Every request of the engine for memory of its own goes through mem_may_fail first: it
 * counts, and refuses when a test planned it. Small structures come from calloc; arrays indexed by
 * page, frame or slot are private anonymous maps, which the kernel backs on first touch and where 0
 * means "nothing here".
 *
 * Invariants
 *   [I1] used_bytes is the sum of the sizes taken and not given back, maps included; taken_bytes
 *        is that sum without them
 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "assert.h"

static bool mem_may_fail(struct fh_mem *m)
{
    m->calls++;
    bool planned = m->fail_at != 0 &&
                   (m->calls == m->fail_at || (m->fail_from_there_on && m->calls > m->fail_at));
    m->failed = m->failed || planned;
    return planned;
}

/* More is taken by so many bytes, or less, modulo 2^64. */
static void mem_count(struct fh_mem *m, uint64_t bytes)
{
    m->taken_bytes += bytes;
    m->used_bytes += bytes;
}

void *fh_mem_take(struct fh_mem *m, size_t size)
{
    void *p = mem_may_fail(m) ? NULL : calloc(1, size);
    if (p)
        mem_count(m, size);
    return p;
}

void fh_mem_give(struct fh_mem *m, void *p, size_t size)
{
    if (!p)
        return;
    FH_ASSERT(m->taken_bytes >= size); /* [I1] */
    mem_count(m, 0 - (uint64_t)size);
    free(p);
}

void *fh_mem_grow(struct fh_mem *m, void *p, size_t size, size_t new_size)
{
    FH_ASSERT(new_size > size);
    void *q = mem_may_fail(m) ? NULL : realloc(p, new_size);
    if (!q)
        return NULL;
    memset((char *)q + size, 0, new_size - size);
    mem_count(m, new_size - size);
    return q;
}

void *fh_mem_map(struct fh_mem *m, size_t size)
{
    if (mem_may_fail(m))
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    m->used_bytes += size;
    return p;
}

void fh_mem_forget(void *p, size_t size)
{
    if (madvise(p, size, MADV_DONTNEED) != 0)
        memset(p, 0, size); /* locked in memory: it cannot be given back, but it can be zero */
}

void fh_mem_unmap(struct fh_mem *m, void *p, size_t size)
{
    if (!p)
        return;
    FH_ASSERT(m->used_bytes - m->taken_bytes >= size); /* [I1] */
    m->used_bytes -= size;
    munmap(p, size);
}
