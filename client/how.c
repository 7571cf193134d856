/*
 * Theory.  fh_how may grow: what a caller built against an older header does not have is zero, and
 * zero is the default of every field.
 */
#include "client/how.h"

#include <string.h>

bool fh_how_copy(const fh_how *how, fh_how *out)
{
    size_t size;

    memset(out, 0, sizeof(*out));
    if (how == NULL)
        return true;
    size = how->size < sizeof(*out) ? how->size : sizeof(*out);
    memcpy(out, how, size);
    return size >= sizeof(how->size);
}

void fh_how_apply(const fh_how *how, struct fh_call *call)
{
    call->if_absent = (how->flags & FH_IF_ABSENT) != 0;
    call->durable = (how->flags & FH_DURABLE) != 0;
    call->if_version = how->if_version;
    call->ttl_ms = how->ttl_ms;
}

bool fh_how_apply_alloc(const fh_how *how, struct fh_call *call)
{
    call->ttl_ms = how->ttl_ms;
    call->durable = (how->flags & FH_DURABLE) != 0;
    call->name = how->cache;
    call->name_size = how->cache != NULL ? how->cache_size : 0;
    return how->cache == NULL || how->cache_size > 0;
}
