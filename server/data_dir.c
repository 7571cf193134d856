/*
 * Theory.  The lock is the kernel's, on a file in the folder: it ends with the process, however that
 * ends, so a crash leaves none behind.
 */
#include "data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int fh_data_dir_lock(const char *path, int *lock_fd)
{
    char name[4096];
    int length = snprintf(name, sizeof name, "%s/lock", path);

    if (length < 0 || (size_t)length >= sizeof name)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *lock_fd = fd;
    return 0;
}

void fh_data_dir_unlock(int lock_fd)
{
    if (lock_fd >= 0)
        close(lock_fd);
}

const char *fh_data_dir_problem(int rc)
{
    switch (rc) {
    case -EWOULDBLOCK:
        return "another farheapd has it";
    case -EXDEV:
        return "it was made for another number of zones; start with the same --zones";
    case -EPROTO:
        return "its layout is of another version";
    case -EBADMSG:
        return "its catalog is damaged; restore it from a backup";
    case -EOPNOTSUPP:
        return "its file system cannot make holes in files";
    case -EFBIG:
        return "its file system cannot have sparse files of 1 TiB";
    default:
        return strerror(-rc);
    }
}
