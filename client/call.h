/*
 * call: what is asked of a server, independent of when and over which connection, and what it came
 * to. Packs the question into a head and reads the answer's head.
 *
 * Ownership  a call points at its caller's name and buffers; an answer's `text` is malloc'd.
 * Threads    pure functions over their arguments.
 * Errors     0 bytes packed: the head does not fit; -EPROTO the answer is not one to this call.
 */
#ifndef FH_CLIENT_CALL_H
#define FH_CLIENT_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/farheap.h"
#include "proto/head.h"

enum fh_call_kind {
    FH_CALL_PING,
    FH_CALL_INFO,
    FH_CALL_ALLOC,
    FH_CALL_FREE,
    FH_CALL_RESIZE,
    FH_CALL_READ,
    FH_CALL_WRITE,
    FH_CALL_READ_RANGES,
    FH_CALL_WRITE_RANGES,
    FH_CALL_ZERO,
    FH_CALL_CAS,
    FH_CALL_ADD,
    FH_CALL_STAT,
    FH_CALL_PUT,
    FH_CALL_PUBLISH,
    FH_CALL_GET,
    FH_CALL_LOOKUP,
    FH_CALL_DELETE,
    FH_CALL_LIST,
    FH_CALL_CACHE_CREATE,
    FH_CALL_CACHE_DESTROY,
    FH_CALL_FILE_OPEN,
    FH_CALL_FILE_LIST,
    FH_CALL_SYNC,
    FH_CALL_ADVISE,
    FH_CALL_KINDS
};

struct fh_call {
    enum fh_call_kind kind;
    bool if_absent, durable;
    bool file_write, file_create; /* of file-open */
    fh_handle handle;
    uint64_t offset, size; /* bytes; of List the cursor and the limit */
    const void *name;      /* name, prefix or view; of Alloc the cache's; EXPORT/PATH */
    size_t name_size;
    uint64_t if_version, ttl_ms;
    const void *body; /* sent after the head */
    size_t body_size;
    void *into; /* where the answer's body goes, up to into_size */
    size_t into_size;
    /* compare-swap: both; fetch-add: value is the delta; cache-create: the alignment; write-ranges: how many;
     * advise: value is the advice */
    uint64_t expected, value;
};

struct fh_answer {
    fh_status status;
    fh_info object;
    uint64_t before, cursor;
    bool swapped;
    uint32_t entries;
    size_t body_size;
    char *text; /* the body of Info and List, NUL terminated, to free; else NULL */
};

/* May be sent again when it is unknown whether it was done. */
bool fh_call_is_read_only(const struct fh_call *);

size_t fh_call_pack(const struct fh_call *, uint64_t id, uint32_t deadline_ms, uint8_t *out,
                    size_t cap);

/*
 * Reads the answer's head; *body is where its body goes (NULL: nowhere). -ENOMEM when there is no
 * memory for the body: the answer says FH_NO_MEMORY, the body is to be thrown away.
 */
int fh_call_answer(const struct fh_call *, const fh_response_head *, uint32_t body_size,
                   struct fh_answer *, uint8_t **body);

/* "get model/0", "read fh:0:1000": never a key, never a control byte. Returns the length. */
size_t fh_call_print(const struct fh_call *, char *out, size_t cap);
/* Copies text with control bytes as '?', cut to fit; returns the length. */
size_t fh_text_clean(const void *text, size_t size, char *out, size_t cap);

#endif
