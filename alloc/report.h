/*
 * report: what a `_check` found: counts broken invariants, prints the first few to `out`, never
 * aborts.
 */
#ifndef FH_ALLOC_REPORT_H
#define FH_ALLOC_REPORT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct fh_report {
    FILE *out;          /* where lines go; may be NULL */
    uint32_t lines_max; /* lines printed at most; counting goes on */
    uint64_t broken;    /* broken invariants found so far */
};

/* Notes one broken invariant, e.g. fh_report(r, "[I4] frame %u: refs %u, counted %u", ...). */
__attribute__((format(printf, 2, 3), unused)) static void fh_report(struct fh_report *r,
                                                                    const char *format, ...)
{
    if (r->broken++ >= r->lines_max || !r->out)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(r->out, format, args);
    va_end(args);
    fputc('\n', r->out);
}

#endif
