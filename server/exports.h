/*
 * exports: folders whose files clients may open, and the one way from a name to an open file. No
 * path leaves its folder: the kernel resolves it below the folder, without links and without
 * crossing into another file system, and only regular files are opened.
 *
 * Ownership  caller owns the struct; the folders stay open until close.
 * Threads    written by the main thread before others start; then read. The calls that touch files
 *            may wait for a disk: they are for a thread of their own (files.h).
 * Errors     -EINVAL not a path that could be, or not a regular file; -ENOENT no such export,
 *            folder or file; -EACCES not allowed, or a link, or out of the folder; -EFBIG; -EDQUOT
 *            too many open files; -ENOSPC; -EIO.
 */
#ifndef FH_SERVER_EXPORTS_H
#define FH_SERVER_EXPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/assert.h"
#include "config.h"

enum {
    FH_EXPORT_NAME_MAX = 64,
    FH_EXPORT_PATH_MAX = 1024,     /* bytes, of a path inside an export */
    FH_EXPORT_PROBLEM_SIZE = 320,  /* of a sentence about what is wrong at start */
    FH_EXPORT_LIST_MAX = 24 * 1024 /* of packed entries in one answer */
};

struct fh_export {
    char name[FH_EXPORT_NAME_MAX + 1];
    int dir_fd;
    bool writable;
};

struct fh_exports {
    struct fh_export exports[FH_CONFIG_LIST_MAX];
    unsigned count;
};

/* From items NAME=DIR[,rw]. False: `problem` says what is wrong, nothing is open. */
bool fh_exports_open(struct fh_exports *, const struct fh_config_list *,
                     char problem[FH_EXPORT_PROBLEM_SIZE]);
void fh_exports_close(struct fh_exports *);

/* Whether an export could be called that. Cheap. */
bool fh_export_name_is_fine(const void *name, size_t size);
/* Whether it could be a path inside an export: components that are no dots, one slash between
 * them, no NUL. Cheap. */
bool fh_export_path_is_fine(const void *path, size_t size);

/* What a client wants; name and path are fine. */
struct fh_file_wish {
    char name[FH_EXPORT_NAME_MAX + 1];
    char path[FH_EXPORT_PATH_MAX + 1]; /* of a list also "": the export's own folder */
    bool write, create;
    uint64_t size; /* of one that is created */
};

struct fh_file_found {
    int fd; /* the caller's to close */
    uint64_t device, number, size_bytes;
    bool may_write; /* the descriptor can */
};
/* Opens, or makes, a file. One that is made is on the disk when this returns, as zeros. */
FH_CHECKED int fh_exports_file(const struct fh_exports *, const struct fh_file_wish *,
                               struct fh_file_found *out);

/*
 * Visits the regular files and folders of a folder from entry number *cursor on, in the order of
 * the file system, until `visit` says false, which means that this entry is to come again. *cursor
 * is where to go on, 0 = that was all. With an empty name the exports themselves.
 */
struct fh_file_entry {
    const char *name;
    uint64_t size_bytes;
    bool folder, writable;
};
FH_CHECKED int fh_exports_list(const struct fh_exports *, const struct fh_file_wish *,
                               uint64_t *cursor,
                               bool (*visit)(void *ctx, const struct fh_file_entry *), void *ctx);

#endif
