/*
 * Theory.  One X-macro table says everything about an outcome, and each function here is a view of
 * it: two arrays indexed by the wire number and one switch over the errno. Numbers are dense from
 * 0, so an index is the number itself.
 *
 * Invariants
 *   [I1] the row of number n is row n of the arrays
 *   [I2] every errno of the table leads to one status, and back
 */
#include "status.h"

#include <errno.h>
#include <stdbool.h>

struct status_row {
    int err; /* positive */
    const char *name;
    const char *sentence;
};

static const struct status_row status_rows[FH_STATUS_COUNT] = {
#define STATUS_ROW(name, number, err, sentence) [number] = {err, #name, sentence},
    FH_STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

static bool status_is_known(unsigned number)
{
    return number < FH_STATUS_COUNT;
}

enum fh_wire_status fh_status_of_errno(int rc)
{
    switch (rc) {
#define STATUS_CASE(name, number, err, sentence)                                                   \
    case -(err):                                                                                   \
        return FH_STATUS_##name;
        FH_STATUS_TABLE(STATUS_CASE)
#undef STATUS_CASE
    case -ENOMEM:
        return FH_STATUS_NO_SPACE;
    default:
        return FH_STATUS_IO_ERROR;
    }
}

int fh_status_to_errno(unsigned number)
{
    return status_is_known(number) ? -status_rows[number].err : -EIO;
}

const char *fh_status_name(unsigned number)
{
    return status_is_known(number) ? status_rows[number].name : "UNKNOWN";
}

const char *fh_status_sentence(unsigned number)
{
    return status_rows[status_is_known(number) ? number : FH_STATUS_IO_ERROR].sentence;
}
