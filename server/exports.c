/*
 * Theory.  A path is never put together and given to open(). It is first looked at as text, so that
 * what cannot be a path is refused without asking the disk; then openat2 resolves it below the
 * folder's descriptor with RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV: the kernel
 * itself refuses each step that is a link, leads upwards or into another file system, also when
 * somebody exchanges a folder for a link in between. There is nothing to check twice, so there is
 * nothing to race with.
 *
 * Opening a device or a FIFO can have effects of its own. So the path is opened without access
 * first (O_PATH), seen to be a regular file, and then opened; what is open is looked at again, and
 * nobody waits in between, as O_NONBLOCK is set.
 */
#include "exports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COMPONENT_MAX = 255, TRIES = 8, MODE_NEW = 0644 };

static const uint64_t file_size_max = UINT64_C(1) << 40;

/* --- text --- */

bool fh_export_name_is_fine(const void *name, size_t size)
{
    const char *text = name;

    if (size == 0 || size > FH_EXPORT_NAME_MAX || text[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", text[i]) ||
            text[i] == 0)
            return false;
    return true;
}

static bool component_is_fine(const char *text, size_t size)
{
    if (size == 0 || size > COMPONENT_MAX)
        return false;
    return !(text[0] == '.' && (size == 1 || (size == 2 && text[1] == '.')));
}

bool fh_export_path_is_fine(const void *path, size_t size)
{
    const char *text = path;
    size_t start = 0;

    if (size == 0 || size > FH_EXPORT_PATH_MAX || memchr(text, 0, size))
        return false;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && text[i] != '/')
            continue;
        if (!component_is_fine(text + start, i - start))
            return false;
        start = i + 1;
    }
    return true;
}

/* --- the kernel --- */

/* What an error of resolving or opening means to a client. */
static int error_of(int error)
{
    switch (error) {
    case ELOOP:
    case EXDEV:
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
        return -EACCES;
    case ENOENT:
    case ENOTDIR:
        return -ENOENT;
    case EISDIR:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
    case EINVAL:
        return -EINVAL;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EDQUOT:
        return -EDQUOT;
    case EAGAIN:
        return -EBUSY;
    case EEXIST:
    case ENOSPC:
    case EFBIG:
        return -error;
    default:
        return -EIO;
    }
}

/* A descriptor, or what went wrong. EAGAIN: something was renamed meanwhile; once more. */
static int open_below(int dir_fd, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC | O_NOFOLLOW,
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};

    for (int i = 0; i < TRIES; i++) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return error_of(errno);
}

static const struct fh_export *export_find(const struct fh_exports *e, const char *name)
{
    for (unsigned i = 0; i < e->count; i++)
        if (strcmp(e->exports[i].name, name) == 0)
            return &e->exports[i];
    return NULL;
}

/* --- start and end --- */

static bool export_scan(const char *item, struct fh_export *out, char dir[512])
{
    const char *equals = strchr(item, '=');
    const char *comma = strrchr(item, ',');
    size_t name_size = equals ? (size_t)(equals - item) : 0;

    if (!equals || !fh_export_name_is_fine(item, name_size))
        return false;
    out->writable = comma && comma > equals && strcmp(comma, ",rw") == 0;
    size_t dir_size = out->writable ? (size_t)(comma - equals) - 1 : strlen(equals + 1);
    if (dir_size == 0 || dir_size >= 512)
        return false;
    memcpy(out->name, item, name_size);
    out->name[name_size] = 0;
    memcpy(dir, equals + 1, dir_size);
    dir[dir_size] = 0;
    return true;
}

/* 0, or what to say about it. */
static const char *export_open(struct fh_exports *e, const char *item)
{
    struct fh_export *one = &e->exports[e->count];
    char dir[512];

    if (!export_scan(item, one, dir))
        return "is not NAME=DIR or NAME=DIR,rw, NAME of letters, digits, '.', '_' and '-'";
    if (export_find(e, one->name))
        return "there is an export of this name already";
    one->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (one->dir_fd < 0)
        return strerror(errno);
    e->count++;
    int probe = open_below(one->dir_fd, ".", O_PATH | O_DIRECTORY, 0);
    if (probe < 0)
        return "the kernel or a sandbox does not allow openat2, without which no file is opened";
    close(probe);
    return NULL;
}

bool fh_exports_open(struct fh_exports *e, const struct fh_config_list *list,
                     char problem[FH_EXPORT_PROBLEM_SIZE])
{
    e->count = 0;
    for (unsigned i = 0; i < list->count; i++) {
        const char *what = export_open(e, list->item[i]);
        if (!what)
            continue;
        snprintf(problem, FH_EXPORT_PROBLEM_SIZE, "export '%.120s': %s", list->item[i], what);
        fh_exports_close(e);
        return false;
    }
    return true;
}

void fh_exports_close(struct fh_exports *e)
{
    while (e->count > 0)
        close(e->exports[--e->count].dir_fd);
}

/* --- a file --- */

/* 0 and *st when the path is a regular file. */
static int file_look(int dir_fd, const char *path, struct stat *st)
{
    int fd = open_below(dir_fd, path, O_PATH, 0);

    if (fd < 0)
        return fd;
    int rc = fstat(fd, st) == 0 ? 0 : error_of(errno);
    close(fd);
    if (rc == 0 && !S_ISREG(st->st_mode))
        rc = S_ISLNK(st->st_mode) ? -EACCES : -EINVAL;
    return rc;
}

/* Describes what is open, if it is what was looked at. */
static int file_take(int fd, const struct stat *seen, bool may_write, struct fh_file_found *out)
{
    struct stat st;
    int rc = fstat(fd, &st) == 0 ? 0 : error_of(errno);

    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = -EINVAL;
    if (rc == 0 && (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino))
        rc = -EBUSY;
    if (rc == 0 && (uint64_t)st.st_size > file_size_max)
        rc = -EFBIG;
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out = (struct fh_file_found){.fd = fd,
                                  .device = st.st_dev,
                                  .number = st.st_ino,
                                  .size_bytes = (uint64_t)st.st_size,
                                  .may_write = may_write};
    return 0;
}

static int file_open(const struct fh_export *e, const char *path, bool write,
                     struct fh_file_found *out)
{
    const uint64_t how = O_NONBLOCK | O_NOCTTY;
    struct stat seen;
    int rc = file_look(e->dir_fd, path, &seen);

    if (rc != 0)
        return rc;
    int fd = e->writable ? open_below(e->dir_fd, path, how | O_RDWR, 0) : -EACCES;
    bool may_write = fd >= 0;
    if (fd == -EACCES && !write)
        fd = open_below(e->dir_fd, path, how | O_RDONLY, 0);
    return fd < 0 ? fd : file_take(fd, &seen, may_write, out);
}

/* The folder of the path, for fsync. */
static int parent_sync(const struct fh_export *e, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[FH_EXPORT_PATH_MAX + 1] = ".";
    int rc;

    if (slash) {
        memcpy(parent, path, (size_t)(slash - path));
        parent[slash - path] = 0;
    }
    int fd = open_below(e->dir_fd, parent, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    rc = fsync(fd) == 0 ? 0 : error_of(errno);
    close(fd);
    return rc;
}

/* A file that could not be made whole stays, empty or of its size: nobody else's can be removed. */
static int file_create(const struct fh_export *e, const struct fh_file_wish *wish,
                       struct fh_file_found *out)
{
    struct stat st;
    int fd = open_below(e->dir_fd, wish->path, O_CREAT | O_EXCL | O_RDWR | O_NOCTTY, MODE_NEW);
    int rc = 0;

    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)wish->size) != 0 || fsync(fd) != 0 || fstat(fd, &st) != 0)
        rc = error_of(errno);
    if (rc == 0)
        rc = parent_sync(e, wish->path);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    return file_take(fd, &st, true, out);
}

int fh_exports_file(const struct fh_exports *exports, const struct fh_file_wish *wish,
                    struct fh_file_found *out)
{
    const struct fh_export *e = export_find(exports, wish->name);

    if (!e)
        return -ENOENT;
    if ((wish->write || wish->create) && !e->writable)
        return -EACCES;
    if (wish->create && wish->size > file_size_max)
        return -EFBIG;
    int rc = wish->create ? file_create(e, wish, out) : -EEXIST;
    return rc == -EEXIST ? file_open(e, wish->path, wish->write, out) : rc;
}

/* --- lists --- */

static int list_exports(const struct fh_exports *e, uint64_t *cursor,
                        bool (*visit)(void *ctx, const struct fh_file_entry *), void *ctx)
{
    for (; *cursor < e->count; ++*cursor) {
        const struct fh_export *one = &e->exports[*cursor];
        if (!visit(ctx, &(struct fh_file_entry){
                            .name = one->name, .folder = true, .writable = one->writable}))
            return 0;
    }
    *cursor = 0;
    return 0;
}

/* Fills the entry of a name in the folder; false: it is none that is told. */
static bool entry_of(DIR *dir, const char *name, bool writable, struct fh_file_entry *out)
{
    struct stat st;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *out = (struct fh_file_entry){.name = name,
                                  .size_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
                                  .folder = S_ISDIR(st.st_mode),
                                  .writable = writable};
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

static int list_folder(DIR *dir, bool writable, uint64_t *cursor,
                       bool (*visit)(void *ctx, const struct fh_file_entry *), void *ctx)
{
    struct fh_file_entry entry;
    struct dirent *d;
    uint64_t at = 0;

    errno = 0;
    for (; (d = readdir(dir)) != NULL; at++) {
        if (at >= *cursor && entry_of(dir, d->d_name, writable, &entry) && !visit(ctx, &entry)) {
            *cursor = at;
            return 0;
        }
        errno = 0;
    }
    *cursor = 0;
    return errno == 0 ? 0 : error_of(errno);
}

int fh_exports_list(const struct fh_exports *exports, const struct fh_file_wish *wish,
                    uint64_t *cursor, bool (*visit)(void *ctx, const struct fh_file_entry *),
                    void *ctx)
{
    const struct fh_export *e = export_find(exports, wish->name);

    if (wish->name[0] == 0)
        return list_exports(exports, cursor, visit, ctx);
    if (!e)
        return -ENOENT;
    int fd = open_below(e->dir_fd, wish->path[0] ? wish->path : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -EDQUOT;
    }
    int rc = list_folder(dir, e->writable, cursor, visit, ctx);
    closedir(dir);
    return rc;
}
