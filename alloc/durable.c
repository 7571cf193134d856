/*
 * Theory.  All durable objects of a zone lie in one sparse file, each in a run of pages of its own.
 * The file lies behind a range of the space, so from a page to its place there is arithmetic, and
 * the pager reads, keeps and evicts these pages like those of any file. A run is written only while
 * the catalog does not know it: what the catalog knows never changes in place, so no journal is
 * needed, and a crash leaves what was not committed as free pages and nothing else.
 *
 *   space   ...[ data-0: 1 TiB of addresses ][ data-1 ]...
 *               page first + place  <->  page `place` of the file  <->  id of the catalog
 *
 * What is free is a hole: it costs no disk, and reads as zeros. A data file whose sync failed is
 * final: it is read, and never written again; the next one takes what is new.
 *
 * Invariants
 *   [I1] a run that the catalog knows is taken
 *   [I2] pages that are not taken are holes
 */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bits.h"

enum { ID_FILE_SHIFT = 32, PATH_SIZE = 4096 };

/* --- open --- */

static int folder_open(const struct fh_durable_opts *o, int *fd)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof(path), "%s/zone-%u", o->folder, o->zone);

    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *fd < 0 ? -errno : 0;
}

/* Sparse, and as long as it can become: then no read meets its end. */
static int data_open(struct fh_data_file *f, int dir_fd, uint32_t index, uint64_t pages)
{
    struct stat st;
    char name[16];

    snprintf(name, sizeof(name), "data-%u", index);
    f->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size != (off_t)(pages << FH_PAGE_SHIFT) &&
        ftruncate(f->fd, (off_t)(pages << FH_PAGE_SHIFT)) != 0)
        return -errno;
    return fsync(f->fd) == 0 ? 0 : -errno;
}

static int durable_open_files(struct fh_durable *d, int dir_fd)
{
    int rc;

    for (uint32_t i = 0; i < FH_DATA_FILES; i++)
        if ((rc = fh_shelf_init(&d->files[i].shelf, d->opts.mem, d->opts.pages)) != 0 ||
            (rc = data_open(&d->files[i], dir_fd, i, d->opts.pages)) != 0)
            return rc;
    return 0;
}

static int durable_open_catalog(struct fh_durable *d, int dir_fd)
{
    char path[PATH_SIZE + 16];

    snprintf(path, sizeof(path), "%s/zone-%u/catalog.mdb", d->opts.folder, d->opts.zone);
    int rc = fh_catalog_open(
        &(struct fh_catalog_opts){.path = path, .zone = d->opts.zone, .zones = d->opts.zones},
        &d->catalog);
    if (rc != 0)
        return rc;
    return fsync(dir_fd) == 0 ? 0 : -errno; /* the names of the files */
}

static int folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return rc;
}

int fh_durable_open(struct fh_durable *d, const struct fh_durable_opts *o)
{
    int dir_fd = -1;
    int rc;

    memset(d, 0, sizeof(*d));
    d->opts = *o;
    if (d->opts.pages == 0)
        d->opts.pages = FH_DATA_PAGES;
    fh_list_init(&d->waiting);
    fh_list_init(&d->commits);
    for (uint32_t i = 0; i < FH_DATA_FILES; i++) {
        d->files[i].fd = -1;
        d->files[i].shelf.mem = o->mem;
    }
    if ((rc = folder_open(o, &dir_fd)) == 0 && (rc = durable_open_files(d, dir_fd)) == 0 &&
        (rc = durable_open_catalog(d, dir_fd)) == 0)
        rc = folder_sync(o->folder);
    if (dir_fd >= 0)
        close(dir_fd);
    if (rc != 0)
        fh_durable_close(d);
    return rc;
}

void fh_durable_close(struct fh_durable *d)
{
    fh_catalog_close(d->catalog);
    d->catalog = NULL;
    for (uint32_t i = 0; i < FH_DATA_FILES; i++) {
        struct fh_data_file *f = &d->files[i];
        if (f->fd >= 0 && !f->file)
            close(f->fd);
        if (f->shelf.pages > 0)
            fh_shelf_fini(&f->shelf);
        f->fd = -1;
    }
}

int fh_durable_attach(struct fh_durable *d, struct fh_backing *b, uint32_t file,
                      struct fh_page first)
{
    struct fh_data_file *f = &d->files[file];
    struct fh_file like = {.first = first,
                           .size_bytes = d->opts.pages << FH_PAGE_SHIFT,
                           .fd = f->fd,
                           .may_write = true,
                           .writable = true,
                           .sums = f->shelf.sums};
    struct stat st;

    if (fstat(f->fd, &st) != 0)
        return -errno;
    like.id = (struct fh_file_id){.device = st.st_dev, .number = st.st_ino};
    int rc = fh_backing_open(b, &like, &f->file);
    if (rc == 0)
        f->file->opens = 0; /* nobody gets it by its name */
    return rc;
}

static int hole_make(int fd, uint64_t first, uint64_t end)
{
    if (first == end)
        return 0;
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(first << FH_PAGE_SHIFT), (off_t)((end - first) << FH_PAGE_SHIFT)) == 0
               ? 0
               : -errno;
}

int fh_durable_clean(struct fh_durable *d)
{
    for (uint32_t i = 0; i < FH_DATA_FILES; i++) {
        const struct fh_shelf *s = &d->files[i].shelf;
        uint64_t free, taken = 0;
        do {
            free = fh_shelf_next(s, taken, false);
            taken = fh_shelf_next(s, free, true);
            int rc = hole_make(d->files[i].fd, free, taken);
            if (rc != 0)
                return rc;
        } while (taken < s->pages);
    }
    return 0;
}

/* --- runs --- */

static void run_of(const struct fh_durable *d, uint32_t file, uint64_t place,
                   struct fh_durable_run *out)
{
    *out = (struct fh_durable_run){
        .file = file, .place = place, .pages = fh_shelf_at(&d->files[file].shelf, place).pages};
    if (d->files[file].file)
        out->first = fh_page_add(d->files[file].file->first, place);
}

int fh_durable_take(struct fh_durable *d, uint64_t pages, uint32_t owner,
                    struct fh_durable_run *out)
{
    int rc = -EIO;

    if (pages > FH_DURABLE_SIZE_MAX >> FH_PAGE_SHIFT)
        return -EFBIG;
    if (fh_catalog_is_broken(d->catalog))
        return -EIO; /* the run might be that of a change that failed, and yet is on disk */
    for (uint32_t i = 0; i < FH_DATA_FILES; i++) {
        uint64_t place;
        if (d->files[i].file->error != 0)
            continue;
        rc = fh_shelf_take(&d->files[i].shelf, pages, owner, &place);
        if (rc == 0) {
            run_of(d, i, place, out);
            break;
        }
    }
    return rc;
}

static bool durable_locate(const struct fh_durable *d, struct fh_page page, uint32_t *file,
                           uint64_t *place)
{
    for (uint32_t i = 0; i < FH_DATA_FILES; i++) {
        const struct fh_file *f = d->files[i].file;
        if (f && page.v >= f->first.v && page.v - f->first.v < f->pages) {
            *file = i;
            *place = page.v - f->first.v;
            return true;
        }
    }
    return false;
}

bool fh_durable_find(const struct fh_durable *d, struct fh_page page, struct fh_durable_run *out)
{
    uint32_t file;
    uint64_t place;

    if (!durable_locate(d, page, &file, &place))
        return false;
    run_of(d, file, place, out);
    return true;
}

void fh_durable_find_inner(const struct fh_durable *d, struct fh_page page,
                           struct fh_durable_run *out)
{
    uint32_t file = 0;
    uint64_t place = 0;
    bool found = durable_locate(d, page, &file, &place);

    FH_ASSERT(found);
    run_of(d, file, fh_shelf_start_of(&d->files[file].shelf, place), out);
}

uint64_t fh_durable_id(const struct fh_durable_run *run)
{
    return ((uint64_t)run->file << ID_FILE_SHIFT) + run->place + 1;
}

bool fh_durable_run_of_id(const struct fh_durable *d, uint64_t id, struct fh_durable_run *out)
{
    uint64_t file = (id - 1) >> ID_FILE_SHIFT;
    uint64_t place = (id - 1) & UINT32_MAX;

    if (id == 0 || file >= FH_DATA_FILES || place >= d->opts.pages)
        return false;
    run_of(d, (uint32_t)file, place, out);
    return true;
}

/* --- looking inside --- */

bool fh_durable_check(const struct fh_durable *d, FILE *why)
{
    bool good = true;

    for (uint32_t i = 0; i < FH_DATA_FILES; i++)
        good = fh_shelf_check(&d->files[i].shelf, why) && good;
    return good;
}

void fh_durable_dump(const struct fh_durable *d, FILE *out)
{
    fprintf(out, "durable: %llu objects of %llu bytes, %u changes in flight\n",
            (unsigned long long)d->objects, (unsigned long long)d->bytes,
            fh_catalog_in_flight(d->catalog));
    for (uint32_t i = 0; i < FH_DATA_FILES; i++)
        fh_shelf_dump(&d->files[i].shelf, out);
}
