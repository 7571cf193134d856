/*
 * Theory.  The file is cut into clusters of 512 slots, and runs are taken from one open cluster, so
 * that what is evicted in one go lies together. Inside it the first run that is long enough is
 * taken, else the longest. When the open cluster has only short runs left, the emptiest cluster is
 * opened instead, and the short runs wait there until their neighbours are free too. When no
 * cluster is half empty, waiting would bring nothing: then holes are filled, whatever their length.
 * Nothing is ever moved.
 *
 *   slot          0  1  2  3  4  5  6  7 ...  511 | 512 ...
 *   taken_map     1  1  1  0  0  1  0  0        0 |   0        slot 0 and the tail count as taken
 *   refs          -  2  1  -  -  0  -  -        - |   -        5 is quarantined and has no name
 *
 * Clusters are found through 513 lists, one per number of free slots; a bitmap is not needed, since
 * a list is looked for only when a cluster was used up. Clusters that were never opened are in no
 * list and cost no memory: they are taken in order, when no used one is entirely free.
 *
 * Invariants
 *   [I1] a slot's bit in taken_map is set if and only if it has references, is quarantined, or is
 *        no slot at all (0, and beyond total)
 *   [I2] a quarantined slot is not free, whatever its references
 *   [I3] a cluster's `taken` equals the bits set in its part of taken_map
 *   [I4] every cluster below clusters_fresh is in the list of its free count, once; none above is
 *   [I5] used + quarantined + free == total, each equal to its recount
 */
#include "slots.h"

#include <errno.h>
#include <string.h>

#include "bits.h"
#include "report.h"

enum {
    MAP_WORDS = FH_SLOTS_CLUSTER / 64,
    LISTS = FH_SLOTS_CLUSTER + 1,
    HALF = FH_SLOTS_CLUSTER / 2,
    RUN_SHORT = 16, /* a run below this is left alone while a half empty cluster exists */
};

#define NONCE_MASK    ((UINT64_C(1) << 48) - 1)
#define NONCE_SHELVED NONCE_MASK /* beyond every nonce that a page is sealed with */

_Static_assert(sizeof(struct fh_slot_record) == 24, "24 bytes of books per slot");
_Static_assert(FH_CIPHER_NONCE_END <= NONCE_MASK + 1, "every nonce fits a record");

struct fh_slots_cluster {
    uint32_t next, prev; /* cluster + 1 in the list; 0 = none */
    uint32_t taken;      /* slots that are not free */
};

struct run {
    uint32_t start, length; /* within a cluster */
};

/* --- a record's two numbers --- */

static uint32_t record_refs(const struct fh_slot_record *r)
{
    return (uint32_t)(r->word >> 48);
}

static uint64_t record_nonce(const struct fh_slot_record *r)
{
    return r->word & NONCE_MASK;
}

static void record_set(struct fh_slot_record *r, uint32_t refs, uint64_t nonce)
{
    r->word = ((uint64_t)refs << 48) | nonce;
}

/* --- sizes of the maps --- */

static size_t records_bytes(const struct fh_slots *s)
{
    return ((size_t)s->total + 1) * sizeof(struct fh_slot_record);
}

static size_t map_bytes(const struct fh_slots *s)
{
    return (size_t)s->cluster_count * (FH_SLOTS_CLUSTER / 8);
}

static size_t clusters_bytes(const struct fh_slots *s)
{
    return (size_t)s->cluster_count * sizeof(struct fh_slots_cluster);
}

static size_t lists_bytes(void)
{
    return LISTS * sizeof(uint32_t);
}

/* --- lists of clusters by free count --- */

static uint32_t cluster_free(const struct fh_slots *s, uint32_t cluster)
{
    return FH_SLOTS_CLUSTER - s->clusters[cluster].taken;
}

static void cluster_link(struct fh_slots *s, uint32_t cluster)
{
    struct fh_slots_cluster *c = &s->clusters[cluster];
    uint32_t *head = &s->lists[cluster_free(s, cluster)];

    c->prev = 0;
    c->next = *head;
    if (c->next)
        s->clusters[c->next - 1].prev = cluster + 1;
    *head = cluster + 1;
}

static void cluster_unlink(struct fh_slots *s, uint32_t cluster)
{
    struct fh_slots_cluster *c = &s->clusters[cluster];

    if (c->prev)
        s->clusters[c->prev - 1].next = c->next;
    else
        s->lists[cluster_free(s, cluster)] = c->next;
    if (c->next)
        s->clusters[c->next - 1].prev = c->prev;
}

/* `more` slots of the cluster are taken (or, negative, free again). */
static void cluster_count_taken(struct fh_slots *s, uint32_t cluster, int more)
{
    cluster_unlink(s, cluster);
    s->clusters[cluster].taken += (uint32_t)more;
    FH_ASSERT(s->clusters[cluster].taken <= FH_SLOTS_CLUSTER);
    cluster_link(s, cluster);
}

/* The next never used cluster joins the lists; what is no slot is marked as taken for good. */
static void cluster_begin(struct fh_slots *s)
{
    uint32_t cluster = s->clusters_fresh++;
    uint64_t first = (uint64_t)cluster * FH_SLOTS_CLUSTER;

    for (uint64_t slot = first; slot < first + FH_SLOTS_CLUSTER; slot++) {
        if (slot != 0 && slot <= s->total)
            continue;
        fh_bit_set(s->taken_map, slot);
        s->clusters[cluster].taken++;
    }
    cluster_link(s, cluster);
}

/* The cluster with the most free slots; cluster_count when all are full. */
static uint32_t cluster_emptiest(struct fh_slots *s)
{
    if (!s->lists[FH_SLOTS_CLUSTER] && s->clusters_fresh < s->cluster_count)
        cluster_begin(s);
    for (uint32_t count = FH_SLOTS_CLUSTER; count > 0; count--) {
        if (s->lists[count])
            return s->lists[count] - 1;
    }
    return s->cluster_count;
}

/* --- runs --- */

/* First index >= from, at most FH_SLOTS_CLUSTER, whose bit differs from `bit`. */
static uint32_t map_skip(const uint64_t *map, uint32_t from, bool bit)
{
    for (uint32_t i = from; i < FH_SLOTS_CLUSTER; i = (i | 63) + 1) {
        uint64_t word = (bit ? ~map[i >> 6] : map[i >> 6]) >> (i & 63);
        if (word)
            return i + (uint32_t)__builtin_ctzll(word);
    }
    return FH_SLOTS_CLUSTER;
}

/* The first free run of at least `want` in the cluster, cut to it; else the longest. */
static struct run cluster_run(const struct fh_slots *s, uint32_t cluster, uint32_t want)
{
    const uint64_t *map = s->taken_map + (size_t)cluster * MAP_WORDS;
    struct run best = {0, 0};

    for (uint32_t at = map_skip(map, 0, true); at < FH_SLOTS_CLUSTER;) {
        uint32_t end = map_skip(map, at, false);
        if (end - at > best.length)
            best = (struct run){at, end - at};
        if (best.length >= want)
            return (struct run){best.start, want};
        at = map_skip(map, end, true);
    }
    return best;
}

/* Chooses the cluster to take from, as the theory says, and the run in it. */
static struct run slots_choose(struct fh_slots *s, uint32_t want)
{
    struct run run = {0, 0};

    if (s->open < s->cluster_count)
        run = cluster_run(s, s->open, want);
    if (run.length == want || run.length >= RUN_SHORT)
        return run;
    uint32_t emptiest = cluster_emptiest(s);
    if (emptiest == s->cluster_count)
        return run;
    if (run.length > 0 && cluster_free(s, emptiest) < HALF)
        return run;
    s->open = emptiest;
    return cluster_run(s, emptiest, want);
}

static void slots_mark_taken(struct fh_slots *s, uint64_t first, uint32_t count)
{
    for (uint64_t slot = first; slot < first + count; slot++) {
        FH_ASSERT(!fh_bit_is_set(s->taken_map, slot));
        fh_bit_set(s->taken_map, slot);
        record_set(&s->records[slot], 1, 0);
    }
    cluster_count_taken(s, s->open, (int)count);
}

int fh_slots_take(struct fh_slots *s, uint32_t want, struct fh_slot *first, uint32_t *count)
{
    FH_ASSERT(want >= 1);
    if (s->stats.free == 0)
        return -ENOSPC;
    struct run run = slots_choose(s, want);
    FH_ASSERT(run.length >= 1);
    uint64_t start = (uint64_t)s->open * FH_SLOTS_CLUSTER + run.start;
    slots_mark_taken(s, start, run.length);
    s->stats.free -= run.length;
    s->stats.used += run.length;
    s->stats.runs_taken++;
    s->stats.slots_taken += run.length;
    *first = (struct fh_slot){(uint32_t)start};
    *count = run.length;
    return 0;
}

/* --- one slot --- */

static struct fh_slot_record *slot_record(const struct fh_slots *s, struct fh_slot slot)
{
    FH_ASSERT(slot.v >= 1);
    FH_ASSERT(slot.v <= s->total);
    return &s->records[slot.v];
}

static struct fh_slot_record *slot_live(const struct fh_slots *s, struct fh_slot slot)
{
    struct fh_slot_record *r = slot_record(s, slot);
    FH_ASSERT(record_refs(r) > 0);
    return r;
}

bool fh_slots_hold(struct fh_slots *s, struct fh_slot slot)
{
    struct fh_slot_record *r = slot_live(s, slot);
    if (record_refs(r) == FH_SLOT_REFS_MAX)
        return false;
    record_set(r, record_refs(r) + 1, record_nonce(r));
    return true;
}

static void slot_set_free(struct fh_slots *s, uint32_t slot)
{
    fh_bit_clear(s->taken_map, slot);
    cluster_count_taken(s, slot / FH_SLOTS_CLUSTER, -1);
    s->stats.free++;
}

void fh_slots_release(struct fh_slots *s, struct fh_slot slot)
{
    struct fh_slot_record *r = slot_live(s, slot);

    record_set(r, record_refs(r) - 1, record_nonce(r));
    if (record_refs(r) > 0 || fh_bit_is_set(s->quarantine_map, slot.v))
        return;
    slot_set_free(s, slot.v);
    s->stats.used--;
}

void fh_slots_quarantine(struct fh_slots *s, struct fh_slot slot)
{
    (void)slot_live(s, slot);
    if (fh_bit_is_set(s->quarantine_map, slot.v))
        return;
    fh_bit_set(s->quarantine_map, slot.v);
    s->stats.used--;
    s->stats.quarantined++;
}

void fh_slots_shelve(struct fh_slots *s, struct fh_slot slot)
{
    struct fh_slot_record *r = slot_live(s, slot);

    fh_slots_quarantine(s, slot);
    record_set(r, record_refs(r), NONCE_SHELVED);
}

static bool slot_is_pardonable(const struct fh_slots *s, uint32_t slot)
{
    const struct fh_slot_record *r = &s->records[slot];
    return record_refs(r) == 0 && record_nonce(r) == NONCE_SHELVED;
}

uint32_t fh_slots_pardon(struct fh_slots *s)
{
    uint32_t count = 0;

    for (uint32_t word = 0; s->stats.quarantined > 0 && word <= s->total / 64; word++)
        for (uint64_t bits = s->quarantine_map[word]; bits != 0; bits &= bits - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!slot_is_pardonable(s, slot))
                continue;
            fh_bit_clear(s->quarantine_map, slot);
            s->stats.quarantined--;
            slot_set_free(s, slot);
            count++;
        }
    return count;
}

uint32_t fh_slots_refs(const struct fh_slots *s, struct fh_slot slot)
{
    return record_refs(slot_record(s, slot));
}

const struct fh_slot_record *fh_slots_record(const struct fh_slots *s, struct fh_slot slot)
{
    return slot_live(s, slot);
}

uint64_t fh_slots_nonce(const struct fh_slots *s, struct fh_slot slot)
{
    return record_nonce(slot_live(s, slot));
}

void fh_slots_seal(struct fh_slots *s, struct fh_slot slot, uint64_t nonce,
                   const uint8_t tag[FH_CIPHER_TAG_BYTES])
{
    FH_ASSERT(nonce <= NONCE_MASK);
    struct fh_slot_record *r = slot_live(s, slot);
    record_set(r, record_refs(r), nonce);
    memcpy(r->tag, tag, FH_CIPHER_TAG_BYTES);
}

/* --- life --- */

int fh_slots_init(struct fh_slots *s, struct fh_mem *mem, uint32_t total)
{
    *s = (struct fh_slots){.mem = mem, .total = total};
    s->stats.total = s->stats.free = total;
    if (total == 0)
        return 0;
    s->cluster_count = total / FH_SLOTS_CLUSTER + 1; /* of slots 0 .. total */
    s->open = s->cluster_count;
    s->records = fh_mem_map(mem, records_bytes(s));
    s->taken_map = fh_mem_map(mem, map_bytes(s));
    s->quarantine_map = fh_mem_map(mem, map_bytes(s));
    s->clusters = fh_mem_map(mem, clusters_bytes(s));
    s->lists = fh_mem_take(mem, lists_bytes());
    if (s->records && s->taken_map && s->quarantine_map && s->clusters && s->lists)
        return 0;
    fh_slots_fini(s);
    return -ENOMEM;
}

void fh_slots_fini(struct fh_slots *s)
{
    fh_mem_give(s->mem, s->lists, lists_bytes());
    fh_mem_unmap(s->mem, s->clusters, clusters_bytes(s));
    fh_mem_unmap(s->mem, s->quarantine_map, map_bytes(s));
    fh_mem_unmap(s->mem, s->taken_map, map_bytes(s));
    fh_mem_unmap(s->mem, s->records, records_bytes(s));
    *s = (struct fh_slots){.mem = s->mem};
}

/* --- looking inside --- */

void fh_slots_stats(const struct fh_slots *s, struct fh_slots_stats *out)
{
    *out = s->stats;
}

/* [I1] and [I2], counting for [I5]. */
static void check_slot(const struct fh_slots *s, uint32_t slot, struct fh_slots_stats *found,
                       struct fh_report *r)
{
    bool taken = fh_bit_is_set(s->taken_map, slot);
    bool quarantined = fh_bit_is_set(s->quarantine_map, slot);
    uint32_t refs = record_refs(&s->records[slot]);

    if (taken != (refs > 0 || quarantined))
        fh_report(r, "[I1] slot %u: %s with %u references", slot, taken ? "taken" : "free", refs);
    if (quarantined && !taken)
        fh_report(r, "[I2] slot %u: quarantined and free", slot);
    found->quarantined += quarantined;
    found->used += refs > 0 && !quarantined;
    found->free += refs == 0 && !quarantined;
}

static void check_slots(const struct fh_slots *s, struct fh_report *r)
{
    struct fh_slots_stats found = {0};
    uint64_t begun = fh_min_u64((uint64_t)s->clusters_fresh * FH_SLOTS_CLUSTER,
                                s->total == 0 ? 0 : (uint64_t)s->total + 1);

    for (uint64_t slot = 1; slot < begun; slot++)
        check_slot(s, (uint32_t)slot, &found, r);
    found.free += s->total - (begun > 0 ? begun - 1 : 0);
    if (found.used != s->stats.used || found.quarantined != s->stats.quarantined ||
        found.free != s->stats.free)
        fh_report(r, "[I5] used %lu counted %lu, quarantined %lu counted %lu, free %lu counted %lu",
                  (unsigned long)s->stats.used, (unsigned long)found.used,
                  (unsigned long)s->stats.quarantined, (unsigned long)found.quarantined,
                  (unsigned long)s->stats.free, (unsigned long)found.free);
}

static void check_cluster_counts(const struct fh_slots *s, struct fh_report *r)
{
    for (uint32_t i = 0; i < s->cluster_count; i++) {
        const uint64_t *map = s->taken_map + (size_t)i * MAP_WORDS;
        uint32_t taken = 0;
        for (uint32_t w = 0; w < MAP_WORDS; w++)
            taken += (uint32_t)__builtin_popcountll(map[w]);
        if (taken != s->clusters[i].taken)
            fh_report(r, "[I3] cluster %u: taken %u, counted %u", i, s->clusters[i].taken, taken);
    }
}

static void check_lists(const struct fh_slots *s, struct fh_report *r)
{
    uint32_t listed = 0;

    for (uint32_t count = 0; s->lists && count < LISTS; count++) {
        uint32_t prev = 0;
        for (uint32_t at = s->lists[count]; at && listed <= s->clusters_fresh; listed++) {
            const struct fh_slots_cluster *c = &s->clusters[at - 1];
            if (cluster_free(s, at - 1) != count || c->prev != prev || at > s->clusters_fresh)
                fh_report(r, "[I4] cluster %u: out of place in the list of %u", at - 1, count);
            prev = at;
            at = c->next;
        }
    }
    if (listed != s->clusters_fresh)
        fh_report(r, "[I4] %u clusters in lists, %u begun", listed, s->clusters_fresh);
}

bool fh_slots_check(const struct fh_slots *s, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    check_slots(s, &r);          /* [I1] [I2] [I5] */
    check_cluster_counts(s, &r); /* [I3] */
    check_lists(s, &r);          /* [I4] */
    return r.broken == 0;
}

void fh_slots_dump(const struct fh_slots *s, FILE *out)
{
    fprintf(out, "slots total %u used %lu quarantined %lu free %lu clusters %u of %u open %u\n",
            s->total, (unsigned long)s->stats.used, (unsigned long)s->stats.quarantined,
            (unsigned long)s->stats.free, s->clusters_fresh, s->cluster_count, s->open);
    for (uint32_t i = 0; i < s->clusters_fresh; i++) {
        if (s->clusters[i].taken > 0)
            fprintf(out, "  cluster %u taken %u\n", i, s->clusters[i].taken);
    }
}
