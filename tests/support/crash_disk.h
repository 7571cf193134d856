/*
 * crash_disk: an I/O backend with several files in memory and a power switch. A write reaches the
 * page cache; only a sync makes it durable. When the power goes, each sector of 512 bytes that was
 * written since the last sync reaches the disk or does not, as the dice say: so writes are lost,
 * torn and reordered. The descriptor of a transfer is the file's number.
 *
 * Ownership  create to fh_io_destroy(&disk->io).
 * Threads    one.
 */
#ifndef FH_TESTS_CRASH_DISK_H
#define FH_TESTS_CRASH_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/io.h"
#include "tests/support/rng.h"

enum { CRASH_FILES = 6, CRASH_FILE_BYTES = 5 << 19, CRASH_SECTOR = 512 };

struct crash_write {
    uint32_t file, sector;
    uint8_t bytes[CRASH_SECTOR];
};

struct crash_disk {
    struct fh_io io;
    uint8_t *cache[CRASH_FILES];   /* what reads see */
    uint8_t *durable[CRASH_FILES]; /* what is on the disk */
    struct crash_write *writes;    /* not synced, in order */
    uint32_t write_count, write_cap;
    uint64_t transfers; /* begun, with the power on */
    uint64_t power_off; /* the transfer with this number (1 = first) is cut off; 0 = none */
    bool off;           /* since then everything is -EIO and has no effect */
    int fail_file; /* writes and syncs of this file fail with -EIO, without effect; -1 = none */
    bool fail_syncs_only;
    bool lost_on_failure; /* a sync that fails forgets what was written: a later one says 0 */
    uint64_t foreign;     /* transfers beyond a file's end or of no file */
    struct fh_list pending;
    struct rng random;
};

/* Files of zeros. NULL: no memory. */
struct crash_disk *crash_disk_create(uint64_t seed);
/* The power comes back: what the cache had is gone, each unsynced sector was lucky or not. */
void crash_disk_reboot(struct crash_disk *);
/* Only the process died: the cache is still there. */
void crash_disk_restart(struct crash_disk *);

#endif
