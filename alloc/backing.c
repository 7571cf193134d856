/*
 * Theory.  A file behind pages is a range of the space: page first + i is page i of the file, so
 * from a page to its place there is arithmetic, and one search among the open files, which lie in
 * the order of their ranges.
 *
 *   read:   read -> [each page of a run that failed: read alone] -> done
 *   write:  (log ->) write -> unsynced -> in_sync -> done
 *
 * A finished write is only a promise of the page cache, and an error of the later write-back is
 * told to one fdatasync, whoever calls it. So a file has one sync at a time, it covers every write
 * that was finished before it began, and `done` waits for it. When it fails, nobody knows which of
 * the pages it covered are on the disk, and the next fdatasync would say that all is well: so the
 * file takes no writes any more, and whoever holds its dirty pages keeps them.
 *
 * A page is in one write at a time. Two would reach the disk in any order, and the older bytes
 * could win. And it is not written while it is read: whoever reads it wants the bytes of the moment
 * when he asked, and the page may have got others in memory since.
 *
 * What a program wrote before the file was opened here, or a write left behind that failed, is in
 * the page cache and perhaps not on the disk. So a file is not `settled` until a first fdatasync.
 *
 * Invariants
 *   [I1] files lie in the order of their first pages and do not overlap; those that have ended are
 *        in a list, since their pages may be other objects' by now
 *   [I2] `running` is the number of runs in flight and the sync, if one runs
 *   [I3] runs from write to done are in `writing`, those that are read in `reading`; a page of one
 *        that is written is in no other
 *   [I4] runs wait for a sync only while one runs
 */
#include "backing.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "report.h"

void fh_backing_init(struct fh_backing *b, struct fh_io *io, struct fh_mem *mem)
{
    memset(b, 0, sizeof(*b));
    b->io = io;
    b->mem = mem;
    fh_list_init(&b->ended);
}

/* --- which file --- */

/* How many files begin at or before the page. */
static uint32_t files_until(const struct fh_backing *b, struct fh_page page)
{
    uint32_t low = 0;
    uint32_t high = b->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (b->files[middle]->first.v <= page.v)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct fh_file *fh_backing_find(const struct fh_backing *b, struct fh_page page)
{
    if (b->count == 0)
        return NULL;
    uint32_t until = files_until(b, page);
    struct fh_file *f = until > 0 ? b->files[until - 1] : NULL;
    return f && page.v - f->first.v < f->pages ? f : NULL;
}

static bool file_is(const struct fh_file *f, struct fh_file_id id)
{
    return f->id.device == id.device && f->id.number == id.number;
}

static struct fh_file *ended_file(const struct fh_list *link)
{
    return (struct fh_file *)(void *)((char *)(uintptr_t)link - offsetof(struct fh_file, link));
}

struct fh_file *fh_backing_known(const struct fh_backing *b, struct fh_file_id id)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (file_is(b->files[i], id))
            return b->files[i];
    for (const struct fh_list *l = b->ended.next; l != &b->ended; l = l->next)
        if (file_is(ended_file(l), id))
            return ended_file(l);
    return NULL;
}

/* --- open and end --- */

int fh_backing_open(struct fh_backing *b, const struct fh_file *like, struct fh_file **out)
{
    uint32_t place = files_until(b, like->first);

    if (b->count == FH_FILES_MAX)
        return -EMFILE;
    struct fh_file *f = fh_mem_take(b->mem, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct fh_file){.first = like->first,
                          .pages = like->size_bytes > 0 ? fh_pages_for(like->size_bytes) : 1,
                          .size_bytes = like->size_bytes,
                          .id = like->id,
                          .fd = like->fd,
                          .tenant = like->tenant,
                          .may_write = like->may_write,
                          .writable = like->writable,
                          .tag = like->tag,
                          .sums = like->sums,
                          .opens = 1,
                          .backing = b};
    fh_list_init(&f->link);
    fh_list_init(&f->reading);
    fh_list_init(&f->writing);
    fh_list_init(&f->unsynced);
    fh_list_init(&f->in_sync);
    memmove(b->files + place + 1, b->files + place, (b->count - place) * sizeof(b->files[0]));
    b->files[place] = f;
    b->count++;
    *out = f;
    return 0;
}

static void file_close(struct fh_backing *b, struct fh_file *f)
{
    fh_list_remove(&f->link);
    close(f->fd);
    fh_mem_give(b->mem, f, sizeof(*f));
}

/* Something of the file is in flight no more. */
static void file_leave(struct fh_file *f)
{
    FH_ASSERT(f->running > 0);
    if (--f->running == 0 && f->ended)
        file_close(f->backing, f);
}

void fh_backing_end(struct fh_backing *b, struct fh_file *f)
{
    uint32_t place = files_until(b, f->first) - 1;

    FH_ASSERT(!f->ended);
    FH_ASSERT(b->files[place] == f);
    b->count--;
    memmove(b->files + place, b->files + place + 1, (b->count - place) * sizeof(b->files[0]));
    fh_list_push_back(&b->ended, &f->link);
    f->ended = true;
    if (f->running == 0)
        file_close(b, f);
}

void fh_backing_fini(struct fh_backing *b)
{
    while (b->count > 0) {
        FH_ASSERT(b->files[b->count - 1]->running == 0);
        fh_backing_end(b, b->files[b->count - 1]);
    }
    FH_ASSERT(fh_list_is_empty(&b->ended));
}

/* --- both ways --- */

static struct fh_file_run *run_of(struct fh_transfer *t)
{
    return FH_CONTAINER_OF(t, struct fh_file_run, transfer);
}

/* A transfer of `count` pages of the run from page i on, of the last one only what the file has. */
static void run_submit(struct fh_file_run *run, enum fh_io_kind kind, uint32_t i, uint32_t count,
                       void (*done)(struct fh_transfer *))
{
    struct fh_transfer *t = &run->transfer;

    t->kind = kind;
    t->fd = run->file->fd;
    t->offset = (run->first + i) << FH_PAGE_SHIFT;
    t->iov_count = 0;
    t->done = done;
    for (uint32_t k = i; k < i + count; k++)
        t->iov[t->iov_count++] = (struct iovec){
            .iov_base = run->pages[k],
            .iov_len = fh_file_bytes_in_page(run->file, run->first + k),
        };
    fh_io_submit(run->file->backing->io, t);
}

/* Over: the run is the caller's again, and the file perhaps gone. */
static void run_end(struct fh_file_run *run)
{
    struct fh_file *f = run->file;

    run->done(run);
    file_leave(f);
}

static void run_begin(struct fh_file_run *run)
{
    const struct fh_file *f = run->file;

    FH_ASSERT(run->count >= 1);
    FH_ASSERT(run->count <= FH_FILE_RUN_MAX);
    FH_ASSERT(run->first + run->count <= f->pages);
    FH_ASSERT(f->size_bytes > 0);
    run->file->running++;
}

/* --- sums --- */

static bool page_has_its_sum(const struct fh_file_run *run, uint32_t i)
{
    const uint32_t *sums = run->file->sums;

    return !sums || sums[run->first + i] == fh_crc32c(0, run->pages[i], FH_PAGE_SIZE);
}

static void run_note_sums(const struct fh_file_run *run)
{
    for (uint32_t i = 0; run->file->sums && i < run->count; i++)
        run->file->sums[run->first + i] = fh_crc32c(0, run->pages[i], FH_PAGE_SIZE);
}

/* --- read --- */

static void read_again_done(struct fh_transfer *t);

static void read_end(struct fh_file_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t there = fh_file_bytes_in_page(run->file, run->first + i);
        if (run->status[i] != 0)
            there = 0;
        memset(run->pages[i] + there, 0, FH_PAGE_SIZE - there);
        if (run->status[i] == 0 && !page_has_its_sum(run, i)) {
            run->status[i] = -EBADMSG;
            run->file->backing->stats.bad_sums++;
        }
        run->file->backing->stats.read_pages += run->status[i] == 0;
    }
    fh_list_remove(&run->using);
    run_end(run);
}

static void read_again(struct fh_file_run *run)
{
    if (run->again == run->count)
        read_end(run);
    else
        run_submit(run, FH_IO_READ, run->again, 1, read_again_done);
}

static void read_again_done(struct fh_transfer *t)
{
    struct fh_file_run *run = run_of(t);

    run->file->backing->stats.io_errors += t->result != 0;
    run->status[run->again++] = t->result == 0 ? 0 : -EIO;
    read_again(run);
}

static void read_done(struct fh_transfer *t)
{
    struct fh_file_run *run = run_of(t);

    if (t->result == 0) {
        read_end(run);
        return;
    }
    run->file->backing->stats.io_errors++;
    run->again = 0;
    read_again(run);
}

void fh_backing_read(struct fh_backing *b, struct fh_file_run *run)
{
    (void)b;
    run_begin(run);
    fh_list_push_back(&run->file->reading, &run->using);
    memset(run->status, 0, run->count * sizeof(run->status[0]));
    run_submit(run, FH_IO_READ, 0, run->count, read_done);
}

/* --- write --- */

static struct fh_file_run *run_among(const struct fh_list *runs, uint64_t first, uint64_t count)
{
    for (struct fh_list *l = runs->next; l != runs; l = l->next) {
        struct fh_file_run *run = FH_CONTAINER_OF(l, struct fh_file_run, using);
        if (first < run->first + run->count && run->first < first + count)
            return run;
    }
    return NULL;
}

struct fh_file_run *fh_file_user(const struct fh_file *f, uint64_t first, uint64_t count)
{
    struct fh_file_run *writer = run_among(&f->writing, first, count);

    return writer ? writer : run_among(&f->reading, first, count);
}

bool fh_file_is_in_use(const struct fh_file *f, uint64_t first, uint64_t count)
{
    return fh_file_user(f, first, count) != NULL;
}

static void write_end(struct fh_file_run *run, int status)
{
    struct fh_backing *b = run->file->backing;

    for (uint32_t i = 0; i < run->count; i++)
        run->status[i] = status;
    b->stats.written_pages += status == 0 ? run->count : 0;
    fh_list_remove(&run->using);
    run_end(run);
}

static void sync_begin(struct fh_file *f);

static void sync_end_runs(struct fh_list *runs, int status)
{
    struct fh_list *node;

    while ((node = fh_list_pop(runs)) != NULL)
        write_end(FH_CONTAINER_OF(node, struct fh_file_run, link), status);
}

static void list_take_all(struct fh_list *from, struct fh_list *to)
{
    struct fh_list *node;

    fh_list_init(to);
    while ((node = fh_list_pop(from)) != NULL)
        fh_list_push_back(to, node);
}

static void sync_done(struct fh_transfer *t)
{
    struct fh_file *f = FH_CONTAINER_OF(t, struct fh_file, sync);
    struct fh_list covered, later;

    /* Off the file first: what `done` begins must not end in this round. */
    f->sync_running = false;
    f->backing->stats.syncs++;
    list_take_all(&f->in_sync, &covered);
    fh_list_init(&later);
    if (t->result != 0) {
        f->backing->stats.io_errors++;
        f->error = -EIO;
        list_take_all(&f->unsynced, &later);
    }
    f->settled = f->settled || t->result == 0;
    sync_end_runs(&covered, t->result != 0 ? -EIO : 0);
    sync_end_runs(&later, -EIO);
    sync_begin(f);
    file_leave(f);
}

/* Starts a sync for all that is written, unless one runs: then those wait for the next. */
static void sync_begin(struct fh_file *f)
{
    if (f->sync_running || fh_list_is_empty(&f->unsynced))
        return;
    list_take_all(&f->unsynced, &f->in_sync);
    f->sync_running = true;
    f->running++;
    f->sync.kind = FH_IO_DATASYNC;
    f->sync.fd = f->fd;
    f->sync.iov_count = 0;
    f->sync.done = sync_done;
    fh_io_submit(f->backing->io, &f->sync);
}

static void write_done(struct fh_transfer *t)
{
    struct fh_file_run *run = run_of(t);
    struct fh_file *f = run->file;

    f->backing->stats.io_errors += t->result != 0;
    if (t->result != 0 || f->error != 0) {
        write_end(run, t->result != 0 ? t->result : f->error);
        return;
    }
    fh_list_push_back(&f->unsynced, &run->link);
    sync_begin(f);
}

static void run_write(struct fh_file_run *run)
{
    run_submit(run, FH_IO_WRITE, 0, run->count, write_done);
}

void fh_backing_write(struct fh_backing *b, struct fh_file_run *run)
{
    struct fh_file *f = run->file;

    FH_ASSERT(f->backing == b);
    FH_ASSERT(f->writable);
    FH_ASSERT(f->error == 0);
    FH_ASSERT(!fh_file_is_in_use(f, run->first, run->count));
    run_begin(run);
    run_note_sums(run);
    fh_list_init(&run->link);
    fh_list_push_back(&f->writing, &run->using);
    run_write(run);
}

void fh_backing_settle(struct fh_backing *b, struct fh_file_run *run)
{
    struct fh_file *f = run->file;

    (void)b;
    FH_ASSERT(run->count == 0);
    FH_ASSERT(f->error == 0);
    f->running++;
    fh_list_init(&run->link);
    fh_list_push_back(&f->writing, &run->using);
    fh_list_push_back(&f->unsynced, &run->link);
    sync_begin(f);
}

/* --- looking inside --- */

void fh_backing_stats(const struct fh_backing *b, struct fh_backing_stats *out)
{
    *out = b->stats;
    out->files = b->count;
}

static const struct fh_file_run *run_in(const struct fh_list *link)
{
    return (const struct fh_file_run *)(const void *)((const char *)link -
                                                      offsetof(struct fh_file_run, using));
}

static void check_writing(const struct fh_file *f, struct fh_report *r)
{
    uint32_t writing = 0, reading = 0;

    for (const struct fh_list *l = f->reading.next; l != &f->reading; l = l->next, reading++)
        if (run_among(&f->writing, run_in(l)->first, run_in(l)->count))
            fh_report(r, "[I3] file at page %" PRIx64 ": page %" PRIu64 " is read and written",
                      f->first.v, run_in(l)->first);
    for (const struct fh_list *l = f->writing.next; l != &f->writing; l = l->next) {
        const struct fh_file_run *one = run_in(l);
        writing++;
        for (const struct fh_list *k = l->next; k != &f->writing; k = k->next) {
            const struct fh_file_run *other = run_in(k);
            if (one->first < other->first + other->count && other->first < one->first + one->count)
                fh_report(r, "[I3] file at page %" PRIx64 ": page %" PRIu64 " is written twice",
                          f->first.v, one->first > other->first ? one->first : other->first);
        }
    }
    if (reading + writing + f->sync_running != f->running)
        fh_report(r, "[I2] file at page %" PRIx64 ": %u runs are read or written, %u are in flight",
                  f->first.v, reading + writing, f->running);
}

bool fh_backing_check(const struct fh_backing *b, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    for (uint32_t i = 0; i < b->count; i++) {
        const struct fh_file *f = b->files[i];
        if (i > 0 && b->files[i - 1]->first.v + b->files[i - 1]->pages > f->first.v)
            fh_report(&r, "[I1] the file at page %" PRIx64 " begins inside another", f->first.v);
        check_writing(f, &r);
        bool waits = !fh_list_is_empty(&f->unsynced) || !fh_list_is_empty(&f->in_sync);
        if (waits && !f->sync_running)
            fh_report(&r, "[I4] file at page %" PRIx64 ": writes wait for a sync that does not run",
                      f->first.v);
        if (f->ended)
            fh_report(&r, "[I1] file at page %" PRIx64 ": ended, but found", f->first.v);
    }
    for (const struct fh_list *l = b->ended.next; l != &b->ended; l = l->next) {
        check_writing(ended_file(l), &r);
        if (!ended_file(l)->ended || ended_file(l)->running == 0)
            fh_report(&r, "[I2] file at page %" PRIx64 ": ended, idle and open",
                      ended_file(l)->first.v);
    }
    return r.broken == 0;
}

void fh_backing_dump(const struct fh_backing *b, FILE *out)
{
    fprintf(out,
            "backing: %u files, read %" PRIu64 " written %" PRIu64 " syncs %" PRIu64
            " errors %" PRIu64 "\n",
            b->count, b->stats.read_pages, b->stats.written_pages, b->stats.syncs,
            b->stats.io_errors);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct fh_file *f = b->files[i];
        fprintf(out,
                "  file at %" PRIx64 ", %" PRIu64 " pages, fd %d, tenant %u, opens %u%s%s error "
                "%d, %u in flight\n",
                f->first.v, f->pages, f->fd, f->tenant, f->opens, f->writable ? " writable" : "",
                f->ended ? " ended" : "", f->error, f->running);
    }
}
