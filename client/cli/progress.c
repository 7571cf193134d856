/*
 * Theory.  The rate is that of the whole transfer so far: it jumps less than the last tenth of a
 * second's, and the estimate with it.
 */
#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/bench/units.h"

enum { FIRST_MS = 1000, INTERVAL_MS = 100, BAR = 10 };

static int64_t clock_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void fh_progress_init(struct fh_progress *p, const char *name, uint64_t total, bool quiet)
{
    *p = (struct fh_progress){.name = name, .total = total, .start_ms = clock_ms()};
    p->wanted = !quiet && isatty(STDERR_FILENO) == 1;
}

static void bar_print(char out[BAR + 1], uint64_t percent)
{
    for (uint64_t i = 0; i < BAR; i++)
        out[i] = i * 100 / BAR + 50 / BAR <= percent ? '#' : '-';
    out[BAR] = '\0';
}

void fh_progress_print(const struct fh_progress *p, uint64_t done, int64_t ms, char *out,
                       size_t cap)
{
    char moved[FH_UNITS_TEXT], all[FH_UNITS_TEXT], speed[FH_UNITS_TEXT], bar[BAR + 1];
    uint64_t rate = done * 1000 / (uint64_t)(ms > 0 ? ms : 1);
    uint64_t percent, left;

    (void)fh_units_show_size(moved, done);
    (void)fh_units_show_size(speed, rate);
    if (p->total == 0) {
        (void)snprintf(out, cap, "%.40s  %s  %s/s", p->name, moved, speed);
        return;
    }
    percent = done >= p->total ? 100 : (uint64_t)((double)done * 100.0 / (double)p->total);
    left = rate > 0 && done < p->total ? (p->total - done + rate - 1) / rate : 0;
    bar_print(bar, percent);
    (void)fh_units_show_size(all, p->total);
    (void)snprintf(out, cap,
                   "%.40s  %s of %s  %" PRIu64 "%% [%s]  %s/s  ETA %" PRIu64 ":%02" PRIu64, p->name,
                   moved, all, percent, bar, speed, left / 60, left % 60);
}

void fh_progress_tell(struct fh_progress *p, uint64_t done)
{
    char line[192];
    int64_t now;

    if (!p->wanted)
        return;
    now = clock_ms();
    if (now - p->start_ms < FIRST_MS || now - p->shown_ms < INTERVAL_MS)
        return;
    p->shown_ms = now;
    p->shown = true;
    fh_progress_print(p, done, now - p->start_ms, line, sizeof(line));
    fprintf(stderr, "\r\033[K%s", line);
}

void fh_progress_fini(struct fh_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
