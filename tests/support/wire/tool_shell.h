/*
 * tool_shell: shell lines of tests in which $FARHEAP is the command, and what they said.
 *
 * Ownership  the caller owns the struct; it is large, give it static memory.
 * Errors     what is too long for `out` or `err` is cut.
 */
#ifndef FH_TESTS_TOOL_SHELL_H
#define FH_TESTS_TOOL_SHELL_H

#include <stddef.h>

struct tool_shell {
    const char *folder; /* where lines run, and where `out` and `err` are written; NULL: here */
    char out[1 << 16], err[4096]; /* of the last line */
};

/* Runs a line; returns its exit code, 128 + the signal if one ended it. */
int tool_shell_run(struct tool_shell *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A file as text, cut to fit; empty when there is none. */
void tool_shell_slurp(const char *path, char *to, size_t cap);

#endif
