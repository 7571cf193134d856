/*
 * readahead: who reads what in order, and what to read in before it is asked for. Pure policy: no
 * I/O, no frames. Also tells which touches are new ones and what a long scan has passed.
 *
 * Units      pages, unless a name says bytes.
 * Ownership  caller owns the struct, which has no other memory.
 * Threads    one zone thread.
 * Cost       O(1) per touch; wasted: a look at each of the FH_STREAMS streams.
 */
#ifndef FH_ALLOC_READAHEAD_H
#define FH_ALLOC_READAHEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ids.h"

enum {
    FH_STREAMS = 256,
    FH_READAHEAD_OPEN = 4, /* pages of the first window; a window that wasting makes smaller ends */
    FH_READAHEAD_MAX = 64, /* largest window */
};

/* How an object is read, as its users said. */
enum fh_pattern { FH_PATTERN_NORMAL, FH_PATTERN_SEQUENTIAL, FH_PATTERN_RANDOM };

/* Bytes that one request touches. */
struct fh_touch {
    uint64_t stream;            /* who asks, e.g. a connection; 0 = nobody in particular */
    struct fh_page object, end; /* pages of the whole object, from and to; it names the object */
    struct fh_addr start;       /* of the bytes */
    uint64_t size_bytes;        /* > 0 */
    enum fh_pattern pattern;
    bool may_read_ahead; /* there is room; else the stream asks again at its next touch */
};

struct fh_readahead_advice {
    struct fh_page ahead;  /* pages to read in: from here ... */
    uint32_t ahead_count;  /* ... so many; 0 = none */
    struct fh_page quiet;  /* touches that do not count as new ones: from here ... */
    uint64_t quiet_count;  /* ... so many pages */
    struct fh_page behind; /* passed by a scan longer than memory, so gone first: from here ... */
    uint32_t behind_count; /* ... so many */
    bool is_scan;          /* of an object longer than memory */
};

struct fh_stream {
    uint64_t id; /* 0 = no stream */
    struct fh_page object, end;
    struct fh_addr next; /* the byte after the last one touched */
    struct fh_page last; /* page touched last */
    struct fh_page from; /* first page of the last touch that went on: behind it all is passed */
    uint32_t streak;     /* ascending touches in a row */
    uint32_t run;        /* touches of the last page in a row */
    uint32_t window;     /* pages asked for last; 0 = none */
    uint32_t mute;       /* pages to pass before a window is tried again */
    struct fh_page mark; /* reaching it asks for the next window */
    struct fh_page asked_end;  /* asked for up to here */
    struct fh_page blamed_end; /* what is wasted below it has been counted already */
    uint64_t used_at;          /* touch number, for the choice of the oldest */
};

struct fh_readahead_stats {
    uint64_t windows, wasted; /* asked for; made smaller because pages left untouched. So far */
    uint32_t streams;         /* known now */
};

struct fh_readahead {
    uint32_t pages_max;    /* of a window; 0 = no read-ahead */
    uint64_t memory_pages; /* a scan of an object longer than this is taken for one that passes */
    uint64_t touches;      /* so far */
    struct fh_stream streams[FH_STREAMS]; /* sets of 4 by id and object [I1] */
    struct {
        uint64_t id;
        struct fh_page page;
        uint32_t run;    /* touches of it in a row */
    } lasts[FH_STREAMS]; /* what each id touched last, by id */
    struct fh_readahead_stats stats;
};

/* pages_max: at most FH_READAHEAD_MAX. */
void fh_readahead_init(struct fh_readahead *, uint32_t pages_max, uint64_t memory_pages);
/* Notes a touch and says what follows from it. */
struct fh_readahead_advice fh_readahead_touch(struct fh_readahead *, const struct fh_touch *);
/* The short way for an object that lies in one page, so that nothing can be read ahead: notes the
 * touch, and says whether it goes on with the id's last one and does not count as new. */
bool fh_readahead_stays(struct fh_readahead *, uint64_t id, struct fh_page);
/* A page read ahead was evicted untouched: the window of its stream is halved. */
void fh_readahead_wasted(struct fh_readahead *, struct fh_page);

void fh_readahead_stats(const struct fh_readahead *, struct fh_readahead_stats *out);
bool fh_readahead_check(const struct fh_readahead *, FILE *why);
void fh_readahead_dump(const struct fh_readahead *, FILE *out);

#endif
