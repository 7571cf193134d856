/*
 * Theory.  A document is either a sum over figures, which every answer carries, or a list with an
 * entry per zone, cache or class. Handles, names and keys appear in none of them.
 */
#include "views.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/caches.h"
#include "alloc/ids.h"
#include "alloc/slab_run.h"
#include "page_map.h"
#include "units.h"

/* jansson's integers are signed; what does not fit is not a number we have. */
static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void put(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, number(value));
}

static void put_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_string(text));
}

static void put_bool(json_t *object, const char *key, bool value)
{
    json_object_set_new(object, key, json_boolean(value));
}

/* --- parts, on the zone's thread --- */

/* The caches of a zone, in the order in which the slab tells them, and how many of their pages are
 * in swap. */
struct slab_rows {
    struct fh_slab_cache_stats *stats;
    uint64_t *out;
    size_t count;
};

/* That order: by tenant and size, then the typed ones by number. */
static int slab_row_order(const void *a, const void *b)
{
    const struct fh_slab_cache_stats *x = a, *y = b;

    if (x->typed != y->typed)
        return x->typed < y->typed ? -1 : 1;
    if (x->tenant != y->tenant)
        return x->tenant < y->tenant ? -1 : 1;
    return (x->object_size > y->object_size) - (x->object_size < y->object_size);
}

static bool slab_rows_init(struct slab_rows *rows, const struct fh_slab *slab)
{
    struct fh_slab_cache_stats one;
    size_t count = 0;
    uint64_t cursor = 0;

    while (fh_slab_cache_next(slab, &cursor, &one))
        count++;
    *rows = (struct slab_rows){.stats = calloc(count + 1, sizeof *rows->stats),
                               .out = calloc(count + 1, sizeof *rows->out)};
    if (!rows->stats || !rows->out)
        return false;
    for (cursor = 0; rows->count < count; rows->count++)
        (void)fh_slab_cache_next(slab, &cursor, &rows->stats[rows->count]);
    return true;
}

static void slab_rows_fini(struct slab_rows *rows)
{
    free(rows->stats);
    free(rows->out);
}

static void slab_rows_count_out(struct slab_rows *rows, const struct fh_zone *zone)
{
    const struct fh_slab *slab = &zone->heap.slab;
    struct fh_page end = {(uint64_t)zone->heap.space.brk << FH_ARENA_PAGE_SHIFT};

    for (struct fh_page page = {0};; page.v++) {
        page = fh_pagetable_next(&zone->pager.table, page, end);
        if (page.v >= end.v)
            return;
        uint32_t mark = fh_space_mark_at(&zone->heap.space, page);
        if (!(mark & FH_SPACE_SLAB) ||
            fh_entry_state(fh_pagetable_get(&zone->pager.table, page)) != FH_PAGE_SLOT)
            continue;
        const struct fh_slab_run *run =
            (const struct fh_slab_run *)(uintptr_t)slab->runs[mark & ~FH_SPACE_SLAB];
        const struct fh_slab_cache_stats key = {.typed = run->cache->typed,
                                                .tenant = run->cache->tenant,
                                                .object_size = run->cache->size->object_bytes};
        const struct fh_slab_cache_stats *row =
            bsearch(&key, rows->stats, rows->count, sizeof key, slab_row_order);
        if (row)
            rows->out[row - rows->stats]++;
    }
}

/* A name that JSON can hold: what is no printable ASCII is told as \xNN. */
static json_t *name_text(const uint8_t *name, uint32_t size)
{
    char text[4 * FH_CACHE_NAME_MAX + 1];
    size_t at = 0;

    for (uint32_t i = 0; i < size; i++)
        at += (size_t)snprintf(
            text + at, sizeof text - at,
            name[i] > 0x20 && name[i] < 0x7f && name[i] != '\\' ? "%c" : "\\x%02x", name[i]);
    return json_stringn(text, at);
}

static void put_cache(json_t *one, const struct fh_cache *cache)
{
    json_object_set_new(one, "cache", name_text(cache->name, cache->name_size));
    put(one, "object_size", cache->object_size);
    put(one, "alignment", cache->alignment);
    put(one, "initial_bytes", cache->initial ? cache->initial->size : 0);
}

static json_t *slab_row(const struct fh_zone *zone, const struct fh_slab_cache_stats *s,
                        uint64_t swapped)
{
    json_t *one = json_object();

    put(one, "zone", zone->opts.index);
    put(one, "tenant", s->tenant);
    if (s->typed > 0)
        put_cache(one, fh_caches_at(&zone->caches, s->typed));
    put(one, "size", s->object_size);
    put(one, "slab_pages", s->slab_pages);
    put(one, "slab_objects", s->slab_objects);
    put(one, "slabs", s->slabs);
    put(one, "full", s->full);
    put(one, "partial", s->partial);
    put(one, "empty", s->empty);
    put(one, "used", s->used);
    put(one, "free", s->free);
    put(one, "pages", s->pages);
    put(one, "resident_pages", s->pages - swapped);
    put(one, "moves", s->moves);
    return one;
}

static json_t *slabs_part(const struct fh_zone *zone)
{
    json_t *list = json_array();
    struct slab_rows rows;

    if (slab_rows_init(&rows, &zone->heap.slab)) {
        slab_rows_count_out(&rows, zone);
        for (size_t i = 0; i < rows.count; i++)
            json_array_append_new(list, slab_row(zone, &rows.stats[i], rows.out[i]));
    }
    slab_rows_fini(&rows);
    return list;
}

static json_t *buddy_part(const struct fh_zone *zone, const struct fh_figures *f)
{
    const struct fh_space_stats *space = &f->engine.heap.space;
    json_t *one = json_object();
    json_t *classes = json_array();

    put(one, "zone", zone->opts.index);
    put_text(one, "system", space->system);
    put(one, "arenas", space->arenas_open);
    put(one, "break_bytes", space->break_pages * FH_PAGE_SIZE);
    put(one, "segments", space->segments);
    put(one, "segment_bytes", space->segment_pages * FH_PAGE_SIZE);
    put(one, "used_bytes", space->used_pages * FH_PAGE_SIZE);
    put(one, "largest_free_bytes", space->largest_free_pages * FH_PAGE_SIZE);
    for (uint32_t class = 0; class < f->buddy_classes; class ++) {
        const struct fh_buddy_class_stats *c = &f->buddy[class];
        json_t *row = json_object();
        put(row, "class", class);
        put(row, "block_bytes", c->block_pages * FH_PAGE_SIZE);
        put(row, "free", c->free_blocks);
        put(row, "used", c->used_blocks);
        put(row, "splits", c->splits);
        put(row, "merges", c->merges);
        json_array_append_new(classes, row);
    }
    json_object_set_new(one, "classes", classes);
    return one;
}

static json_t *pages_part(const struct fh_zone *zone)
{
    struct fh_page_map map;
    json_t *one = json_object();

    fh_page_map_draw(&map, zone);
    put(one, "zone", zone->opts.index);
    put(one, "pages_per_glyph", map.pages_per_glyph);
    put_text(one, "map", map.glyphs);
    for (unsigned state = 0; state < FH_PAGE_MAP_STATES; state++)
        put(one, fh_page_map_states[state], map.pages[state]);
    return one;
}

struct fh_view_answer *fh_view_answer_create(const char *view, const struct fh_zone *zone,
                                             const struct fh_counters *counters)
{
    struct fh_view_answer *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->figures.zone = zone->opts.index;
    a->figures.answered = true;
    a->figures.counters = *counters;
    fh_figures_of_zone(&a->figures, zone);
    if (strcmp(view, "slabs") == 0)
        a->json = slabs_part(zone);
    else if (strcmp(view, "buddy") == 0)
        a->json = buddy_part(zone, &a->figures);
    else if (strcmp(view, "pages") == 0)
        a->json = pages_part(zone);
    return a;
}

void fh_view_answer_destroy(struct fh_view_answer *a)
{
    if (!a)
        return;
    json_decref(a->json);
    free(a);
}

/* --- documents, on the asker's thread --- */

struct view_sums {
    struct fh_pager_stats pager;
    struct fh_reclaim_stats reclaim;
    struct fh_space_stats space;
    struct fh_slab_stats slab;
    uint64_t objects, names, object_bytes, metadata_bytes;
    uint64_t durable_objects, durable_bytes;
    uint64_t requests, connections, slab_caches, slabs_reaped;
    struct fh_compact_stats compact;
    uint64_t moved;
    uint64_t swap_total, swap_used, swap_quarantined;
    bool direct;
    const char *buddy;
};

static void sum_pager(struct view_sums *sum, const struct fh_pager_stats *p)
{
    sum->pager.frames_total += p->frames_total;
    sum->pager.frames_free += p->frames_free;
    sum->pager.frames_clean += p->frames_clean;
    sum->pager.frames_dirty += p->frames_dirty;
    sum->pager.frames_held += p->frames_held;
    sum->pager.frames_pinned += p->frames_pinned;
    sum->pager.pages_pinned += p->pages_pinned;
    sum->pager.pins_max += p->pins_max;
    sum->pager.budget.least += p->budget.least;
    sum->pager.budget.frames_moved += p->budget.frames_moved;
    if (p->budget.state > sum->pager.budget.state)
        sum->pager.budget.state = p->budget.state;
    sum->pager.pages_frame += p->pages_frame;
    sum->pager.pages_slot += p->pages_slot + p->pages_reading;
    sum->pager.pages_file += p->pages_file;
    sum->pager.pages_failed += p->pages_failed;
    sum->pager.faults_first_write += p->faults_first_write;
    sum->pager.faults_swap += p->faults_swap;
    sum->pager.faults_file += p->faults_file;
    sum->pager.faults_copy_on_write += p->faults_copy_on_write;
    sum->pager.frames_file_clean += p->frames_file_clean;
    sum->pager.frames_file_dirty += p->frames_file_dirty;
    sum->pager.backing.files += p->backing.files;
    sum->pager.backing.read_pages += p->backing.read_pages;
    sum->pager.backing.written_pages += p->backing.written_pages;
    sum->pager.backing.syncs += p->backing.syncs;
    sum->pager.backing.io_errors += p->backing.io_errors;
    sum->pager.pages_lost += p->pages_lost;
    sum->pager.ahead_read += p->ahead_read;
    sum->pager.ahead_used += p->ahead_used;
    sum->pager.ahead_unused += p->ahead_unused;
    sum->pager.refaults += p->refaults;
    sum->pager.parked_now += p->parked_now;
    sum->pager.parked_total += p->parked_total;
    sum->swap_total += p->swap.slots_total;
    sum->swap_used += p->swap.slots_used;
    sum->swap_quarantined += p->swap.slots_quarantined;
    sum->direct = p->swap.direct;
}

static void sum_heap(struct view_sums *sum, const struct fh_heap_stats *h)
{
    sum->space.arenas_open += h->space.arenas_open;
    sum->space.break_pages += h->space.break_pages;
    sum->space.segments += h->space.segments;
    sum->space.used_pages += h->space.used_pages + h->space.segment_pages;
    if (h->space.largest_free_pages > sum->space.largest_free_pages)
        sum->space.largest_free_pages = h->space.largest_free_pages;
    sum->slab_caches += h->slab.caches;
    sum->slab.slabs += h->slab.slabs;
    sum->slab.empty += h->slab.empty;
    sum->slab.used += h->slab.used;
    sum->slab.free += h->slab.free;
    sum->slab.pages += h->slab.pages;
}

static void sum_zone(struct view_sums *sum, const struct fh_figures *f)
{
    const struct fh_zone_stats *e = &f->engine;

    sum_pager(sum, &e->pager);
    sum_heap(sum, &e->heap);
    sum->slabs_reaped += e->reap.slabs;
    sum->compact.moves += e->compact.moves;
    sum->compact.refused += e->compact.refused;
    sum->compact.slabs += e->compact.slabs;
    sum->compact.pages += e->compact.pages;
    sum->moved += e->moved;
    sum->reclaim.clean += e->reclaim.clean;
    sum->reclaim.dirty += e->reclaim.dirty;
    sum->reclaim.zero += e->reclaim.zero;
    sum->reclaim.file_clean += e->reclaim.file_clean;
    sum->reclaim.file_dirty += e->reclaim.file_dirty;
    sum->reclaim.cleaned += e->reclaim.cleaned;
    if (e->reclaim.pressure > sum->reclaim.pressure)
        sum->reclaim.pressure = e->reclaim.pressure;
    sum->objects += e->objects;
    sum->names += e->names;
    sum->object_bytes += e->object_bytes;
    sum->durable_objects += e->durable_objects;
    sum->durable_bytes += e->durable_bytes;
    sum->metadata_bytes += e->metadata_bytes;
    sum->connections += f->counters.connections_now;
    sum->buddy = e->buddy;
    for (unsigned op = 0; op < FH_OP_CODES; op++)
        for (unsigned status = 0; status < FH_STATUS_COUNT; status++)
            sum->requests += f->counters.requests[op][status];
}

static json_t *member(json_t *document, const char *key)
{
    json_t *object = json_object();

    json_object_set_new(document, key, object);
    return object;
}

/* What the zones do about their budgets: the worst of it. */
static const char *budget_state(const struct view_sums *sum)
{
    static const char *const states[] = {"steady", "growing", "shrinking", "stopped"};

    return states[sum->pager.budget.state];
}

static void info_budget(json_t *memory, const struct fh_memory_figures *m,
                        const struct view_sums *sum)
{
    put(memory, "configured_bytes", m->configured);
    put(memory, "budget_bytes", m->budget);
    put(memory, "max_bytes", m->most);
    if (m->limit != UINT64_MAX)
        put(memory, "limit_bytes", m->limit);
    put_text(memory, "budget_state", budget_state(sum));
    put(memory, "least_bytes", sum->pager.budget.least * FH_PAGE_SIZE);
    put(memory, "frames_moved", sum->pager.budget.frames_moved);
    put(memory, "lent_bytes", m->lent);
    if (m->pressure_permille != UINT32_MAX)
        put(memory, "pressure_permille", m->pressure_permille);
}

static void info_memory(json_t *document, const struct fh_memory_figures *m,
                        const struct view_sums *sum)
{
    const struct fh_pager_stats *p = &sum->pager;
    uint64_t somewhere = p->pages_frame + p->pages_slot + p->pages_file + p->pages_failed;
    json_t *o = member(document, "memory");

    put(o, "bytes", p->frames_total * FH_PAGE_SIZE);
    put(o, "frames_total", p->frames_total);
    put(o, "frames_free", p->frames_free);
    put(o, "frames_used", p->frames_total - p->frames_free);
    put(o, "frames_clean", p->frames_clean);
    put(o, "frames_dirty", p->frames_dirty);
    put(o, "frames_held", p->frames_held);
    put(o, "frames_pinned", p->frames_pinned);
    put(o, "pages_pinned", p->pages_pinned);
    put(o, "pages_pinned_max", p->pins_max);
    info_budget(o, m, sum);
    o = member(document, "pages");
    put(o, "frame", p->pages_frame);
    put(o, "slot", p->pages_slot);
    put(o, "file", p->pages_file);
    put(o, "failed", p->pages_failed);
    put(o, "nothing", sum->space.used_pages > somewhere ? sum->space.used_pages - somewhere : 0);
    o = member(document, "faults");
    put(o, "first_write", p->faults_first_write);
    put(o, "swap", p->faults_swap);
    put(o, "file", p->faults_file);
    put(o, "copy_on_write", p->faults_copy_on_write);
    put(o, "refaults", p->refaults);
    o = member(document, "readahead");
    put(o, "read", p->ahead_read);
    put(o, "used", p->ahead_used);
    put(o, "unused", p->ahead_unused);
    o = member(document, "reclaimed");
    put(o, "clean", sum->reclaim.clean);
    put(o, "dirty", sum->reclaim.dirty);
    put(o, "zero", sum->reclaim.zero);
    put(o, "cleaned_ahead", sum->reclaim.cleaned);
    put(o, "file_clean", sum->reclaim.file_clean);
    put(o, "file_dirty", sum->reclaim.file_dirty);
}

static void info_files(json_t *document, const struct fh_pager_stats *p)
{
    json_t *o = member(document, "files");

    put(o, "open", p->backing.files);
    put(o, "frames_clean", p->frames_file_clean);
    put(o, "frames_dirty", p->frames_file_dirty);
    put(o, "read_bytes", p->backing.read_pages * FH_PAGE_SIZE);
    put(o, "written_bytes", p->backing.written_pages * FH_PAGE_SIZE);
    put(o, "syncs", p->backing.syncs);
    put(o, "io_errors", p->backing.io_errors);
}

static void info_swap(json_t *document, const struct view_sums *sum, const char *backend)
{
    json_t *o = member(document, "swap");

    put(o, "total_bytes", sum->swap_total * FH_PAGE_SIZE);
    put(o, "used_bytes", sum->swap_used * FH_PAGE_SIZE);
    put(o, "quarantined_bytes", sum->swap_quarantined * FH_PAGE_SIZE);
    put_bool(o, "direct", sum->direct);
    put_text(o, "backend", backend);
}

static void info_objects(json_t *document, const struct view_sums *sum)
{
    json_t *o = member(document, "objects");

    put(o, "count", sum->objects);
    put(o, "names", sum->names);
    put(o, "bytes", sum->object_bytes);
    put(o, "durable", sum->durable_objects);
    put(o, "durable_bytes", sum->durable_bytes);
    o = member(document, "space");
    put(o, "arenas", sum->space.arenas_open);
    put(o, "break_bytes", sum->space.break_pages * FH_PAGE_SIZE);
    put(o, "segments", sum->space.segments);
    put(o, "used_bytes", sum->space.used_pages * FH_PAGE_SIZE);
    put(o, "largest_free_bytes", sum->space.largest_free_pages * FH_PAGE_SIZE);
    o = member(document, "slabs");
    put(o, "count", sum->slab.slabs);
    put(o, "caches", sum->slab_caches);
    put(o, "used_objects", sum->slab.used);
    put(o, "free_objects", sum->slab.free);
    put(o, "pages", sum->slab.pages);
    put(o, "empty", sum->slab.empty);
    put(o, "reaped", sum->slabs_reaped);
    put(o, "moves", sum->compact.moves);
    put(o, "moves_refused", sum->compact.refused);
    put(o, "compacted", sum->compact.slabs);
    put(o, "compacted_pages", sum->compact.pages);
    put(o, "moved_objects", sum->moved);
}

static json_t *info_document(const struct fh_node_figures *node, const struct view_sums *sum,
                             uint32_t zones)
{
    static const char *const pressures[] = {"ok", "reclaiming", "parking", "full"};
    json_t *d = json_object();
    json_t *o;

    put_text(d, "schema", "farheap-info/1");
    put_text(d, "version", FARHEAP_VERSION);
    put_text(d, "node", node->node);
    put(d, "uptime_ms", node->uptime_ms);
    put(d, "zones", zones);
    put_text(d, "io", node->io);
    put_bool(d, "tls", node->tls);
    put_text(d, "buddy", sum->buddy ? sum->buddy : "");
    put_text(d, "pressure", pressures[sum->reclaim.pressure]);
    put(d, "rss_bytes", node->rss_bytes);
    put(d, "cpu_ns", node->cpu_ns);
    put(d, "region_bytes", sum->pager.frames_total * FH_PAGE_SIZE);
    put(d, "metadata_bytes", sum->metadata_bytes);
    info_memory(d, &node->memory, sum);
    info_files(d, &sum->pager);
    info_swap(d, sum, node->io);
    info_objects(d, sum);
    o = member(d, "requests");
    put(o, "total", sum->requests);
    put(o, "parked_now", sum->pager.parked_now);
    put(o, "parked_total", sum->pager.parked_total);
    o = member(d, "connections");
    put(o, "now", sum->connections);
    put(o, "total", node->accepted[0] + node->accepted[1]);
    return d;
}

static json_t *zones_row(const struct fh_figures *f)
{
    const struct fh_zone_stats *e = &f->engine;
    json_t *o = json_object();

    put(o, "zone", f->zone);
    put(o, "frames_total", e->pager.frames_total);
    put(o, "frames_free", e->pager.frames_free);
    put(o, "budget_frames", e->pager.budget.asked);
    put(o, "frames_clean", e->pager.frames_clean);
    put(o, "frames_dirty", e->pager.frames_dirty);
    put(o, "frames_file_clean", e->pager.frames_file_clean);
    put(o, "frames_file_dirty", e->pager.frames_file_dirty);
    put(o, "frames_held", e->pager.frames_held);
    put(o, "frames_pinned", e->pager.frames_pinned);
    put(o, "pages_pinned", e->pager.pages_pinned);
    put(o, "pages_pinned_max", e->pager.pins_max);
    put(o, "swap_total_bytes", e->pager.swap.slots_total * FH_PAGE_SIZE);
    put(o, "swap_used_bytes", e->pager.swap.slots_used * FH_PAGE_SIZE);
    put(o, "objects", e->objects);
    put(o, "object_bytes", e->object_bytes);
    put(o, "connections", f->counters.connections_now);
    put(o, "parked", e->pager.parked_now);
    put(o, "lag_us", f->counters.turn_ns_worst / 1000);
    return o;
}

/* The value in force; memory may have been changed since the start. */
static void config_value(const struct fh_config *config, const struct fh_node_figures *node,
                         unsigned k, json_t *o)
{
    bool changed = k == FH_KEY_memory && node->memory.configured != 0 &&
                   node->memory.configured != config->memory;
    char value[1024];

    if (changed)
        fh_units_print_size(value, node->memory.configured);
    else
        fh_config_value(config, k, value, sizeof value);
    put_text(o, "key", fh_config_key_name(k));
    put_text(o, "value", value);
    put_text(o, "origin", changed ? "set" : fh_config_origin_name(config->origin[k]));
}

static json_t *config_document(const struct fh_config *config, const struct fh_node_figures *node)
{
    json_t *d = json_object();
    json_t *list = json_array();

    put_text(d, "schema", "farheap-config/1");
    for (unsigned k = 0; k < FH_CONFIG_KEYS; k++) {
        json_t *o = json_object();
        config_value(config, node, k, o);
        json_array_append_new(list, o);
    }
    json_object_set_new(d, "config", list);
    return d;
}

/* A list under `key`, of what the zones' parts hold. */
static json_t *list_document(const char *schema, const char *key,
                             struct fh_view_answer *const *answers, uint32_t count, bool rows)
{
    json_t *d = json_object();
    json_t *list = json_array();

    put_text(d, "schema", schema);
    for (uint32_t i = 0; i < count; i++) {
        if (!answers[i])
            continue;
        if (rows)
            json_array_append_new(list, zones_row(&answers[i]->figures));
        else if (json_is_array((json_t *)answers[i]->json))
            json_array_extend(list, answers[i]->json);
        else
            json_array_append(list, answers[i]->json);
    }
    json_object_set_new(d, key, list);
    return d;
}

static json_t *view_document(const char *view, const struct fh_node_figures *node,
                             const struct fh_config *config, struct fh_view_answer *const *answers,
                             uint32_t count)
{
    struct view_sums sum = {.buddy = NULL};

    if (strcmp(view, "config") == 0)
        return config_document(config, node);
    if (strcmp(view, "zones") == 0)
        return list_document("farheap-zones/1", "zones", answers, count, true);
    if (strcmp(view, "slabs") == 0)
        return list_document("farheap-slabs/1", "caches", answers, count, false);
    if (strcmp(view, "buddy") == 0)
        return list_document("farheap-buddy/1", "zones", answers, count, false);
    if (strcmp(view, "pages") == 0)
        return list_document("farheap-pages/1", "zones", answers, count, false);
    for (uint32_t i = 0; i < count; i++)
        if (answers[i])
            sum_zone(&sum, &answers[i]->figures);
    return info_document(node, &sum, count);
}

char *fh_view_render(const char *view, const struct fh_node_figures *node,
                     const struct fh_config *config, struct fh_view_answer *const *answers,
                     uint32_t count)
{
    json_t *document = view_document(view, node, config, answers, count);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

    json_decref(document);
    return text;
}
