/* frames_rig: frame records of which the first ones are owned. */
#ifndef FH_TESTS_FRAMES_RIG_H
#define FH_TESTS_FRAMES_RIG_H

#include "alloc/frames.h"

/* `total` frames, all owned; what init said. */
static inline int frames_rig_init(struct fh_frames *f, struct fh_mem *mem, uint32_t total)
{
    int rc = fh_frames_init(f, mem, total, FH_CHUNK_ORDER);

    for (uint32_t i = 0; rc == 0 && i < fh_frames_chunk_count(f); i++)
        fh_frames_own(f, i, fh_frames_chunk_room(f, i));
    return rc;
}

#endif
