/*
 * farheap.h: the C interface of libfarheap, the client of farheapd.
 *
 * A client is a set of connections to one node, one per zone, opened when first needed. Objects are
 * reached by handle (unguessable, from fh_alloc, fh_put, fh_lookup) or by name.
 *
 * Promises   a read returns the bytes of one moment; a write happens whole or not at all.
 * Threads    a client belongs to one thread at a time; nothing is locked. Use a client per thread,
 *            or a pool (fh_pool_get), which any number of threads may share. No global state, no signals, no stdio, no exit; SIGPIPE is never raised.
 * Ownership  what the caller passes stays the caller's; buffers of submitted requests must stay
 *            valid until the request is finished by fh_wait, fh_wait_any + fh_req_free, or
 *            fh_close. Time every call ends within the client's request timeout (default 5 s, plus
 *            1 s per 16 MiB moved).
 * Failures   a broken connection is opened again by the next call. A read-only request that was in
 *            flight is sent again within its deadline; a mutation is not, and answers
 *            FH_CONNECTION: whether it happened is unknown. Sizes are bytes, times milliseconds.
 *            Names are 1 to 1024 arbitrary bytes.
 */
#ifndef FARHEAP_H
#define FARHEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FH_API __attribute__((visibility("default")))
#else
#define FH_API
#endif

#define FH_DEFAULT_PORT 7420
#define FH_HANDLE_TEXT  40 /* room for a handle's text form and its NUL */

typedef struct fh_client fh_client;
typedef struct fh_req fh_req;

/* Names an object. A secret: whoever holds it may use the object. Zone = address >> 48. */
typedef struct {
    uint64_t address, key;
} fh_handle;

/* 0 to 17 are the server's words (docs/protocol.md says when each is given), from 100 the client's.
 */
typedef enum {
    FH_OK,
    FH_INVALID,
    FH_NOT_FOUND,
    FH_EXISTS,
    FH_STALE,
    FH_PERMISSION,
    FH_UNAUTHENTICATED,
    FH_QUOTA,
    FH_NO_SPACE,
    FH_TOO_LARGE,
    FH_BUSY,
    FH_TIMEOUT,
    FH_CONFLICT,
    FH_WRONG_ZONE,
    FH_DATA_LOST,
    FH_IO_ERROR,
    FH_UNSUPPORTED,
    FH_DRAINING,
    FH_CONNECTION = 100, /* no connection, or it broke */
    FH_PROTOCOL,         /* the server said something that is not the protocol */
    FH_NO_MEMORY         /* malloc failed in the client */
} fh_status;

/* All zeros is the default of everything but `size`. */
typedef struct {
    size_t size;         /* = sizeof(fh_options), so that the struct can grow */
    const char *ca_file; /* PEM; farheaps:// only. NULL: the system's authorities */
    const char *cert_file,
        *key_file;               /* PEM; this client's identity, when the server asks for one */
    const char *server_name;     /* expected in the certificate; NULL: the URL's host */
    int insecure;                /* 1: do not verify the server's certificate */
    uint32_t connect_timeout_ms; /* 0 = the URL's, or 5000 */
    uint32_t request_timeout_ms; /* 0 = the URL's, or 5000 */
    const char *agent;           /* what the server's log calls this client; NULL: the library */
} fh_options;

/* Flags of fh_how. FH_IF_ABSENT: only when the name leads to nothing, else FH_EXISTS. FH_DURABLE,
 * for put: FH_OK comes when object and name survive restart and power cut; for alloc: so that publish
 * can make it durable; for publish: of an object that was allocated so. FH_UNSUPPORTED: the server
 * has no data directory. At most 64 GiB. */
enum { FH_IF_ABSENT = 1, FH_DURABLE = 2 };

/* How a mutation is done. NULL or all zeros (but `size`) where nothing is special. */
typedef struct {
    size_t size;         /* = sizeof(fh_how) */
    uint32_t flags;      /* FH_IF_ABSENT | FH_DURABLE */
    uint64_t if_version; /* only when the object has this version, else FH_CONFLICT; 0 = any */
    uint64_t ttl_ms; /* the object is freed after this long; 0 = never. For alloc, put, publish */
    const void *near_name; /* fh_alloc: in the zone where this name lives, so that fh_publish can */
    size_t near_size;      /* give it that name; NULL: zones in turn */
    const void *cache;     /* fh_alloc: from this cache (fh_cache_create); NULL: from none */
    size_t cache_size;     /* of its name */
} fh_how;

typedef struct {
    fh_handle handle;
    uint64_t bytes, version, ttl_ms; /* ttl_ms: left, 0 = lives until freed */
    uint64_t pages_frame, pages_swap, pages_nothing,
        pages_failed;   /* in memory, in swap, never written, lost */
    int sealed;         /* 1: immutable, as put leaves it */
    int small;          /* 1: shares its pages with other objects */
    int file, writable; /* 1: its bytes are those of a file; which takes writes */
    uint64_t pages_file,
        pages_dirty; /* in the file only; in memory or swap and not in the file yet */
    int durable; /* 1: lies in the data directory: with a name, it survives restart and power cut */
    uint64_t pages_pinned; /* that stay in memory (fh_advise), wherever they are now */
} fh_info;

typedef struct {
    const void *name; /* valid during the callback */
    size_t name_size;
    fh_handle handle;
    uint64_t bytes, version, ttl_ms;
    int durable; /* as in fh_info */
} fh_entry;

/* Called for each name; return 0 to go on, anything else to stop (fh_list then returns FH_OK). */
typedef int fh_list_fn(void *context, const fh_entry *entry);

/* --- connection --- */

/*
 * Opens a client for farheap://HOST[:PORT][/?timeout=2s], farheaps://HOST[:PORT] (TLS 1.3) or
 * farheap+unix:///PATH and says Hello to one zone. Several hosts, comma separated, are tried in
 * turn. On failure *out is still a client that only fh_errmsg and fh_close accept (NULL with
 * FH_NO_MEMORY).
 */
FH_API fh_status fh_open(const char *url, const fh_options *options, fh_client **out);
/* NULL is fine. Requests in flight are forgotten; all of the client's requests are freed. */
FH_API void fh_close(fh_client *client);

FH_API const char *fh_version(void);        /* "0.1.0" */
FH_API const char *fh_strstatus(fh_status); /* "NO_SPACE" */
FH_API const char *fh_hint(fh_status);      /* a sentence that says what to do */
FH_API const char *
fh_errmsg(const fh_client *); /* about the client's last failed call; never NULL */

FH_API uint32_t fh_zones(const fh_client *);             /* of the node */
FH_API const char *fh_server_version(const fh_client *); /* "farheapd 0.1.0" */

/* `fh:<zone>:<offset>.<key>`. Parse returns FH_INVALID for anything but the canonical form. */
FH_API void fh_handle_format(fh_handle handle, char text[FH_HANDLE_TEXT]);
FH_API fh_status fh_handle_parse(const char *text, fh_handle *out);

/* One round trip to a zone. */
FH_API fh_status fh_ping(fh_client *, uint32_t zone);

/* A JSON document of the server: "info", "zones", "slabs", "buddy", "pages", "config". *json is NUL
 * terminated and the caller's to free(). */
FH_API fh_status fh_view(fh_client *, const char *view, char **json, size_t *size);

/* --- by handle --- */

FH_API fh_status fh_alloc(fh_client *, uint64_t bytes, const fh_how *, fh_handle *out);
FH_API fh_status fh_free(fh_client *, fh_handle);
/* *out is the handle from now on: another one if the object had to move. */
FH_API fh_status fh_resize(fh_client *, fh_handle, uint64_t bytes, const fh_how *, fh_handle *out);
/* Up to 64 MiB in one moment; longer ranges are read piece by piece, each piece of one moment. */
FH_API fh_status fh_read(fh_client *, fh_handle, uint64_t offset, void *buf, size_t size);
/* All or nothing up to 64 MiB; longer bodies go piece by piece. */
FH_API fh_status fh_write(fh_client *, fh_handle, uint64_t offset, const void *buf, size_t size,
                          const fh_how *);
FH_API fh_status fh_zero(fh_client *, fh_handle, uint64_t offset, uint64_t size);
/* *seen is what was there; the swap happened if it equals `expected`, else FH_CONFLICT. `offset` %
 * 8 == 0. */
FH_API fh_status fh_cas64(fh_client *, fh_handle, uint64_t offset, uint64_t expected,
                          uint64_t desired, uint64_t *seen);
FH_API fh_status fh_add64(fh_client *, fh_handle, uint64_t offset, uint64_t delta,
                          uint64_t *before);
FH_API fh_status fh_stat(fh_client *, fh_handle, fh_info *out);

/* What fh_advise may say. The first three are about the object, the others about the range. */
typedef enum {
    FH_ADVICE_NORMAL,     /* it is read in no known way, as at first */
    FH_ADVICE_SEQUENTIAL, /* it is read in order: much is read ahead, from the first byte on */
    FH_ADVICE_RANDOM,     /* it is read at random: nothing is read ahead */
    FH_ADVICE_WILLNEED,   /* read it in soon, as far as there is room; does not wait for that */
    FH_ADVICE_COLD,       /* when memory runs short, this goes first */
    FH_ADVICE_DONTNEED, /* give its memory back now: what the disk does not have is written first */
    FH_ADVICE_PIN,      /* it is in memory when this returns FH_OK, and stays there */
    FH_ADVICE_UNPIN     /* it need not stay any longer */
} fh_advice;
/*
 * Says how an object is used, or what is to become of the pages of a range in memory; size 0: to the
 * end. No advice changes or loses a byte. What is pinned stays so until it is unpinned, cut off by
 * fh_resize, or the object ends; pages of small objects are shared with others. FH_QUOTA: more would
 * be pinned than the server allows (pin-limit), nothing was; FH_BUSY: too much at once, try again;
 * PIN also FH_DATA_LOST, FH_IO_ERROR: a page cannot be read, nothing was pinned.
 */
FH_API fh_status fh_advise(fh_client *, fh_handle, fh_advice, uint64_t offset, uint64_t size);
FH_API fh_status fh_advise_name(fh_client *, const void *name, size_t name_size, fh_advice,
                                uint64_t offset, uint64_t size);

/* --- typed caches --- */

/*
 * Makes a cache of objects of one size, 1 to 32768 bytes, at multiples of `alignment` (a power of
 * two up to 4096; 0 = 8), in every zone of the node. Each object starts with the `initial` bytes,
 * zeros follow; what is given may be empty. Its name, 1 to 255 bytes, goes into fh_how.cache.
 * FH_EXISTS: some zone has such a cache; FH_QUOTA: too many caches. A failure leaves no zone with a
 * new one, but for zones that do not answer.
 */
FH_API fh_status fh_cache_create(fh_client *, const void *name, size_t name_size,
                                 uint64_t object_size, uint32_t alignment, const void *initial,
                                 size_t initial_size);
/* Destroys it in every zone where none of its objects lives; FH_BUSY when there is another: free
 * its objects and call again. FH_NOT_FOUND: no zone had it. */
FH_API fh_status fh_cache_destroy(fh_client *, const void *name, size_t name_size);

/* --- files --- */

enum { FH_FILE_WRITE = 1, FH_FILE_CREATE = 2 }; /* flags of fh_file_open */

/*
 * Opens the file EXPORT/PATH of the server as an object, as large as the file is now. With WRITE it
 * takes writes, which reach the file by fh_sync, or before; with CREATE a file of `size` zeros is
 * made if there is none. Opening a file again gives the same object; each opening needs an fh_free,
 * and with the last one what was not synced may be lost. A file's object is neither resized nor
 * named. FH_PERMISSION: read-only, or the path leads over a link; FH_BUSY: open under another name
 * or by another process.
 */
FH_API fh_status fh_file_open(fh_client *, const char *path, uint32_t flags, uint64_t size,
                              fh_info *out);
/* What was written to this range of a file's object is safe in the file when this returns FH_OK;
 * size 0: to the end. FH_IO_ERROR: the disk failed, and the file takes no writes any more; the bytes
 * are kept in memory. */
FH_API fh_status fh_sync(fh_client *, fh_handle, uint64_t offset, uint64_t size);

typedef struct {
    const void *name; /* valid during the callback */
    size_t name_size;
    uint64_t bytes; /* of a file */
    int folder;     /* 1: a folder, or an export */
    int writable;   /* 1: the export allows it */
} fh_file_info;
/* Called for each entry; return 0 to go on, anything else to stop. */
typedef int fh_file_list_fn(void *context, const fh_file_info *entry);
/* The files and folders of EXPORT or EXPORT/FOLDER, in no order; of "" the exports. */
FH_API fh_status fh_file_list(fh_client *, const char *folder, fh_file_list_fn *, void *context);

/* --- by name --- */

/* Stores a sealed object under a name, replacing what had it; `out` may be NULL. Any size: the name
 * appears at once, when all bytes are there. */
FH_API fh_status fh_put(fh_client *, const void *name, size_t name_size, const void *buf,
                        size_t size, const fh_how *, fh_info *out);
/* Seals an object that has no name yet and gives it this name, as fh_put would. */
FH_API fh_status fh_publish(fh_client *, const void *name, size_t name_size, fh_handle,
                            const fh_how *, fh_info *out);
/* Reads up to `cap` bytes from `offset`; *got is how many, *total (may be NULL) the object's size.
 */
FH_API fh_status fh_get(fh_client *, const void *name, size_t name_size, uint64_t offset, void *buf,
                        size_t cap, size_t *got, uint64_t *total);
FH_API fh_status fh_lookup(fh_client *, const void *name, size_t name_size,
                           fh_info *out); /* no page counts */
FH_API fh_status fh_stat_name(fh_client *, const void *name, size_t name_size, fh_info *out);
FH_API fh_status fh_delete(fh_client *, const void *name, size_t name_size, const fh_how *);
/* Names that start with the prefix (of any size, 0 too), zone after zone, in no order. */
FH_API fh_status fh_list(fh_client *, const void *prefix, size_t prefix_size, fh_list_fn *,
                         void *context);

/* --- many in one call --- */

enum { FH_RANGES_MAX = 64 };

/* A part of an object: read goes to `into`, a write comes from `from`. */
typedef struct {
    uint64_t offset;
    size_t size;
    void *into;
    const void *from;
} fh_range;

/*
 * Several ranges of one object at one moment: a read sees all of them as of one state of the object,
 * a write happens whole or not at all; where its ranges overlap the later one stays. At most
 * FH_RANGES_MAX ranges, on 64 pages of 4 KiB, of together 63 KiB: else FH_TOO_LARGE. One round trip.
 * *version, unless NULL, becomes the object's: write_ranges with `if_version` of what was read
 * changes only what nobody else changed meanwhile (else FH_CONFLICT).
 */
FH_API fh_status fh_read_ranges(fh_client *, fh_handle, const fh_range *ranges, size_t count,
                                uint64_t *version);
FH_API fh_status fh_write_ranges(fh_client *, fh_handle, const fh_range *ranges, size_t count,
                                 const fh_how *how, uint64_t *version);

/* One of many: what the call needs of it is filled in, the rest is ignored; the call sets what came
 * of it. */
typedef struct {
    const void *name; /* by name */
    size_t name_size;
    fh_handle handle; /* readv, writev */
    uint64_t offset;  /* readv, writev, get */
    void *into;       /* readv, get: room for `size` bytes */
    const void *from; /* writev, put: `size` bytes */
    size_t size;      /* at most 64 MiB */
    fh_status status; /* out */
    size_t bytes;     /* out: read or got */
    fh_info object;   /* out, but of readv and delete: handle, bytes, version */
} fh_item;

/*
 * Each item is done as if it had been asked for alone: a read of one moment, a write or put whole or
 * not at all; nothing holds for all of them together, and they take effect in any order. They
 * travel together, as requests in flight, 512 at a time: the round trip is paid once. FH_OK: all
 * succeeded; else the status of the first that failed, which has not kept the others from being
 * tried. Each has the client's request timeout. `how` goes for each put.
 */
FH_API fh_status fh_readv(fh_client *, fh_item *items, size_t count);
FH_API fh_status fh_writev(fh_client *, fh_item *items, size_t count);
FH_API fh_status fh_get_many(fh_client *, fh_item *items, size_t count);
FH_API fh_status fh_put_many(fh_client *, fh_item *items, size_t count, const fh_how *how);
FH_API fh_status fh_delete_many(fh_client *, fh_item *items, size_t count);

/* --- many at once --- */

/* What a submitted request came to. */
typedef struct {
    fh_status status;
    size_t bytes;   /* read or got */
    uint64_t total; /* get: the object's whole size */
    fh_info object; /* put, alloc: handle, bytes, version */
    void *tag;      /* what fh_req_tag set, or NULL */
} fh_result;

/*
 * Submitting queues the request and returns at once; it is sent by the next wait, fh_ready or
 * fh_flush. At most 64 MiB per request. Requests in flight may be answered, and take effect, in any
 * order. *out stays valid until fh_req_free.
 */
FH_API fh_status fh_submit_read(fh_client *, fh_handle, uint64_t offset, void *buf, size_t size,
                                fh_req **out);
FH_API fh_status fh_submit_write(fh_client *, fh_handle, uint64_t offset, const void *buf,
                                 size_t size, fh_req **out);
FH_API fh_status fh_submit_put(fh_client *, const void *name, size_t name_size, const void *buf,
                               size_t size, const fh_how *, fh_req **out);
FH_API fh_status fh_submit_get(fh_client *, const void *name, size_t name_size, uint64_t offset,
                               void *buf, size_t cap, fh_req **out);
FH_API fh_status fh_submit_alloc(fh_client *, uint64_t bytes, const fh_how *, fh_req **out);
FH_API fh_status fh_submit_free(fh_client *, fh_handle, fh_req **out);
FH_API fh_status fh_submit_delete(fh_client *, const void *name, size_t name_size, fh_req **out);

FH_API void fh_req_tag(fh_req *, void *tag);
FH_API int fh_req_done(const fh_req *);                    /* 1 when finished */
FH_API void fh_req_result(const fh_req *, fh_result *out); /* of a finished request */
FH_API void
fh_req_free(fh_req *); /* finished or not; one in flight is forgotten, its buffer free at once */

/* Waits until this request is finished; FH_TIMEOUT leaves it in flight. The request's own outcome
 * is in its result. timeout_ms < 0: until its deadline. */
FH_API fh_status fh_wait(fh_client *, fh_req *, int timeout_ms);
/* The next finished request not told yet, in order of completion; FH_TIMEOUT: none within the time;
 * FH_NOT_FOUND: none in flight. */
FH_API fh_status fh_wait_any(fh_client *, fh_req **done, int timeout_ms);
FH_API size_t fh_in_flight(const fh_client *);

/* For a loop of your own: send what is queued; the descriptors to watch (start with *iter = 0, ends
 * with -1; *want is FH_WANT_READ | FH_WANT_WRITE); tell which became ready. Finished ones come from
 * fh_wait_any(.., 0). */
enum { FH_WANT_READ = 1, FH_WANT_WRITE = 2 };
FH_API fh_status fh_flush(fh_client *);
FH_API int fh_next_fd(const fh_client *, int *iter, int *want);
FH_API fh_status fh_ready(fh_client *, int fd, int what);

/* --- many threads --- */

/*
 * Clients of one server for threads that need one now and then. All calls on a pool, but open and
 * close, may be made by any number of threads at once; a client belongs to who got it, until it is
 * put back.
 */
typedef struct fh_pool fh_pool;

/*
 * Opens `count` clients, 1 to 4096, each with fh_open. On failure *out is still a pool that only
 * fh_pool_errmsg and fh_pool_close accept (NULL with FH_NO_MEMORY). Cost: a connection and a round
 * trip for each client.
 */
FH_API fh_status fh_pool_open(const char *url, const fh_options *options, uint32_t count,
                              fh_pool **out);
/* Closes all clients, those still out as well: nobody may use one any more. NULL is fine. */
FH_API void fh_pool_close(fh_pool *pool);
FH_API const char *fh_pool_errmsg(const fh_pool *pool); /* why fh_pool_open failed; never NULL */
/*
 * A client that nobody has; waits up to timeout_ms for one to come back (0: not at all, negative:
 * for ever), and in no order among those who wait. FH_TIMEOUT: none came. A client whose connection
 * broke is as good as any: its next call connects again. Cost: one lock, never held while a client
 * waits for the server.
 */
FH_API fh_status fh_pool_get(fh_pool *pool, int timeout_ms, fh_client **out);
/* Gives it back, once, with all of its requests freed (fh_req_free). NULL is fine. */
FH_API void fh_pool_put(fh_pool *pool, fh_client *client);

#ifdef __cplusplus
}
#endif
#endif
