/*
 * session: who is at the other end of a connection, what it has asked for and not yet got, and what
 * ends with it.
 *
 * Ownership  part of a connection, which outlives it; operations in `ops` are freed with it.
 * Threads    one zone thread at a time; a session that says Hello to another zone moves there.
 */
#ifndef FH_SERVER_SESSION_H
#define FH_SERVER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/list.h"
#include "outq.h"

enum {
    FH_SESSION_PARKED_MAX = 1024,       /* then its input is not read */
    FH_SESSION_STALE_PER_SECOND = 1000, /* then its input is not read until the next second */
    FH_TENANT_DEFAULT = 0,
    FH_ZONE_ANY = -1,
};

struct fh_op;

struct fh_session {
    bool known;         /* Hello was answered */
    uint32_t tenant;    /* number, dense from 0 */
    uint64_t client_id; /* what it calls itself */
    uint64_t stream;    /* number of its connection, by which its reads in order are known */
    int64_t wants_zone; /* set by a Hello for another zone; FH_ZONE_ANY = none */
    struct fh_outq out;
    struct fh_list ops;     /* in progress: struct fh_op.link */
    uint32_t ops_count;     /* of them */
    uint64_t owed_bytes;    /* of replies that are being read, or sent from a view */
    struct fh_op *incoming; /* whose body is arriving piece by piece, or NULL */
    uint64_t stale_second;  /* in which stale_count was counted */
    uint32_t stale_count;
    /* Something can go on: run the connection in this turn. */
    void (*wake)(struct fh_session *);
};

void fh_session_init(struct fh_session *, void (*wake)(struct fh_session *));

/* Notes one STALE answer, given in this second of the clock. */
void fh_session_note_stale(struct fh_session *, uint64_t second);
/* Whether its input is to be left alone for now. */
bool fh_session_is_throttled(const struct fh_session *, uint64_t second, uint64_t output_limit);

#endif
