/*
 * Theory.  A metric family is a heading and one line per label set; labels are bounded: operations,
 * states, zones, size classes. Families that are sums over zones carry no zone label; those with
 * one can be summed by the reader.
 *
 * Durations of requests that never waited are those of the turn that read and answered them: the
 * clock is read twice a turn, not twice a request.
 *
 * Invariants
 *   [I1] the frames of all zones, over their states, sum to the region there is now
 *   [I2] a bucket counts what took at most its bound; as text they are cumulative
 */
#include "metrics.h"

#include <inttypes.h>
#include <string.h>

#include "alloc/ids.h"

static const uint64_t bucket_bounds_ns[FH_DURATION_BUCKETS] = {
    10000,   25000,    50000,    100000,   250000,    500000,    1000000,    2500000,
    5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 1000000000, 5000000000};

const char *fh_op_name(enum fh_op_code code)
{
    static const char *const names[] = {
#define OP_NAME(name, label) label,
        FH_OP_TABLE(OP_NAME)
#undef OP_NAME
    };

    return names[code];
}

const char *fh_close_name(enum fh_close_reason reason)
{
    static const char *const names[] = {
#define CLOSE_NAME(name, label, bad) label,
        FH_CLOSE_TABLE(CLOSE_NAME)
#undef CLOSE_NAME
    };

    return names[reason];
}

bool fh_close_is_protocol_error(enum fh_close_reason reason)
{
    static const bool bad[] = {
#define CLOSE_BAD(name, label, is_bad) is_bad,
        FH_CLOSE_TABLE(CLOSE_BAD)
#undef CLOSE_BAD
    };

    return bad[reason];
}

void fh_durations_add(struct fh_durations *d, uint64_t ns, uint64_t count)
{
    unsigned bucket = 0;

    while (bucket < FH_DURATION_BUCKETS && ns > bucket_bounds_ns[bucket])
        bucket++;
    d->buckets[bucket] += count;
    d->sum_ns += ns * count;
}

void fh_counters_end_turn(struct fh_counters *c, uint64_t ns)
{
    for (unsigned op = 0; op < FH_OP_CODES; op++) {
        if (c->this_turn[op] == 0)
            continue;
        fh_durations_add(&c->durations[op], ns, c->this_turn[op]);
        c->this_turn[op] = 0;
    }
}

static void figures_slabs(struct fh_figures *f, const struct fh_slab *slab)
{
    struct fh_slab_cache_stats one;
    uint64_t cursor = 0;

    memset(f->slabs, 0, sizeof f->slabs);
    while (fh_slab_cache_next(slab, &cursor, &one)) {
        unsigned i = 0;
        while (i < FH_SLAB_SIZES &&
               (one.typed > 0 || slab->sizes[i].object_bytes != one.object_size))
            i++;
        struct fh_slab_cache_stats *sum = &f->slabs[i];
        sum->object_size = one.object_size;
        sum->slabs += one.slabs;
        sum->full += one.full;
        sum->partial += one.partial;
        sum->empty += one.empty;
        sum->used += one.used;
        sum->free += one.free;
        sum->pages += one.pages;
    }
}

void fh_figures_of_zone(struct fh_figures *f, const struct fh_zone *zone)
{
    fh_zone_stats(zone, &f->engine);
    f->io_reads = zone->opts.io->reads;
    f->io_writes = zone->opts.io->writes;
    f->io_syncs = zone->opts.io->syncs;
    f->io_errors = zone->opts.io->errors;
    f->buddy_classes = 0;
    memset(f->buddy, 0, sizeof f->buddy);
    while (f->buddy_classes < FH_BUDDY_CLASSES &&
           fh_space_class_stats(&zone->heap.space, f->buddy_classes, &f->buddy[f->buddy_classes]))
        f->buddy_classes++;
    figures_slabs(f, &zone->heap.slab);
}

/* --- text --- */

struct metrics_text {
    FILE *out;
    const struct fh_figures *zones;
    uint32_t count;
};

static void family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP farheap_%s %s\n# TYPE farheap_%s %s\n", name, help, name, type);
}

/* One number per zone, read from its figures at `offset`. */
static void per_zone(const struct metrics_text *t, const char *name, const char *type,
                     const char *help, size_t offset)
{
    family(t->out, name, type, help);
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&t->zones[i] + offset, sizeof value);
        fprintf(t->out, "farheap_%s{zone=\"%u\"} %" PRIu64 "\n", name, t->zones[i].zone, value);
    }
}

/* One line of a family with zone and another label. */
static void zone_line(const struct metrics_text *t, const struct fh_figures *z, const char *name,
                      const char *label, const char *value, uint64_t number)
{
    fprintf(t->out, "farheap_%s{zone=\"%u\",%s=\"%s\"} %" PRIu64 "\n", name, z->zone, label, value,
            number);
}

static void print_requests(const struct metrics_text *t)
{
    family(t->out, "requests_total", "counter", "Requests answered.");
    for (unsigned op = 0; op < FH_OP_CODES; op++) {
        for (unsigned status = 0; status < FH_STATUS_COUNT; status++) {
            uint64_t sum = 0;
            for (uint32_t i = 0; i < t->count; i++)
                sum += t->zones[i].counters.requests[op][status];
            if (sum > 0 || status == FH_STATUS_OK)
                fprintf(t->out, "farheap_requests_total{op=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                        fh_op_name(op), fh_status_name(status), sum);
        }
    }
}

static void print_duration(const struct metrics_text *t, unsigned op)
{
    struct fh_durations sum = {{0}, 0};
    uint64_t below = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_durations *d = &t->zones[i].counters.durations[op];
        for (unsigned b = 0; b <= FH_DURATION_BUCKETS; b++)
            sum.buckets[b] += d->buckets[b];
        sum.sum_ns += d->sum_ns;
    }
    for (unsigned b = 0; b <= FH_DURATION_BUCKETS; b++) {
        char bound[32] = "+Inf";
        below += sum.buckets[b];
        if (b < FH_DURATION_BUCKETS)
            snprintf(bound, sizeof bound, "%g", (double)bucket_bounds_ns[b] / 1e9);
        fprintf(t->out,
                "farheap_request_duration_seconds_bucket{op=\"%s\",le=\"%s\"} %" PRIu64 "\n",
                fh_op_name(op), bound, below);
    }
    fprintf(t->out, "farheap_request_duration_seconds_sum{op=\"%s\"} %.9f\n", fh_op_name(op),
            (double)sum.sum_ns / 1e9);
    fprintf(t->out, "farheap_request_duration_seconds_count{op=\"%s\"} %" PRIu64 "\n",
            fh_op_name(op), below);
}

static void print_durations(const struct metrics_text *t)
{
    family(t->out, "request_duration_seconds", "histogram",
           "From the turn that received a request to its answer.");
    for (unsigned op = 0; op < FH_OP_CODES; op++)
        print_duration(t, op);
}

static void print_protocol_errors(const struct metrics_text *t)
{
    family(t->out, "protocol_errors_total", "counter",
           "Connections closed because the peer broke the protocol.");
    for (unsigned reason = 0; reason < FH_CLOSE_REASONS; reason++) {
        uint64_t sum = 0;
        if (!fh_close_is_protocol_error(reason))
            continue;
        for (uint32_t i = 0; i < t->count; i++)
            sum += t->zones[i].counters.closes[reason];
        fprintf(t->out, "farheap_protocol_errors_total{reason=\"%s\"} %" PRIu64 "\n",
                fh_close_name(reason), sum);
    }
}

#define FIELD(member) offsetof(struct fh_figures, member)

static void print_traffic(const struct metrics_text *t)
{
    per_zone(t, "connections", "gauge", "Connections open.", FIELD(counters.connections_now));
    per_zone(t, "received_bytes_total", "counter", "Bytes received, TLS not counted.",
             FIELD(counters.received_bytes));
    per_zone(t, "sent_bytes_total", "counter", "Bytes sent, TLS not counted.",
             FIELD(counters.sent_bytes));
    per_zone(t, "requests_in_progress", "gauge", "Requests begun and not answered.",
             FIELD(counters.in_progress));
    per_zone(t, "requests_parked", "gauge", "Requests that wait for pages.",
             FIELD(engine.pager.parked_now));
    per_zone(t, "requests_parked_total", "counter", "Times a request had to wait for pages.",
             FIELD(engine.pager.parked_total));
    per_zone(t, "output_queued_bytes", "gauge", "Bytes queued for slow peers.",
             FIELD(counters.output_queued_bytes));
    family(t->out, "eventloop_lag_seconds", "gauge", "Longest turn of the last second.");
    for (uint32_t i = 0; i < t->count; i++)
        fprintf(t->out, "farheap_eventloop_lag_seconds{zone=\"%u\"} %.6f\n", t->zones[i].zone,
                (double)t->zones[i].counters.turn_ns_worst / 1e9);
}

static void print_tls(const struct metrics_text *t)
{
    uint64_t ok = 0, failed = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        ok += t->zones[i].counters.tls_handshakes_ok;
        failed += t->zones[i].counters.tls_handshakes_failed;
    }
    family(t->out, "tls_handshakes_total", "counter", "TLS handshakes by outcome.");
    fprintf(t->out, "farheap_tls_handshakes_total{result=\"ok\"} %" PRIu64 "\n", ok);
    fprintf(t->out, "farheap_tls_handshakes_total{result=\"failed\"} %" PRIu64 "\n", failed);
}

static void print_frames(const struct metrics_text *t)
{
    family(t->out, "frames", "gauge", "Frames of the region by state; they sum to the region.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        const struct fh_pager_stats *p = &z->engine.pager;
        zone_line(t, z, "frames", "state", "free", p->frames_free);
        zone_line(t, z, "frames", "state", "anon_clean", p->frames_clean);
        zone_line(t, z, "frames", "state", "anon_dirty", p->frames_dirty);
        zone_line(t, z, "frames", "state", "file_clean", p->frames_file_clean);
        zone_line(t, z, "frames", "state", "file_dirty", p->frames_file_dirty);
        zone_line(t, z, "frames", "state", "held", p->frames_held);
    }
}

static void print_pages(const struct metrics_text *t)
{
    family(t->out, "pages", "gauge", "Pages that exist, by where their bytes are.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        const struct fh_pager_stats *p = &z->engine.pager;
        zone_line(t, z, "pages", "state", "frame", p->pages_frame);
        zone_line(t, z, "pages", "state", "slot", p->pages_slot);
        zone_line(t, z, "pages", "state", "file", p->pages_file);
        zone_line(t, z, "pages", "state", "reading", p->pages_reading);
        zone_line(t, z, "pages", "state", "failed", p->pages_failed);
    }
    family(t->out, "page_faults_total", "counter", "Page faults by kind.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        const struct fh_pager_stats *p = &z->engine.pager;
        zone_line(t, z, "page_faults_total", "kind", "first_write", p->faults_first_write);
        zone_line(t, z, "page_faults_total", "kind", "swap", p->faults_swap);
        zone_line(t, z, "page_faults_total", "kind", "file", p->faults_file);
        zone_line(t, z, "page_faults_total", "kind", "copy_on_write", p->faults_copy_on_write);
    }
    family(t->out, "readahead_pages_total", "counter",
           "Pages read before they were asked for: all, those touched, those evicted untouched.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        const struct fh_pager_stats *p = &z->engine.pager;
        zone_line(t, z, "readahead_pages_total", "kind", "read", p->ahead_read);
        zone_line(t, z, "readahead_pages_total", "kind", "used", p->ahead_used);
        zone_line(t, z, "readahead_pages_total", "kind", "unused", p->ahead_unused);
    }
    per_zone(t, "pages_pinned", "gauge", "Pages that clients pinned, in memory or never written.",
             FIELD(engine.pager.pages_pinned));
    per_zone(t, "pages_pinned_max", "gauge", "Pages that may be pinned.",
             FIELD(engine.pager.pins_max));
    per_zone(t, "frames_pinned", "gauge", "Frames of pinned pages, counted in farheap_frames too.",
             FIELD(engine.pager.frames_pinned));
    per_zone(t, "advice_waiting", "gauge", "Ranges whose advice is being followed.",
             FIELD(engine.errands.waiting));
    per_zone(t, "advice_total", "counter", "Ranges whose advice was followed, or given up.",
             FIELD(engine.errands.done));
    per_zone(t, "advice_given_up_total", "counter",
             "Ranges whose advice was given up: memory or disk had no room.",
             FIELD(engine.errands.given_up));
    per_zone(t, "pages_lost_total", "counter", "Pages whose stored bytes failed their check.",
             FIELD(engine.pager.pages_lost));
}

static void print_reclaim(const struct metrics_text *t)
{
    family(t->out, "reclaimed_pages_total", "counter", "Pages that left memory, by kind.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        zone_line(t, z, "reclaimed_pages_total", "kind", "anon_clean", z->engine.reclaim.clean);
        zone_line(t, z, "reclaimed_pages_total", "kind", "anon_dirty", z->engine.reclaim.dirty);
        zone_line(t, z, "reclaimed_pages_total", "kind", "zero", z->engine.reclaim.zero);
        zone_line(t, z, "reclaimed_pages_total", "kind", "file_clean",
                  z->engine.reclaim.file_clean);
        zone_line(t, z, "reclaimed_pages_total", "kind", "file_dirty",
                  z->engine.reclaim.file_dirty);
    }
    per_zone(t, "cleaned_pages_total", "counter", "Pages written ahead of their eviction.",
             FIELD(engine.reclaim.cleaned));
    per_zone(t, "refaults_total", "counter",
             "Pages read back so soon after their eviction that they should have stayed.",
             FIELD(engine.pager.refaults));
    family(t->out, "pressure_state", "gauge", "0 ok, 1 reclaiming, 2 parking, 3 full.");
    for (uint32_t i = 0; i < t->count; i++)
        fprintf(t->out, "farheap_pressure_state{zone=\"%u\"} %u\n", t->zones[i].zone,
                (unsigned)t->zones[i].engine.reclaim.pressure);
}

static void print_files(const struct metrics_text *t)
{
    uint64_t read = 0, written = 0, syncs = 0;

    per_zone(t, "files_open", "gauge", "Files of exports that are open.",
             FIELD(engine.pager.backing.files));
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_backing_stats *b = &t->zones[i].engine.pager.backing;
        read += b->read_pages;
        written += b->written_pages;
        syncs += b->syncs;
    }
    family(t->out, "file_bytes_total", "counter", "Bytes moved to and from files, in whole pages.");
    fprintf(t->out, "farheap_file_bytes_total{dir=\"out\"} %" PRIu64 "\n", written * FH_PAGE_SIZE);
    fprintf(t->out, "farheap_file_bytes_total{dir=\"in\"} %" PRIu64 "\n", read * FH_PAGE_SIZE);
    family(t->out, "file_syncs_total", "counter", "Syncs of files by fdatasync.");
    fprintf(t->out, "farheap_file_syncs_total %" PRIu64 "\n", syncs);
}

static void print_swap(const struct metrics_text *t)
{
    uint64_t stored = 0, loaded = 0, bad_tags = 0, device = 0;

    family(t->out, "swap_slots", "gauge", "Slots of the swap file by state.");
    for (uint32_t i = 0; i < t->count; i++) {
        const struct fh_figures *z = &t->zones[i];
        const struct fh_swap_stats *s = &z->engine.pager.swap;
        zone_line(t, z, "swap_slots", "state", "used", s->slots_used);
        zone_line(t, z, "swap_slots", "state", "quarantined", s->slots_quarantined);
        zone_line(t, z, "swap_slots", "state", "free",
                  s->slots_total - s->slots_used - s->slots_quarantined);
        stored += s->stored_pages;
        loaded += s->loaded_pages;
        bad_tags += s->bad_tags;
        device += s->io_errors + z->engine.pager.backing.io_errors;
    }
    family(t->out, "swap_bytes_total", "counter", "Bytes moved to and from swap.");
    fprintf(t->out, "farheap_swap_bytes_total{dir=\"out\"} %" PRIu64 "\n", stored * FH_PAGE_SIZE);
    fprintf(t->out, "farheap_swap_bytes_total{dir=\"in\"} %" PRIu64 "\n", loaded * FH_PAGE_SIZE);
    family(t->out, "io_errors_total", "counter", "Failed page transfers by kind.");
    fprintf(t->out, "farheap_io_errors_total{kind=\"device\"} %" PRIu64 "\n", device);
    fprintf(t->out, "farheap_io_errors_total{kind=\"tag\"} %" PRIu64 "\n", bad_tags);
}

static void print_buddy(const struct metrics_text *t)
{
    family(t->out, "buddy_free_blocks", "gauge", "Free blocks of the space by size class.");
    for (uint32_t i = 0; i < t->count; i++) {
        for (uint32_t class = 0; class < t->zones[i].buddy_classes; class ++) {
            char name[16];
            snprintf(name, sizeof name, "%u", class);
            zone_line(t, &t->zones[i], "buddy_free_blocks", "class", name,
                      t->zones[i].buddy[class].free_blocks);
        }
    }
    family(t->out, "buddy_largest_free_bytes", "gauge", "Largest free block in an open arena.");
    for (uint32_t i = 0; i < t->count; i++)
        fprintf(t->out, "farheap_buddy_largest_free_bytes{zone=\"%u\"} %" PRIu64 "\n",
                t->zones[i].zone, t->zones[i].engine.heap.space.largest_free_pages * FH_PAGE_SIZE);
}

/* Blocks cut and joined, over all zones and classes. */
static void print_buddy_work(const struct metrics_text *t)
{
    uint64_t splits = 0, merges = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        for (uint32_t class = 0; class < t->zones[i].buddy_classes; class ++) {
            splits += t->zones[i].buddy[class].splits;
            merges += t->zones[i].buddy[class].merges;
        }
    }
    family(t->out, "buddy_splits_total", "counter", "Blocks cut.");
    fprintf(t->out, "farheap_buddy_splits_total %" PRIu64 "\n", splits);
    family(t->out, "buddy_merges_total", "counter", "Blocks joined.");
    fprintf(t->out, "farheap_buddy_merges_total %" PRIu64 "\n", merges);
}

struct slab_column {
    const char *family, *state;
    size_t offset;
};

static void print_slab_family(const struct metrics_text *t, const struct slab_column *columns,
                              unsigned count)
{
    for (unsigned c = 0; c < count; c++) {
        for (unsigned i = 0; i <= FH_SLAB_SIZES; i++) {
            uint64_t sum = 0;
            char cache[16] = "";
            for (uint32_t z = 0; z < t->count; z++) {
                const struct fh_slab_cache_stats *s = &t->zones[z].slabs[i];
                uint64_t value;
                memcpy(&value, (const char *)s + columns[c].offset, sizeof value);
                sum += value;
                if (s->slabs > 0 && i < FH_SLAB_SIZES)
                    snprintf(cache, sizeof cache, "%u", s->object_size);
                else if (s->slabs > 0)
                    snprintf(cache, sizeof cache, "custom");
            }
            if (cache[0] != 0)
                fprintf(t->out, "farheap_%s{cache=\"%s\",state=\"%s\"} %" PRIu64 "\n",
                        columns[c].family, cache, columns[c].state, sum);
        }
    }
}

static void print_slabs(const struct metrics_text *t)
{
    static const struct slab_column slabs[] = {
        {"slab_slabs", "full", offsetof(struct fh_slab_cache_stats, full)},
        {"slab_slabs", "partial", offsetof(struct fh_slab_cache_stats, partial)},
        {"slab_slabs", "empty", offsetof(struct fh_slab_cache_stats, empty)}};
    static const struct slab_column objects[] = {
        {"slab_objects", "used", offsetof(struct fh_slab_cache_stats, used)},
        {"slab_objects", "free", offsetof(struct fh_slab_cache_stats, free)}};

    family(t->out, "slab_slabs", "gauge", "Slabs by cache and state.");
    print_slab_family(t, slabs, 3);
    family(t->out, "slab_objects", "gauge", "Objects of slabs by cache and state.");
    print_slab_family(t, objects, 2);
    per_zone(t, "slabs_reaped_total", "counter",
             "Empty slabs given back when idle or short of memory.", FIELD(engine.reap.slabs));
    per_zone(t, "moves_total", "counter", "Small objects moved out of sparse slabs.",
             FIELD(engine.compact.moves));
    per_zone(t, "moves_refused_total", "counter", "Small objects that could not be moved.",
             FIELD(engine.compact.refused));
    per_zone(t, "slabs_compacted_total", "counter", "Sparse slabs emptied by moves.",
             FIELD(engine.compact.slabs));
    per_zone(t, "pages_compacted_total", "counter", "Pages given back by moves.",
             FIELD(engine.compact.pages));
    per_zone(t, "moved_objects", "gauge", "Live objects that do not lie where they were made.",
             FIELD(engine.moved));
}

static void print_objects(const struct metrics_text *t)
{
    per_zone(t, "objects", "gauge", "Live objects.", FIELD(engine.objects));
    per_zone(t, "object_bytes", "gauge", "Sum of the sizes of live objects.",
             FIELD(engine.object_bytes));
    per_zone(t, "durable_objects", "gauge", "Objects that survive a restart.",
             FIELD(engine.durable_objects));
    per_zone(t, "durable_bytes", "gauge", "Sum of their sizes.", FIELD(engine.durable_bytes));
    per_zone(t, "durable_bad_records", "gauge",
             "Records of the catalog that did not hold at start.",
             FIELD(engine.durable_bad_records));
    per_zone(t, "commits_total", "counter", "Transactions of the catalog of durable objects.",
             FIELD(engine.commits));
    per_zone(t, "commits_failed_total", "counter", "Changes of durable objects that failed.",
             FIELD(engine.commits_failed));
    per_zone(t, "catalog_broken", "gauge",
             "1: durable objects cannot be changed until the server is started again.",
             FIELD(engine.catalog_broken));
    per_zone(t, "names", "gauge", "Names that lead to an object.", FIELD(engine.names));
    per_zone(t, "objects_expired_total", "counter", "Objects freed by their time to live.",
             FIELD(engine.expired));
    per_zone(t, "allocations_total", "counter", "Blocks taken from the heap.",
             FIELD(engine.heap.allocs));
    family(t->out, "space_bytes", "gauge", "Addresses below the break.");
    for (uint32_t i = 0; i < t->count; i++)
        fprintf(t->out, "farheap_space_bytes{zone=\"%u\"} %" PRIu64 "\n", t->zones[i].zone,
                t->zones[i].engine.heap.space.break_pages * FH_PAGE_SIZE);
}

static void print_node(FILE *out, const struct fh_node_figures *n)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

    family(out, "build_info", "gauge", "Always 1.");
    fprintf(out, "farheap_build_info{version=\"%s\",compiler=\"%s\"} 1\n", FARHEAP_VERSION,
#ifdef __clang__
            "clang"
#else
            "gcc"
#endif
    );
    family(out, "io_backend_info", "gauge", "Always 1; the label tells how pages are moved.");
    fprintf(out, "farheap_io_backend_info{backend=\"%s\"} 1\n", n->io);
    family(out, "uptime_seconds", "gauge", "Since the start of the process.");
    fprintf(out, "farheap_uptime_seconds %.3f\n", (double)n->uptime_ms / 1000);
    family(out, "resident_memory_bytes", "gauge", "Memory of the whole process.");
    fprintf(out, "farheap_resident_memory_bytes %" PRIu64 "\n", n->rss_bytes);
    family(out, "cpu_seconds_total", "counter", "CPU time of the whole process, user and system.");
    fprintf(out, "farheap_cpu_seconds_total %.6f\n", (double)n->cpu_ns / 1e9);
    family(out, "connections_total", "counter", "Connections accepted by listener.");
    fprintf(out, "farheap_connections_total{listener=\"plain\"} %" PRIu64 "\n", n->accepted[0]);
    fprintf(out, "farheap_connections_total{listener=\"tls\"} %" PRIu64 "\n", n->accepted[1]);
    family(out, "connections_rejected_total", "counter", "Connections closed at once.");
    fprintf(out, "farheap_connections_rejected_total{reason=\"limit\"} %" PRIu64 "\n", n->rejected);
    family(out, "log_messages_total", "counter", "Events logged, suppressed lines included.");
    for (unsigned i = 0; i < 4; i++)
        fprintf(out, "farheap_log_messages_total{level=\"%s\"} %" PRIu64 "\n", levels[i],
                n->log_lines[i]);
}

static void print_memory(const struct metrics_text *t, const struct fh_memory_figures *m)
{
    uint64_t frames = 0;

    for (uint32_t i = 0; i < t->count; i++)
        frames += t->zones[i].engine.pager.frames_total;
    family(t->out, "region_bytes", "gauge", "Memory for pages that there is now.");
    fprintf(t->out, "farheap_region_bytes %" PRIu64 "\n", frames * FH_PAGE_SIZE);
    family(t->out, "memory_budget_bytes", "gauge", "Memory for pages that there is to be now.");
    fprintf(t->out, "farheap_memory_budget_bytes %" PRIu64 "\n", m->budget);
    family(t->out, "memory_configured_bytes", "gauge", "Memory for pages that was asked for.");
    fprintf(t->out, "farheap_memory_configured_bytes %" PRIu64 "\n", m->configured);
    if (m->limit != UINT64_MAX) {
        family(t->out, "memory_limit_bytes", "gauge", "What the control group allows in all.");
        fprintf(t->out, "farheap_memory_limit_bytes %" PRIu64 "\n", m->limit);
    }
    if (m->pressure_permille != UINT32_MAX) {
        family(
            t->out, "memory_pressure_ratio", "gauge",
            "Share of the last ten seconds in which processes of the machine waited for memory.");
        fprintf(t->out, "farheap_memory_pressure_ratio %.3f\n", m->pressure_permille / 1000.0);
    }
    family(t->out, "memory_lent_bytes_total", "counter", "Memory moved from one zone to another.");
    fprintf(t->out, "farheap_memory_lent_bytes_total %" PRIu64 "\n", m->lent);
    per_zone(t, "budget_frames", "gauge", "Frames a zone is to have.",
             FIELD(engine.pager.budget.asked));
    per_zone(t, "budget_least_frames", "gauge", "Frames below which what lives there has no room.",
             FIELD(engine.pager.budget.least));
    per_zone(t, "frames_moved_total", "counter", "Frames moved so that a chunk could be given.",
             FIELD(engine.pager.budget.frames_moved));
    per_zone(t, "chunks_given_total", "counter", "Chunks of 2 MiB given back.",
             FIELD(engine.pager.budget.chunks_given));
}

void fh_metrics_print(FILE *out, const struct fh_node_figures *node, const struct fh_figures *zones,
                      uint32_t count)
{
    struct metrics_text t = {.out = out, .zones = zones, .count = count};

    print_node(out, node);
    print_traffic(&t);
    print_tls(&t);
    print_requests(&t);
    print_durations(&t);
    print_protocol_errors(&t);
    print_memory(&t, &node->memory);
    print_frames(&t);
    print_pages(&t);
    print_reclaim(&t);
    print_swap(&t);
    print_files(&t);
    print_buddy(&t);
    print_buddy_work(&t);
    print_slabs(&t);
    print_objects(&t);
}
