/*
 * Theory.  What lies in the file is worthless without the key in this process, and so is the file
 * after it: it has no name, and the kernel frees it when the process ends, however that happens.
 * All of its space is reserved at once, so that a later write cannot find the disk full. O_DIRECT
 * is set afterwards and tried with a real read: some file systems accept the flag and refuse the
 * transfers.
 */
#include "swap_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ids.h"

static int file_open_named(const char *dir)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof(path), "%s/farheap-swap-XXXXXX", dir);

    if (size < 0 || (size_t)size >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/* Where the file system has no files without a name, one whose name is removed at once. */
static int file_open(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : file_open_named(dir);
}

/*
 * Whether there is room at all. A reservation takes block after block until none is left: one that
 * cannot succeed would fill the disk for a moment and fail the writes of everybody else on it.
 */
static int file_may_reserve(int fd, uint64_t size)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) != 0)
        return -errno;
    if (fs.f_blocks == 0) /* as file systems without a limit say */
        return 0;
    return size / fs.f_frsize > fs.f_bavail ? -ENOSPC : 0;
}

static int file_reserve(int fd, uint64_t size)
{
    int rc = file_may_reserve(fd, size);

    if (rc != 0)
        return rc;
    while ((rc = fallocate(fd, 0, 0, (off_t)size)) != 0 && errno == EINTR)
        ;
    if (rc == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    return -posix_fallocate(fd, 0, (off_t)size); /* writes to every block: slow, but it is there */
}

static bool file_reads_a_page(int fd)
{
    void *page =
        mmap(NULL, FH_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    bool ok = pread(fd, page, FH_PAGE_SIZE, 0) == FH_PAGE_SIZE;
    munmap(page, FH_PAGE_SIZE);
    return ok;
}

static bool file_set_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0)
        return false;
    if (file_reads_a_page(fd))
        return true;
    (void)fcntl(fd, F_SETFL, flags);
    return false;
}

int fh_swap_file_open(const char *dir, uint64_t size_bytes, bool buffered, int *fd, bool *direct)
{
    int file = file_open(dir);

    if (file < 0)
        return file;
    int rc = file_reserve(file, size_bytes);
    if (rc != 0) {
        close(file);
        return rc;
    }
    *fd = file;
    *direct = !buffered && file_set_direct(file);
    return 0;
}
