/*
 * Theory.  A file is written beside its final place and renamed when it is whole, so that a reader
 * of the name sees the old bytes or the new ones. What is there and is no regular file (a device, a
 * pipe) cannot be replaced and is written in place.
 */
#include "client/cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fh_fd_write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int temporary_create(struct fh_sink *s)
{
    mode_t mask = umask(0);
    int n = snprintf(s->temporary, sizeof(s->temporary), "%s.XXXXXX", s->path);

    (void)umask(mask);
    if (n < 0 || (size_t)n >= sizeof(s->temporary))
        return -ENAMETOOLONG;
    if ((s->fd = mkostemp(s->temporary, O_CLOEXEC)) < 0)
        return -errno;
    (void)fchmod(s->fd, 0666 & ~mask);
    return 0;
}

int fh_sink_init(struct fh_sink *s, const char *path)
{
    struct stat st;

    *s = (struct fh_sink){.fd = STDOUT_FILENO};
    if (path == NULL || strcmp(path, "-") == 0) {
        s->text_only = path == NULL && isatty(STDOUT_FILENO) == 1;
        return 0;
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        s->fd = open(path, O_WRONLY | O_CLOEXEC);
        return s->fd < 0 ? -errno : 0;
    }
    s->path = path;
    return temporary_create(s);
}

static bool is_text(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\t' && bytes[i] != '\r') ||
            bytes[i] == 0x7f)
            return false;
    }
    return true;
}

int fh_sink_write(struct fh_sink *s, const void *bytes, size_t size)
{
    if (s->text_only && !is_text(bytes, size))
        return -EPERM;
    return fh_fd_write_all(s->fd, bytes, size);
}

int fh_sink_commit(struct fh_sink *s)
{
    int fd = s->fd;

    if (fd == STDOUT_FILENO)
        return 0;
    s->fd = -1;
    if (close(fd) != 0)
        return -errno;
    if (s->path == NULL)
        return 0;
    if (rename(s->temporary, s->path) != 0)
        return -errno;
    s->path = NULL;
    return 0;
}

void fh_sink_fini(struct fh_sink *s)
{
    if (s->fd > STDOUT_FILENO)
        (void)close(s->fd);
    if (s->path != NULL && s->temporary[0] != '\0')
        (void)unlink(s->temporary);
}
