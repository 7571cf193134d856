/*
 * data_dir: the folder of durable objects, which belongs to one process at a time.
 *
 * Threads    the main thread, at start and end.
 * Errors     -EWOULDBLOCK another process has it; else of the system.
 */
#ifndef FH_SERVER_DATA_DIR_H
#define FH_SERVER_DATA_DIR_H

#include "alloc/assert.h"

/* Makes the folder if it is not there and locks it; the lock lasts until close or the process's
 * end. */
FH_CHECKED int fh_data_dir_lock(const char *path, int *lock_fd);
void fh_data_dir_unlock(int lock_fd);
/* What an error of a zone's part of it means, for people. */
const char *fh_data_dir_problem(int rc);

#endif
