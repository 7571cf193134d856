#include <criterion/criterion.h>

#include "server/session.h"

TestSuite(session, .timeout = 10);

static struct fh_session session;

static void wake(struct fh_session *s)
{
    (void)s;
}

Test(session, starts_as_a_stranger_of_the_default_tenant)
{
    session.known = true;
    fh_session_init(&session, wake);
    cr_assert_not(session.known);
    cr_assert_eq(session.tenant, (uint32_t)FH_TENANT_DEFAULT);
    cr_assert_eq(session.wants_zone, (int64_t)FH_ZONE_ANY);
    cr_assert_not(fh_session_is_throttled(&session, 1, 1000));
}

Test(session, what_it_owes_and_what_is_queued_count_together)
{
    fh_session_init(&session, wake);
    session.owed_bytes = 600;
    session.out.queued_bytes = 400;
    cr_assert_not(fh_session_is_throttled(&session, 1, 1000));
    session.out.queued_bytes++;
    cr_assert(fh_session_is_throttled(&session, 1, 1000));
}

Test(session, too_many_requests_in_progress_throttle)
{
    fh_session_init(&session, wake);
    session.ops_count = FH_SESSION_PARKED_MAX - 1;
    cr_assert_not(fh_session_is_throttled(&session, 1, 1000));
    session.ops_count++;
    cr_assert(fh_session_is_throttled(&session, 1, 1000));
}

Test(session, guessing_handles_waits_for_the_next_second)
{
    fh_session_init(&session, wake);
    for (unsigned i = 0; i < FH_SESSION_STALE_PER_SECOND; i++) {
        cr_assert_not(fh_session_is_throttled(&session, 7, 1000));
        fh_session_note_stale(&session, 7);
    }
    cr_assert(fh_session_is_throttled(&session, 7, 1000));
    cr_assert_not(fh_session_is_throttled(&session, 8, 1000));
    fh_session_note_stale(&session, 8);
    cr_assert_not(fh_session_is_throttled(&session, 8, 1000));
}
