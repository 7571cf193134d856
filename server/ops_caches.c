/*
 * Theory.  Operations on the typed caches of this zone. Neither ever waits. A cache is a zone's
 * own: a client that wants it everywhere makes it in each zone. The engine's word for a full table
 * is no space; to the client it is a quota, since memory there is.
 */
#include <errno.h>

#include "ops_ask.h"

int fh_ops_cache_create(struct fh_ask *ask)
{
    const Farheap__V1__CacheCreate *m = ask->head->cache_create;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    const struct fh_cache_spec spec = {.name = m->name.data,
                                       .name_size = m->name.len,
                                       .object_size = m->object_size,
                                       .alignment = m->alignment,
                                       .initial = ask->body,
                                       .initial_size = ask->body_size};
    int rc = fh_zone_cache_create(ask->ops->zone, ask->session->tenant, &spec);

    if (rc == 0)
        fh_reply_plain(&to, 0);
    return rc == -ENOSPC ? -EDQUOT : rc;
}

int fh_ops_cache_destroy(struct fh_ask *ask)
{
    const Farheap__V1__CacheDestroy *m = ask->head->cache_destroy;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    int rc;

    if (m->name.len == 0 || m->name.len > FH_CACHE_NAME_MAX)
        return -EINVAL;
    rc = fh_zone_cache_destroy(ask->ops->zone, ask->session->tenant, m->name.data, m->name.len);
    if (rc == 0)
        fh_reply_plain(&to, 0);
    return rc;
}
