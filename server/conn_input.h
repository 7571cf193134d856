/*
 * conn_input: the part of a connection's turn that reads: bytes to frames, frames to ops.
 *
 * Ownership  as conn.
 * Threads    one zone thread.
 * Errors     none: a connection that cannot go on is marked as closing.
 */
#ifndef FH_SERVER_CONN_INPUT_H
#define FH_SERVER_CONN_INPUT_H

#include "conn.h"

/* Receives what is there and answers what of it is whole, within the budget of a turn. */
void fh_conn_turn_requests(struct fh_conn *);
/* Whether the next request may be looked at now. */
bool fh_conn_may_parse(const struct fh_conn *);

/* Of conn.c: the most it receives in a turn of this moment. It has something to do in this turn; it ends when its turn comes. */
uint32_t fh_conn_receive_max(const struct fh_conn *);
void fh_conn_make_runnable(struct fh_conn *);
void fh_conn_close(struct fh_conn *, enum fh_close_reason);

#endif
