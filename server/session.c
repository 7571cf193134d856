/*
 * Theory.  A session owes its peer bytes in two places: those queued in `out`, and those of
 * requests that are still being read or that are sent from a view. Both count against the output
 * limit, so a peer that asks and never reads costs a bounded amount.
 *
 * Guessing handles is slow: after FH_SESSION_STALE_PER_SECOND answers of STALE the rest of the
 * second passes before the next request is looked at.
 */
#include "session.h"

#include <string.h>

void fh_session_init(struct fh_session *s, void (*wake)(struct fh_session *))
{
    memset(s, 0, sizeof *s);
    s->wants_zone = FH_ZONE_ANY;
    s->tenant = FH_TENANT_DEFAULT;
    s->wake = wake;
    fh_list_init(&s->ops);
}

void fh_session_note_stale(struct fh_session *s, uint64_t second)
{
    if (s->stale_second != second) {
        s->stale_second = second;
        s->stale_count = 0;
    }
    s->stale_count++;
}

bool fh_session_is_throttled(const struct fh_session *s, uint64_t second, uint64_t output_limit)
{
    if (s->ops_count >= FH_SESSION_PARKED_MAX)
        return true;
    if (s->out.queued_bytes + s->owed_bytes > output_limit)
        return true;
    return s->stale_count >= FH_SESSION_STALE_PER_SECOND && s->stale_second == second;
}
