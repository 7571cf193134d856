/*
 * Theory.  The words of the operations, in the order of enum fh_op.
 */
#include "client/bench/driver.h"

const char *fh_op_name(enum fh_op op)
{
    static const char *const names[] = {"get",    "put",  "read", "write", "alloc", "free",
                                        "insert", "scan", "rmw",  "fault", "delete"};

    _Static_assert(sizeof(names) / sizeof(names[0]) == FH_OPS, "a word per operation");
    return op < FH_OPS ? names[op] : "all";
}
