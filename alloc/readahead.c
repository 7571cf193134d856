/*
 * Theory.  A stream is one reader of one object. As long as its touches go on where the last one
 * ended, at the same page or the next, they ascend; the second ascending touch opens a window of 4
 * pages, and whenever the reader reaches the middle of the window asked for last, the next one,
 * twice as long, is asked for. So the disk is ahead by half a window to one and a half. A touch
 * anywhere else ends the window: who reads at random pays for nothing.
 *
 *   touched ....]        mark            asked_end
 *               [ window . | . . . . . . ][ next window, asked for at the mark ..
 *
 * A page that was read ahead and leaves memory untouched says that the window is too long for the
 * memory there is: it is halved, once per window, and below 4 pages there is none until the stream
 * has gone on for a while.
 *
 * A scan in small pieces touches each page many times, which is one access, not many. What goes on
 * at the byte where the stream ended, and what touches the page that the same id touched just
 * before, does not count as new; but each RUN_MAX-th in a row does, or a word that somebody polls
 * would never be seen to be hot. Of an object within one page nothing else is to be known, so its
 * touches take no stream.
 *
 * A sequential scan of an object longer than memory cannot profit from what it leaves behind. Its
 * touches do not count at all, and what it has passed is told, so that it leaves memory first.
 *
 * Invariants
 *   [I1] a stream lies in the set of its id and object, and no two streams are of the same
 *   [I2] a window is at most pages_max, and asked for within the object
 */
#include "readahead.h"

#include <inttypes.h>

#include "assert.h"
#include "bits.h"
#include "report.h"

enum { WAYS = 4, SETS = FH_STREAMS / WAYS, RUN_MAX = 256, MUTE_PAGES = 256, BEHIND_MAX = 128 };

void fh_readahead_init(struct fh_readahead *r, uint32_t pages_max, uint64_t memory_pages)
{
    FH_ASSERT(pages_max <= FH_READAHEAD_MAX);
    *r = (struct fh_readahead){.pages_max = pages_max, .memory_pages = memory_pages};
}

static uint32_t mix(uint64_t word, uint32_t below)
{
    return (uint32_t)((word * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % below;
}

static struct fh_stream *set_of(struct fh_readahead *r, uint64_t id, struct fh_page object)
{
    return &r->streams[(size_t)mix(id ^ (object.v << 20), SETS) * WAYS];
}

static void stream_begin(struct fh_stream *s, const struct fh_touch *t)
{
    *s = (struct fh_stream){.id = t->stream, .object = t->object, .end = t->end};
}

/* The stream of this touch; *known: it has been touched before. */
static struct fh_stream *stream_of(struct fh_readahead *r, const struct fh_touch *t, bool *known)
{
    struct fh_stream *set = set_of(r, t->stream, t->object);
    struct fh_stream *oldest = set;

    *known = true;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].id == t->stream && set[i].object.v == t->object.v && set[i].end.v == t->end.v)
            return &set[i];
        if (set[i].used_at < oldest->used_at)
            oldest = &set[i];
    }
    for (uint32_t i = 0; i < WAYS; i++) /* the same place, another object by now */
        if (set[i].id == t->stream && set[i].object.v == t->object.v)
            oldest = &set[i];
    *known = false;
    stream_begin(oldest, t);
    return oldest;
}

/* Whether the id's touch before this one was of the same page; notes this one. */
static bool id_stays(struct fh_readahead *r, uint64_t id, struct fh_page first, struct fh_page last)
{
    uint32_t i = mix(id, FH_STREAMS);
    bool stays = r->lasts[i].id == id && r->lasts[i].page.v == first.v;

    r->lasts[i].id = id;
    r->lasts[i].page = last;
    r->lasts[i].run = stays ? r->lasts[i].run + 1 : 0;
    return stays;
}

bool fh_readahead_stays(struct fh_readahead *r, uint64_t id, struct fh_page page)
{
    return id != 0 && id_stays(r, id, page, page) &&
           r->lasts[mix(id, FH_STREAMS)].run % RUN_MAX != 0;
}

static bool stream_is_scan(const struct fh_readahead *r, const struct fh_stream *s)
{
    return s->streak >= 2 && s->end.v - s->object.v > r->memory_pages;
}

/* Asks for the window that begins at `from`, as much of it as the object has. */
static void stream_ask(struct fh_readahead *r, struct fh_stream *s, struct fh_page from,
                       struct fh_readahead_advice *out)
{
    if (from.v >= s->end.v)
        return;
    out->ahead = from;
    out->ahead_count = (uint32_t)fh_min_u64(s->window, s->end.v - from.v);
    s->mark = fh_page_add(from, out->ahead_count / 2);
    s->asked_end = fh_page_add(from, out->ahead_count);
    r->stats.windows++;
}

static void stream_window(struct fh_readahead *r, struct fh_stream *s, const struct fh_touch *t,
                          struct fh_readahead_advice *out)
{
    uint32_t open = t->pattern == FH_PATTERN_SEQUENTIAL ? r->pages_max : FH_READAHEAD_OPEN;
    struct fh_page after = fh_page_add(s->last, 1);

    if (!t->may_read_ahead || r->pages_max == 0 || t->pattern == FH_PATTERN_RANDOM || s->mute > 0)
        return;
    if (s->window == 0) {
        s->window = (uint32_t)fh_min_u64(open, r->pages_max);
        stream_ask(r, s, after, out);
    } else if (s->last.v >= s->mark.v) {
        s->window = (uint32_t)fh_min_u64((uint64_t)s->window * 2, r->pages_max);
        stream_ask(r, s, (struct fh_page){fh_max_u64(s->asked_end.v, after.v)}, out);
    }
}

/* The reader went on to another page. */
static void stream_advance(struct fh_readahead *r, struct fh_stream *s, const struct fh_touch *t,
                           struct fh_page first, struct fh_page last,
                           struct fh_readahead_advice *out)
{
    uint64_t moved = last.v - s->last.v;

    s->streak++;
    s->last = last;
    s->mute -= (uint32_t)fh_min_u64(s->mute, moved);
    if (stream_is_scan(r, s) && first.v > s->from.v) {
        out->behind = s->from;
        out->behind_count = (uint32_t)fh_min_u64(first.v - s->from.v, BEHIND_MAX);
    }
    s->from = first;
    stream_window(r, s, t, out);
}

/* The reader is somewhere else: what was known of its way is worth nothing. */
static void stream_jump(struct fh_stream *s, struct fh_page first, struct fh_page last)
{
    s->streak = 0;
    s->window = 0;
    s->mute = 0;
    s->from = first;
    s->last = last;
    s->mark = s->asked_end = s->blamed_end = (struct fh_page){0};
}

static bool stream_repeats(struct fh_stream *s, const struct fh_touch *t, struct fh_page first,
                           bool stays)
{
    bool again = first.v == s->last.v && (stays || t->start.v == s->next.v);

    s->run = again ? s->run + 1 : 0;
    return again && s->run % RUN_MAX != 0;
}

struct fh_readahead_advice fh_readahead_touch(struct fh_readahead *r, const struct fh_touch *t)
{
    struct fh_page first = fh_page_of_addr(t->start);
    struct fh_page last = fh_page_of_addr((struct fh_addr){t->start.v + t->size_bytes - 1});
    struct fh_readahead_advice out = {.quiet_count = 0};
    bool known;

    FH_ASSERT(t->size_bytes > 0);
    if (t->stream == 0)
        return out;
    bool stays = id_stays(r, t->stream, first, last);
    struct fh_stream *s = stream_of(r, t, &known);
    s->used_at = ++r->touches;
    if (known && stream_repeats(s, t, first, stays)) {
        out.quiet = first;
        out.quiet_count = 1;
    }
    if (known && (first.v == s->last.v || first.v == s->last.v + 1)) {
        if (last.v > s->last.v)
            stream_advance(r, s, t, first, last, &out);
    } else {
        stream_jump(s, first, last);
        if (t->pattern == FH_PATTERN_SEQUENTIAL)
            stream_window(r, s, t, &out);
    }
    s->next.v = t->start.v + t->size_bytes;
    if (stream_is_scan(r, s)) {
        out.is_scan = true;
        out.quiet = first;
        out.quiet_count = last.v - first.v + 1;
    }
    return out;
}

void fh_readahead_wasted(struct fh_readahead *r, struct fh_page page)
{
    for (uint32_t i = 0; i < FH_STREAMS; i++) {
        struct fh_stream *s = &r->streams[i];
        if (s->id == 0 || s->window == 0 || page.v < s->object.v || page.v >= s->asked_end.v ||
            page.v < s->blamed_end.v)
            continue;
        s->blamed_end = s->asked_end;
        s->window /= 2;
        r->stats.wasted++;
        if (s->window >= FH_READAHEAD_OPEN)
            continue;
        s->window = 0;
        s->mute = MUTE_PAGES;
    }
}

/* --- looking inside --- */

void fh_readahead_stats(const struct fh_readahead *r, struct fh_readahead_stats *out)
{
    *out = r->stats;
    out->streams = 0;
    for (uint32_t i = 0; i < FH_STREAMS; i++)
        out->streams += r->streams[i].id != 0;
}

static void check_place(const struct fh_readahead *r, uint32_t i, struct fh_report *report)
{
    const struct fh_stream *s = &r->streams[i];
    uint32_t set = mix(s->id ^ (s->object.v << 20), SETS);

    if (i / WAYS != set)
        fh_report(report, "[I1] stream %u: belongs into set %u", i, set);
    for (uint32_t k = set * WAYS; k < i; k++)
        if (r->streams[k].id == s->id && r->streams[k].object.v == s->object.v)
            fh_report(report, "[I1] streams %u and %u are of the same", k, i);
}

bool fh_readahead_check(const struct fh_readahead *r, FILE *why)
{
    struct fh_report report = {.out = why, .lines_max = 20};

    for (uint32_t i = 0; i < FH_STREAMS; i++) {
        const struct fh_stream *s = &r->streams[i];
        if (s->id == 0)
            continue;
        check_place(r, i, &report);
        if (s->window > r->pages_max || s->asked_end.v > s->end.v)
            fh_report(&report, "[I2] stream %u: window %u, asked for up to %" PRIx64 " of %" PRIx64,
                      i, s->window, s->asked_end.v, s->end.v);
    }
    return report.broken == 0;
}

void fh_readahead_dump(const struct fh_readahead *r, FILE *out)
{
    fprintf(out, "readahead: at most %u pages, %" PRIu64 " windows, %" PRIu64 " wasted\n",
            r->pages_max, r->stats.windows, r->stats.wasted);
    for (uint32_t i = 0; i < FH_STREAMS; i++) {
        const struct fh_stream *s = &r->streams[i];
        if (s->id != 0)
            fprintf(out,
                    "  stream %" PRIu64 " of %" PRIx64 ": at page %" PRIx64
                    ", streak %u, window %u\n",
                    s->id, s->object.v, s->last.v, s->streak, s->window);
    }
}
