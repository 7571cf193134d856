/*
 * how: the caller's fh_how, as the fields of a call.
 *
 * Threads    pure functions; any thread.
 * Errors     false: `size` is not set.
 */
#ifndef FH_CLIENT_HOW_H
#define FH_CLIENT_HOW_H

#include <stdbool.h>

#include "client/call.h"
#include "client/farheap.h"

/* Copies what the caller's struct has, zeros elsewhere; NULL is all zeros. */
bool fh_how_copy(const fh_how *how, fh_how *out);
void fh_how_apply(const fh_how *how, struct fh_call *call);
/* What an allocation takes of it; false: a cache without a name. */
bool fh_how_apply_alloc(const fh_how *how, struct fh_call *call);

#endif
