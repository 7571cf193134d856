/*
 * Cuts the power of one file system: EXT4_IOC_SHUTDOWN drops its log and whatever was not synced; the
 * same number is taken by xfs. Usage: power-cut FOLDER. Exit 0, or 1 with the reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHUTDOWN _IOR('X', 125, uint32_t)

int main(int argc, char **argv)
{
    uint32_t drop_the_log = 2;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0 || ioctl(fd, SHUTDOWN, &drop_the_log) != 0) {
        fprintf(stderr, "power-cut: %s\n", strerror(errno));
        return 1;
    }
    close(fd);
    return 0;
}
