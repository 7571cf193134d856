/*
 * Theory.  A request never blocks the loop. When it needs frames that are not free, or pages that
 * are not in memory, its call is parked and run again later. Two lists are enough: `waiting`, the
 * line for frames, served strictly from its head so that a large request cannot be starved by small
 * ones; and `ready`, calls whose pages have arrived. A call on I/O is in neither: the operations it
 * waits for know its hold.
 *
 *   IDLE --park--> IN_LINE --frames free--> (step) --> IDLE | ON_IO
 *   IDLE --park_on_io--> ON_IO --last page arrived--> READY --pump--> (step) --> IDLE | IN_LINE |
 * ON_IO
 *
 * A call that has been admitted once goes back to the head of the line, not to its end: each
 * further round means that another request's write was completed, so the zone advances.
 *
 * Invariants
 *   [I1] a call is linked if and only if it is IN_LINE or READY
 *   [I2] count is the number of calls that are not IDLE
 */
#include "waiter.h"

#include <errno.h>

#include "assert.h"
#include "report.h"

void fh_line_init(struct fh_line *line)
{
    fh_list_init(&line->waiting);
    fh_list_init(&line->ready);
    line->count = 0;
    line->parked_total = 0;
}

static void line_enter(struct fh_line *line, struct fh_call *call, enum fh_call_state state)
{
    FH_ASSERT(call->state == FH_CALL_IDLE);
    call->state = state;
    line->count++;
    line->parked_total++;
}

void fh_line_park(struct fh_line *line, struct fh_call *call, uint32_t need)
{
    line_enter(line, call, FH_CALL_IN_LINE);
    call->need = need;
    if (call->admitted)
        fh_list_push_front(&line->waiting, &call->link);
    else
        fh_list_push_back(&line->waiting, &call->link);
}

void fh_line_park_on_io(struct fh_line *line, struct fh_call *call, struct fh_hold *hold)
{
    line_enter(line, call, FH_CALL_ON_IO);
    call->hold = hold;
    fh_list_init(&call->link);
}

void fh_line_make_ready(struct fh_line *line, struct fh_call *call)
{
    FH_ASSERT(call->state == FH_CALL_ON_IO);
    call->state = FH_CALL_READY;
    fh_list_remove(&call->link);
    fh_list_push_back(&line->ready, &call->link);
}

void fh_line_leave(struct fh_line *line, struct fh_call *call)
{
    FH_ASSERT(call->state != FH_CALL_IDLE);
    fh_list_remove(&call->link);
    call->state = FH_CALL_IDLE;
    line->count--;
}

struct fh_call *fh_line_head(struct fh_line *line)
{
    struct fh_list *first = fh_list_first(&line->waiting);
    return first ? FH_CONTAINER_OF(first, struct fh_call, link) : NULL;
}

void fh_call_run(struct fh_call *call)
{
    FH_ASSERT(call->state == FH_CALL_IDLE);
    call->admitted = true;
    if (!call->is_decided)
        call->rc = call->step(call);
    if (call->rc == -EINPROGRESS)
        return;
    call->admitted = false;
    call->hold = NULL;
    if (call->done)
        call->done(call);
}

static uint32_t list_length(const struct fh_list *list)
{
    uint32_t length = 0;

    for (const struct fh_list *l = list->next; l != list; l = l->next)
        length++;
    return length;
}

void fh_line_stats(const struct fh_line *line, struct fh_line_stats *out)
{
    uint32_t in_line = list_length(&line->waiting);
    uint32_t ready = list_length(&line->ready);

    *out = (struct fh_line_stats){.in_line = in_line,
                                  .ready = ready,
                                  .on_io = line->count - in_line - ready,
                                  .parked_total = line->parked_total};
}

static void check_states(const struct fh_list *list, enum fh_call_state state, struct fh_report *r)
{
    for (const struct fh_list *l = list->next; l != list; l = l->next) {
        const struct fh_call *call =
            (const struct fh_call *)(const void *)((const char *)l -
                                                   offsetof(struct fh_call, link));
        if (call->state != state)
            fh_report(r, "[I1] a call in the list of state %d is in state %d", (int)state,
                      (int)call->state);
    }
}

bool fh_line_check(const struct fh_line *line, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t linked = list_length(&line->waiting) + list_length(&line->ready);

    check_states(&line->waiting, FH_CALL_IN_LINE, &r);
    check_states(&line->ready, FH_CALL_READY, &r);
    if (linked > line->count)
        fh_report(&r, "[I2] %u calls are parked, %u of them linked", line->count, linked);
    return r.broken == 0;
}

void fh_line_dump(const struct fh_line *line, FILE *out)
{
    struct fh_line_stats s;

    fh_line_stats(line, &s);
    fprintf(out, "line: %u wait for frames, %u for pages, %u are ready\n", s.in_line, s.on_io,
            s.ready);
}
