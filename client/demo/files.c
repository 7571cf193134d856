/*
 * Theory.  Walk everything, drop second names of one inode by sorting, shuffle, then take from the
 * front what still fits: large files first up to their share, then whatever comes. The shuffle
 * makes the small files those of the whole machine and not of the first folder.
 */
#include "client/demo/files.h"

#include "client/bench/keys.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 1024, ROUNDS_MAX = 1000, LARGE_BYTES = 1 << 20, FILES_MAX = 1000000 };

static int files_make_room(struct fh_files *f)
{
    if (f->count < f->room)
        return 0;
    size_t room = f->room == 0 ? 4096 : f->room * 2;
    struct fh_file *grown = realloc(f->files, room * sizeof(*grown));

    if (grown == NULL)
        return -ENOMEM;
    f->files = grown;
    f->room = room;
    return 0;
}

static void file_forget(struct fh_file *file)
{
    free(file->path);
    free(file->name);
    free(file->samples);
}

/* Adds a file, whose path and name it copies. */
static int files_add(struct fh_files *f, struct fh_file file, const char *path, const char *name)
{
    if (files_make_room(f) != 0)
        return -ENOMEM;
    file.path = strdup(path);
    file.name = strdup(name);
    if (file.path == NULL || file.name == NULL) {
        file_forget(&file);
        return -ENOMEM;
    }
    f->files[f->count++] = file;
    return 0;
}

static int files_add_entry(struct fh_files *f, const FTSENT *e)
{
    struct fh_file file = {.bytes = (uint64_t)e->fts_statp->st_size,
                           .device = e->fts_statp->st_dev,
                           .inode = e->fts_statp->st_ino};

    return files_add(f, file, e->fts_path, e->fts_path);
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
            file_forget(&f->files[i]);
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
            rc = files_add_entry(f, e);
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

/* Stores files again until there are `bytes`: round after round over those there are, under "2:PATH", "3:PATH", .. */
static int files_repeat(struct fh_files *f, uint64_t bytes)
{
    size_t once = f->count;
    char name[NAME_MAX_BYTES + 1];

    for (uint32_t round = 2; once > 0 && f->bytes < bytes && round < ROUNDS_MAX; round++)
        for (size_t i = 0; i < once; i++) {
            struct fh_file file = f->files[i];
            int size = snprintf(name, sizeof(name), "%u:%s", round, file.path);
            if (size > NAME_MAX_BYTES || file.bytes > bytes - f->bytes)
                continue;
            if (files_add(f, file, file.path, name) != 0)
                return -ENOMEM;
            f->bytes += file.bytes;
        }
    f->again = f->count - once;
    return 0;
}

int fh_files_choose(struct fh_files *f, uint64_t bytes, uint64_t seed)
{
    bool *keep = calloc(f->count + 1, sizeof(*keep));
    uint64_t taken;

    if (keep == NULL)
        return -ENOMEM;
    fh_files_shuffle(f, seed);
    taken = files_take(f, keep, LARGE_BYTES, bytes / 8, bytes / 4);
    taken += files_take(f, keep, 1, bytes / 8, bytes - taken);
    bool few = taken + bytes / 8 < bytes; /* not what is left over because nothing fits */
    files_compact(f, keep);
    free(keep);
    return few ? files_repeat(f, bytes) : 0;
}

void fh_files_fini(struct fh_files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        file_forget(&f->files[i]);
    }
    free(f->files);
    memset(f, 0, sizeof(*f));
}
