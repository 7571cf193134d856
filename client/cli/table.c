/*
 * Theory.  Cells are kept as text until all are there; libsmartcols aligns them. Nothing is cut to
 * the width of a terminal: piping changes neither columns nor order.
 */
#include "client/cli/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fh_table_init(struct fh_table *t, const struct fh_column *columns, size_t count)
{
    *t = (struct fh_table){.columns = columns, .column_count = count};
}

void fh_table_fini(struct fh_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
}

static bool cells_make_room(struct fh_table *t)
{
    size_t cap = t->cap == 0 ? 64 : t->cap * 2;
    char **cells;

    if (t->count < t->cap)
        return true;
    if ((cells = realloc(t->cells, cap * sizeof(*cells))) == NULL)
        return false;
    t->cells = cells;
    t->cap = cap;
    return true;
}

void fh_table_cell(struct fh_table *t, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (!cells_make_room(t) || vasprintf(&text, format, arguments) < 0)
        t->failed = true;
    else
        t->cells[t->count++] = text;
    va_end(arguments);
}

static void print_plain(const struct fh_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        fputs(t->cells[i], stdout);
        putchar((i + 1) % t->column_count == 0 ? '\n' : '\t');
    }
}

static bool lines_fill(const struct fh_table *t, struct libscols_table *out)
{
    for (size_t i = 0; i + t->column_count <= t->count; i += t->column_count) {
        struct libscols_line *line = scols_table_new_line(out, NULL);

        if (line == NULL)
            return false;
        for (size_t c = 0; c < t->column_count; c++) {
            if (scols_line_set_data(line, c, t->cells[i + c]) != 0)
                return false;
        }
    }
    return true;
}

static bool print_aligned(const struct fh_table *t)
{
    struct libscols_table *out = scols_new_table();
    bool ok = out != NULL;

    for (size_t c = 0; ok && c < t->column_count; c++)
        ok = scols_table_new_column(out, t->columns[c].name, 0,
                                    t->columns[c].right ? SCOLS_FL_RIGHT : 0) != NULL;
    if (ok)
        (void)scols_table_set_termforce(out, SCOLS_TERMFORCE_NEVER);
    ok = ok && lines_fill(t, out) && scols_print_table(out) == 0;
    scols_unref_table(out);
    return ok;
}

bool fh_table_print(const struct fh_table *t, bool plain)
{
    if (t->failed)
        return false;
    if (!plain)
        return print_aligned(t);
    print_plain(t);
    return true;
}
