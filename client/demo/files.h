/*
 * files: regular files below some folders, each once, and a mixed choice of them of a given size.
 *
 * Units      bytes.
 * Ownership  caller owns the struct; files its table and its paths.
 * Threads    built by one thread; afterwards each entry belongs to the thread that works on it.
 * Errors     -ENOMEM, -ENOENT when a folder cannot be opened; files that vanish are left out.
 */
#ifndef FH_CLIENT_DEMO_FILES_H
#define FH_CLIENT_DEMO_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FH_SAMPLES = 8, FH_SAMPLE_BYTES = 64, FH_DIGEST_BYTES = 32 };

/* A few bytes of a file at a known place, kept to compare a read of just them. */
struct fh_sample {
    uint64_t offset;
    uint8_t bytes[FH_SAMPLE_BYTES];
};

struct fh_file {
    char *path;
    char *name; /* the object's: the path, with a number before it when the file is stored again */
    uint64_t bytes;
    uint64_t device, inode;
    bool stored;
    uint8_t digest[FH_DIGEST_BYTES]; /* SHA-256 of what was stored */
    uint32_t sample_count;
    struct fh_sample *samples; /* of large files only */
};

struct fh_files {
    struct fh_file *files;
    size_t count, room;
    size_t seen;        /* before choosing */
    size_t again;       /* of `count`, stored a second time */
    uint64_t bytes;     /* sum over files */
    uint64_t bytes_max; /* of one file */
};

/* What is in these folders (NULL-terminated), without links, empty files and second names. */
int fh_files_walk(struct fh_files *, char *const *folders);

/*
 * Keeps a random choice of at most `bytes`: a quarter of it in files of 1 MiB and more if there are such, no file above
 * an eighth of it. A machine with too few files stores some of them again, under other names.
 */
int fh_files_choose(struct fh_files *, uint64_t bytes, uint64_t seed);

/* In another order, the same for the same seed. */
void fh_files_shuffle(struct fh_files *, uint64_t seed);

void fh_files_fini(struct fh_files *);

#endif
