/*
 * table: rows of text: aligned with a header for people, tab separated without one for --plain.
 *
 * Ownership  caller owns the struct; cells are copied.
 * Errors     none told: a row that finds no memory is not printed, and fh_table_print says so.
 */
#ifndef FH_CLI_TABLE_H
#define FH_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct fh_column {
    const char *name;
    bool right; /* numbers */
};

struct fh_table {
    const struct fh_column *columns;
    size_t column_count;
    char **cells; /* row by row */
    size_t count, cap;
    bool failed;
};

void fh_table_init(struct fh_table *, const struct fh_column *columns, size_t count);
void fh_table_fini(struct fh_table *);
/* The next cell of the current row; rows fill themselves. */
void fh_table_cell(struct fh_table *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* To stdout; false when memory ran out. */
bool fh_table_print(const struct fh_table *, bool plain);

#endif
