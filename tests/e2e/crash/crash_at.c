/*
 * A library to be loaded before the C library (LD_PRELOAD), which counts the calls that change a file.
 *
 *   CRASH_AT=N                 the process ends at the N-th of them, before it does anything
 *   FAIL_AT=N [FAIL_COUNT=M]   the N-th and the M - 1 after it (1 unless told) do nothing and answer EIO
 *   FAIL_FILE=TEXT             only calls on files whose path has the text count
 *   CRASH_COUNT=FILE           how many there were is written to the file when the process ends
 *
 * Unset or 0: it only counts. Sockets and pipes do not count.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_ulong calls;

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

static bool counts(int fd)
{
    const char *wanted = getenv("FAIL_FILE");
    char link[32], path[512];
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    if (!wanted)
        return true;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    return strstr(path, wanted) != NULL;
}

/* True: the call is to fail, errno is set. */
static bool call_fails(int fd)
{
    if (!counts(fd))
        return false;
    unsigned long n = atomic_fetch_add(&calls, 1) + 1;
    unsigned long fails = number_of("FAIL_AT"), count = number_of("FAIL_COUNT");

    if (n == number_of("CRASH_AT"))
        _exit(137);
    if (fails == 0 || n < fails || n - fails >= (count > 0 ? count : 1))
        return false;
    errno = EIO;
    return true;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("CRASH_COUNT");
    FILE *file = path ? fopen(path, "we") : NULL;

    if (file) {
        fprintf(file, "%lu\n", atomic_load(&calls));
        fclose(file);
    }
}

#define NEXT(name, type) ((type)(__UINTPTR_TYPE__)dlsym(RTLD_NEXT, name))

typedef ssize_t pwrite_call(int, const void *, size_t, off_t);
typedef ssize_t pwritev_call(int, const struct iovec *, int, off_t);
typedef ssize_t writev_call(int, const struct iovec *, int);
typedef int fd_call(int);
typedef int ftruncate_call(int, off_t);
typedef int fallocate_call(int, int, off_t, off_t);

ssize_t pwrite(int fd, const void *buf, size_t size, off_t at)
{
    if (call_fails(fd))
        return -1;
    return NEXT("pwrite", pwrite_call *)(fd, buf, size, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t size, off_t at)
{
    if (call_fails(fd))
        return -1;
    return NEXT("pwrite64", pwrite_call *)(fd, buf, size, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    if (call_fails(fd))
        return -1;
    return NEXT("pwritev", pwritev_call *)(fd, iov, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off_t at)
{
    if (call_fails(fd))
        return -1;
    return NEXT("pwritev64", pwritev_call *)(fd, iov, count, at);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    if (call_fails(fd))
        return -1;
    return NEXT("writev", writev_call *)(fd, iov, count);
}

int fdatasync(int fd)
{
    if (call_fails(fd))
        return -1;
    return NEXT("fdatasync", fd_call *)(fd);
}

int fsync(int fd)
{
    if (call_fails(fd))
        return -1;
    return NEXT("fsync", fd_call *)(fd);
}

int ftruncate(int fd, off_t size)
{
    if (call_fails(fd))
        return -1;
    return NEXT("ftruncate", ftruncate_call *)(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    if (call_fails(fd))
        return -1;
    return NEXT("fallocate", fallocate_call *)(fd, mode, at, size);
}
