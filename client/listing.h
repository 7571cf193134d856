/*
 * listing: the entries of List answers, one after the other, until there are no more.
 *
 * Ownership  caller owns the struct; run its arena.
 * Threads    one owner thread; `tell` may call the client.
 * Errors     FH_PROTOCOL: what came is no list; FH_NO_MEMORY; else the request's.
 */
#ifndef FH_CLIENT_LISTING_H
#define FH_CLIENT_LISTING_H

#include "client/request.h"

struct fh_listing;

/* Unpacks one entry into the arena and tells it; false when it is none. */
typedef bool fh_listing_tell(struct fh_listing *, const uint8_t *bytes, uint32_t size);

struct fh_listing {
    fh_listing_tell *tell;
    const char *word; /* for messages: "list" */
    void *context;
    bool stopped; /* `tell` wants no more */
    struct fh_head_arena *arena;
};

int fh_listing_begin(struct fh_listing *);
void fh_listing_end(struct fh_listing *);
/* All entries that one zone has for this call; the cursor is the call's offset. */
fh_status fh_listing_run(struct fh_client *, struct fh_call *, uint32_t zone, struct fh_listing *);

#endif
