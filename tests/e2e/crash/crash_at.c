/*
 * A library to be loaded before the C library (LD_PRELOAD): the process ends at its CRASH_AT-th call
 * that changes a file, before the call does anything. CRASH_AT unset or 0: it only counts, and says
 * how many there were to the file CRASH_COUNT names, when the process ends.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_ulong calls;

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

static void call_begins(void)
{
    static atomic_ulong planned = (unsigned long)-1;

    if (atomic_load(&planned) == (unsigned long)-1)
        atomic_store(&planned, number_of("CRASH_AT"));
    if (atomic_fetch_add(&calls, 1) + 1 == atomic_load(&planned))
        _exit(137);
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
typedef int fd_call(int);
typedef int ftruncate_call(int, off_t);
typedef int fallocate_call(int, int, off_t, off_t);

ssize_t pwrite(int fd, const void *buf, size_t size, off_t at)
{
    call_begins();
    return NEXT("pwrite", pwrite_call *)(fd, buf, size, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t size, off_t at)
{
    call_begins();
    return NEXT("pwrite64", pwrite_call *)(fd, buf, size, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    call_begins();
    return NEXT("pwritev", pwritev_call *)(fd, iov, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off_t at)
{
    call_begins();
    return NEXT("pwritev64", pwritev_call *)(fd, iov, count, at);
}

int fdatasync(int fd)
{
    call_begins();
    return NEXT("fdatasync", fd_call *)(fd);
}

int fsync(int fd)
{
    call_begins();
    return NEXT("fsync", fd_call *)(fd);
}

int ftruncate(int fd, off_t size)
{
    call_begins();
    return NEXT("ftruncate", ftruncate_call *)(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    call_begins();
    return NEXT("fallocate", fallocate_call *)(fd, mode, at, size);
}
