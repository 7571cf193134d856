/*
 * Theory.  The ids of a trace are renumbered while it is read, by a hash table that is gone afterwards, so that every
 * policy works on plain arrays. Each policy answers one question, who leaves, and counts; none keeps anything between
 * calls.
 *
 * Belady's rule, out goes what is needed last, keeps a heap of (next request, page). A page that is touched gets a new
 * entry; its old one names a moment that has passed, so it is never the largest while the cache is full of pages whose
 * next request is still to come.
 *
 * Sources: LRU, CLOCK: any textbook. SIEVE: Zhang et al., NSDI 2024. Belady, IBM Systems Journal 5(2) 1966.
 */
#include "tests/support/trace.h"

#include <ctype.h>
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/fifo.h"
#include "tests/support/frames_rig.h"

extern char **environ;

#define NONE UINT32_MAX

/* --- ids to numbers --- */

struct numbers {
    uint64_t *ids;
    uint32_t *of; /* NONE = empty place */
    uint32_t mask;
    uint32_t count;
};

static uint32_t numbers_place(const struct numbers *n, uint64_t id)
{
    uint32_t at = (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & n->mask;
    while (n->of[at] != NONE && n->ids[at] != id)
        at = (at + 1) & n->mask;
    return at;
}

static bool numbers_init(struct numbers *n, uint32_t places)
{
    *n = (struct numbers){.mask = places - 1};
    n->ids = malloc(places * sizeof(*n->ids));
    n->of = malloc(places * sizeof(*n->of));
    if (n->of)
        memset(n->of, 0xff, places * sizeof(*n->of));
    return n->ids && n->of;
}

static void numbers_fini(struct numbers *n)
{
    free(n->ids);
    free(n->of);
}

static bool numbers_grow(struct numbers *n)
{
    struct numbers more;

    if (!numbers_init(&more, (n->mask + 1) * 2)) {
        numbers_fini(&more);
        return false;
    }
    for (uint32_t i = 0; i <= n->mask; i++) {
        if (n->of[i] == NONE)
            continue;
        uint32_t at = numbers_place(&more, n->ids[i]);
        more.ids[at] = n->ids[i];
        more.of[at] = n->of[i];
    }
    more.count = n->count;
    numbers_fini(n);
    *n = more;
    return true;
}

/* The number of an id, a new one if it was never seen; NONE: no memory. */
static uint32_t numbers_get(struct numbers *n, uint64_t id)
{
    uint32_t at = numbers_place(n, id);

    if (n->of[at] != NONE)
        return n->of[at];
    if (n->count > n->mask / 2) {
        if (n->mask > UINT32_MAX / 4 || !numbers_grow(n))
            return NONE;
        at = numbers_place(n, id);
    }
    n->ids[at] = id;
    return n->of[at] = n->count++;
}

/* --- reading --- */

/* The id of a line: 1 found, 0 an empty line, -EINVAL. */
static int line_id(const char *text, uint64_t *id)
{
    char *end;

    while (isspace((unsigned char)*text))
        text++;
    if (*text == '\0')
        return 0;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    *id = strtoull(text, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    return errno == 0 && *end == '\0' ? 1 : -EINVAL;
}

static bool trace_room(struct trace *t, uint32_t *room)
{
    if (t->count < *room)
        return true;
    if (*room > UINT32_MAX / 4)
        return false;
    uint32_t *grown = realloc(t->requests, (size_t)*room * 2 * sizeof(*grown));
    if (!grown)
        return false;
    t->requests = grown;
    *room *= 2;
    return true;
}

static int trace_lines(struct trace *t, struct numbers *n, FILE *in)
{
    char *text = NULL;
    size_t size = 0;
    ssize_t length;
    uint32_t room = 1 << 16;
    uint64_t id;
    int rc = 0;

    if (!(t->requests = malloc(room * sizeof(*t->requests))))
        return -ENOMEM;
    while (rc >= 0 && (length = getline(&text, &size, in)) > 0) {
        t->line++;
        rc = strlen(text) == (size_t)length ? line_id(text, &id) : -EINVAL;
        if (rc != 1)
            continue;
        uint32_t number = trace_room(t, &room) ? numbers_get(n, id) : NONE;
        if (number == NONE)
            rc = -ENOMEM;
        else
            t->requests[t->count++] = number;
    }
    free(text);
    t->pages = n->count;
    if (rc >= 0)
        rc = ferror(in) ? -EIO : t->count == 0 ? -ENODATA : 0;
    return rc;
}

/* The file as a stream of text; *child is the program that unpacks it, or 0. */
static int trace_open(const char *path, FILE **in, pid_t *child)
{
    char *argv[] = {"gzip", "-dcq", "--", (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    int fds[2], rc;

    *child = 0;
    if (!(*in = fopen(path, "r")))
        return -errno;
    int first = getc(*in);
    if (first != 0x1f) { /* of gzip; no line of text begins so */
        (void)ungetc(first, *in);
        return 0;
    }
    fclose(*in);
    if (pipe(fds) != 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    rc = posix_spawnp(child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (rc == 0 && (*in = fdopen(fds[0], "r")))
        return 0;
    close(fds[0]);
    return rc != 0 ? -rc : -ENOMEM;
}

int trace_load(struct trace *t, const char *path)
{
    struct numbers numbers;
    FILE *in;
    pid_t child;
    int status = 0;
    int rc;

    *t = (struct trace){0};
    if ((rc = trace_open(path, &in, &child)) != 0)
        return rc;
    rc = numbers_init(&numbers, 1 << 16) ? trace_lines(t, &numbers, in) : -ENOMEM;
    numbers_fini(&numbers);
    fclose(in);
    if (child != 0 && waitpid(child, &status, 0) == child && status != 0 && rc == 0)
        rc = -EIO; /* cut off, or damaged */
    if (rc != 0)
        trace_free(t);
    return rc;
}

void trace_free(struct trace *t)
{
    free(t->requests);
    t->requests = NULL;
}

/* --- what we ship --- */

struct farheap_page {
    uint32_t frame; /* NONE = not in memory */
    uint32_t epoch;
    bool evicted;
};

static void farheap_evict(struct fh_fifo *fifo, struct farheap_page *pages)
{
    uint32_t budget = UINT32_MAX;
    struct fh_frame victim = fh_fifo_pick(fifo, &budget);
    struct fh_frame_record *record = fh_frames_record(fifo->frames, victim);
    struct farheap_page *out = &pages[record->page];

    *out = (struct farheap_page){.frame = NONE, .epoch = fh_fifo_evicted(fifo), .evicted = true};
    record->page = FH_PAGE_NONE;
    (void)fh_frames_release(fifo->frames, victim);
}

uint64_t trace_farheap(const struct trace *t, uint32_t cache)
{
    struct fh_mem mem = {0};
    struct fh_frames frames;
    struct fh_fifo fifo;
    struct farheap_page *pages = calloc(t->pages, sizeof(*pages));
    uint64_t misses = 0;

    if (!pages || frames_rig_init(&frames, &mem, cache) != 0) {
        free(pages);
        return UINT64_MAX;
    }
    fh_fifo_init(&fifo, &frames);
    for (uint32_t i = 0; i < t->pages; i++)
        pages[i].frame = NONE;
    for (uint32_t i = 0; i < t->count; i++) {
        struct farheap_page *page = &pages[t->requests[i]];
        if (page->frame != NONE) {
            fh_fifo_touch(&fifo, (struct fh_frame){page->frame});
            continue;
        }
        misses++;
        if (frames.free == 0)
            farheap_evict(&fifo, pages);
        struct fh_frame frame = fh_frames_take(&frames);
        fh_frames_record(&frames, frame)->page = t->requests[i];
        page->frame = frame.v;
        fh_fifo_insert(&fifo, frame, page->evicted, page->epoch);
    }
    if (!fh_fifo_check(&fifo, stderr))
        misses = UINT64_MAX;
    fh_frames_fini(&frames);
    free(pages);
    return misses;
}

/* --- lists of pages: LRU, CLOCK, SIEVE --- */

/* A ring through an element for each page and one more, its head: next of the head is the newest. */
struct ring {
    uint32_t *next, *prev;
    uint8_t *state; /* bit 0: in the ring, bit 1: touched */
    uint32_t head;
    uint32_t count;
};

enum { IN = 1, TOUCHED = 2 };

static bool ring_init(struct ring *r, uint32_t pages)
{
    *r = (struct ring){.head = pages};
    r->next = malloc(((size_t)pages + 1) * sizeof(*r->next));
    r->prev = malloc(((size_t)pages + 1) * sizeof(*r->prev));
    r->state = calloc((size_t)pages + 1, 1);
    if (!r->next || !r->prev || !r->state)
        return false;
    r->next[pages] = r->prev[pages] = pages;
    return true;
}

static void ring_fini(struct ring *r)
{
    free(r->next);
    free(r->prev);
    free(r->state);
}

static void ring_push(struct ring *r, uint32_t page)
{
    r->next[page] = r->next[r->head];
    r->prev[page] = r->head;
    r->prev[r->next[page]] = page;
    r->next[r->head] = page;
    r->state[page] = IN;
    r->count++;
}

static void ring_remove(struct ring *r, uint32_t page)
{
    r->next[r->prev[page]] = r->next[page];
    r->prev[r->next[page]] = r->prev[page];
    r->state[page] = 0;
    r->count--;
}

static void lru_hit(struct ring *r, uint32_t page)
{
    ring_remove(r, page);
    ring_push(r, page);
}

static void note_hit(struct ring *r, uint32_t page)
{
    r->state[page] |= TOUCHED;
}

static void lru_evict(struct ring *r, uint32_t *hand)
{
    (void)hand;
    ring_remove(r, r->prev[r->head]);
}

static void clock_evict(struct ring *r, uint32_t *hand)
{
    (void)hand;
    while (r->state[r->prev[r->head]] & TOUCHED)
        lru_hit(r, r->prev[r->head]);
    ring_remove(r, r->prev[r->head]);
}

/* From the oldest to the newest and around; what was touched stays where it is. */
static void sieve_evict(struct ring *r, uint32_t *hand)
{
    uint32_t at = *hand == NONE ? r->head : *hand;

    while (at == r->head || r->state[at] & TOUCHED) {
        if (at != r->head)
            r->state[at] = IN;
        at = r->prev[at];
    }
    *hand = r->prev[at];
    ring_remove(r, at);
}

static uint64_t ring_run(const struct trace *t, uint32_t cache,
                         void (*hit)(struct ring *, uint32_t),
                         void (*evict)(struct ring *, uint32_t *hand))
{
    struct ring ring;
    uint32_t hand = NONE;
    uint64_t misses = 0;

    bool ok = ring_init(&ring, t->pages);
    for (uint32_t i = 0; ok && i < t->count; i++) {
        uint32_t page = t->requests[i];
        if (ring.state[page] & IN) {
            hit(&ring, page);
            continue;
        }
        misses++;
        if (ring.count == cache)
            evict(&ring, &hand);
        ring_push(&ring, page);
    }
    ring_fini(&ring);
    return ok ? misses : UINT64_MAX;
}

uint64_t trace_lru(const struct trace *t, uint32_t cache)
{
    return ring_run(t, cache, lru_hit, lru_evict);
}

uint64_t trace_clock(const struct trace *t, uint32_t cache)
{
    return ring_run(t, cache, note_hit, clock_evict);
}

uint64_t trace_sieve(const struct trace *t, uint32_t cache)
{
    return ring_run(t, cache, note_hit, sieve_evict);
}

/* --- who knows the future --- */

/* A heap, largest first, of next request << 32 | page. */
struct heap {
    uint64_t *items;
    size_t count;
};

static void heap_push(struct heap *h, uint64_t item)
{
    size_t at = h->count++;

    for (; at > 0 && h->items[(at - 1) / 2] < item; at = (at - 1) / 2)
        h->items[at] = h->items[(at - 1) / 2];
    h->items[at] = item;
}

static uint64_t heap_pop(struct heap *h)
{
    uint64_t top = h->items[0], last = h->items[--h->count];
    size_t at = 0, child;

    while ((child = at * 2 + 1) < h->count) {
        child += child + 1 < h->count && h->items[child + 1] > h->items[child];
        if (h->items[child] <= last)
            break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = last;
    return top;
}

/* When the block of each request is asked for next; NONE = never. `soonest` has a word for each page. */
static void belady_next(const struct trace *t, uint32_t *next, uint32_t *soonest)
{
    memset(soonest, 0xff, t->pages * sizeof(*soonest));
    for (uint32_t i = t->count; i-- > 0;) {
        next[i] = soonest[t->requests[i]];
        soonest[t->requests[i]] = i;
    }
}

uint64_t trace_belady(const struct trace *t, uint32_t cache)
{
    uint32_t *next = malloc(t->count * sizeof(*next)),
             *soonest = malloc(t->pages * sizeof(*soonest));
    bool *in = calloc(t->pages, 1);
    struct heap heap = {.items = malloc(t->count * sizeof(*heap.items))};
    uint64_t misses = 0;
    uint32_t resident = 0;
    bool ok = next && soonest && in && heap.items;

    if (ok)
        belady_next(t, next, soonest);
    for (uint32_t i = 0; ok && i < t->count; i++) {
        uint32_t page = t->requests[i];
        if (!in[page]) {
            misses++;
            if (resident == cache)
                in[(uint32_t)heap_pop(&heap)] = false;
            else
                resident++;
            in[page] = true;
        }
        heap_push(&heap, (uint64_t)next[i] << 32 | page);
    }
    free(next);
    free(soonest);
    free(in);
    free(heap.items);
    return ok ? misses : UINT64_MAX;
}
