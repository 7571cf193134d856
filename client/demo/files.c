/*
 * Theory.  Walk everything, drop second names of one inode by sorting, shuffle, then take from the
 * front what still fits: large files first up to their share, then whatever comes. The shuffle
 * makes the small files those of the whole machine and not of the first folder.
 */
#include "client/demo/files.h"

#include "client/bench/keys.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 1024, LARGE_BYTES = 1 << 20, FILES_MAX = 1000000 };

static int files_add(struct fh_files *f, const FTSENT *e)
{
    struct fh_file *file;

    if (f->count == f->room) {
        size_t room = f->room == 0 ? 4096 : f->room * 2;
        struct fh_file *grown = realloc(f->files, room * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        f->files = grown;
        f->room = room;
    }
    file = &f->files[f->count];
    *file = (struct fh_file){.path = strdup(e->fts_path),
                             .bytes = (uint64_t)e->fts_statp->st_size,
                             .device = e->fts_statp->st_dev,
                             .inode = e->fts_statp->st_ino};
    if (file->path == NULL)
        return -ENOMEM;
    f->count++;
    return 0;
}

static bool entry_is_wanted(const FTSENT *e)
{
    return e->fts_info == FTS_F && e->fts_statp->st_size > 0 && e->fts_pathlen <= NAME_MAX_BYTES &&
           access(e->fts_accpath, R_OK) == 0;
}

static int compare_inodes(const void *a, const void *b)
{
    const struct fh_file *x = a;
    const struct fh_file *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* Drops the files for which `keep` is false, in place. */
static void files_compact(struct fh_files *f, const bool *keep)
{
    size_t kept = 0;

    f->bytes = f->bytes_max = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (!keep[i]) {
            free(f->files[i].path);
            continue;
        }
        f->bytes += f->files[i].bytes;
        if (f->files[i].bytes > f->bytes_max)
            f->bytes_max = f->files[i].bytes;
        f->files[kept++] = f->files[i];
    }
    f->count = kept;
}

static int files_drop_second_names(struct fh_files *f)
{
    bool *keep = calloc(f->count + 1, sizeof(*keep));

    if (keep == NULL)
        return -ENOMEM;
    qsort(f->files, f->count, sizeof(*f->files), compare_inodes);
    for (size_t i = 0; i < f->count; i++)
        keep[i] = i == 0 || f->files[i].device != f->files[i - 1].device ||
                  f->files[i].inode != f->files[i - 1].inode;
    files_compact(f, keep);
    free(keep);
    return 0;
}

int fh_files_walk(struct fh_files *f, char *const *folders)
{
    FTS *walk = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *e;
    int rc = 0;

    memset(f, 0, sizeof(*f));
    if (walk == NULL)
        return -errno;
    while (rc == 0 && f->count < FILES_MAX && (e = fts_read(walk)) != NULL) {
        if (e->fts_level == FTS_ROOTLEVEL && (e->fts_info == FTS_NS || e->fts_info == FTS_DNR))
            rc = -ENOENT;
        else if (entry_is_wanted(e))
            rc = files_add(f, e);
    }
    fts_close(walk);
    if (rc == 0)
        rc = files_drop_second_names(f);
    f->seen = f->count;
    return rc;
}

void fh_files_shuffle(struct fh_files *f, uint64_t seed)
{
    struct fh_random r = {seed};

    for (size_t i = f->count; i > 1; i--) {
        size_t other = fh_random_below(&r, i);
        struct fh_file file = f->files[i - 1];

        f->files[i - 1] = f->files[other];
        f->files[other] = file;
    }
}

/* Takes in order what is at least `least` bytes long and still fits `room`. Returns what it took.
 */
static uint64_t files_take(const struct fh_files *f, bool *keep, uint64_t least, uint64_t most,
                           uint64_t room)
{
    uint64_t taken = 0;

    for (size_t i = 0; i < f->count; i++) {
        uint64_t bytes = f->files[i].bytes;

        if (keep[i] || bytes < least || bytes > most || bytes > room - taken)
            continue;
        keep[i] = true;
        taken += bytes;
    }
    return taken;
}

void fh_files_choose(struct fh_files *f, uint64_t bytes, uint64_t seed)
{
    bool *keep = calloc(f->count + 1, sizeof(*keep));
    uint64_t taken;

    if (keep == NULL)
        return;
    fh_files_shuffle(f, seed);
    taken = files_take(f, keep, LARGE_BYTES, bytes / 8, bytes / 4);
    files_take(f, keep, 1, bytes / 8, bytes - taken);
    files_compact(f, keep);
    free(keep);
}

void fh_files_fini(struct fh_files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->files[i].path);
        free(f->files[i].samples);
    }
    free(f->files);
    memset(f, 0, sizeof(*f));
}
