/*
 * Theory.  VmRSS of /proc/PID/status is what the kernel charges; looking costs a few microseconds.
 */
#include "client/demo/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 0 when there is no such process. */
static uint64_t watch_look(pid_t pid)
{
    unsigned long long kib = 0;
    char line[256];
    FILE *f;

    snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
    if ((f = fopen(line, "re")) == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            break;
    fclose(f);
    return kib * 1024;
}

static void *watch_main(void *argument)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    struct fh_watch *w = argument;

    while (!atomic_load(&w->stop)) {
        uint64_t bytes = watch_look(w->pid);

        w->gone |= bytes == 0;
        if (bytes > w->peak_bytes)
            w->peak_bytes = bytes;
        w->looks++;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int fh_watch_start(struct fh_watch *w, pid_t pid)
{
    memset(w, 0, sizeof(*w));
    w->pid = pid;
    if (watch_look(pid) == 0)
        return -ESRCH;
    return -pthread_create(&w->thread, NULL, watch_main, w);
}

void fh_watch_stop(struct fh_watch *w)
{
    uint64_t bytes = watch_look(w->pid);

    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    w->gone |= bytes == 0;
    if (bytes > w->peak_bytes)
        w->peak_bytes = bytes;
}
