/*
 * Theory.  The region is address space first: the kernel backs a page of it when a frame is used
 * for the first time, and not again while its chunk stays, because frames are recycled inside it. It is aligned to 2
 * MiB so that huge pages fit, and left out of core dumps because it holds other people's bytes.
 */
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

#include "bits.h"

enum { REGION_ALIGN = 2 << 20 };

int fh_region_init(struct fh_region *r, struct fh_mem *mem, uint64_t size_bytes)
{
    if (size_bytes == 0 || size_bytes % FH_PAGE_SIZE != 0)
        return -EINVAL;

    *r = (struct fh_region){.size_bytes = size_bytes, .map_bytes = size_bytes + REGION_ALIGN};
    r->map = fh_mem_map(mem, r->map_bytes);
    if (!r->map)
        return -ENOMEM;
    r->base = (uint8_t *)fh_align_up((uintptr_t)r->map, REGION_ALIGN);
    (void)madvise(r->base, size_bytes, MADV_DONTDUMP); /* advice: nothing depends on it */
    return 0;
}

void fh_region_fini(struct fh_region *r, struct fh_mem *mem)
{
    fh_mem_unmap(mem, r->map, r->map_bytes);
    *r = (struct fh_region){0};
}
