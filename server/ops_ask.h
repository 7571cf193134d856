/*
 * ops_ask: what the files of the operations share: a request being looked at, and its answer.
 *
 * Threads    one zone thread.
 */
#ifndef FH_SERVER_OPS_ASK_H
#define FH_SERVER_OPS_ASK_H

#include "ops.h"

/* A request, on the stack while it is looked at. */
struct fh_ask {
    struct fh_ops *ops;
    struct fh_session *session;
    const fh_request_head *head;
    const uint8_t *body;
    uint32_t body_size;
    enum fh_op_code code;
};

/* Begins an operation: 0 = answered, -EINPROGRESS = will be, else the error to answer. */
typedef int fh_op_begin(struct fh_ask *);

fh_op_begin fh_ops_hello, fh_ops_ping, fh_ops_info, fh_ops_topology;
fh_op_begin fh_ops_alloc, fh_ops_free, fh_ops_resize, fh_ops_read, fh_ops_write, fh_ops_zero,
    fh_ops_compare_swap, fh_ops_fetch_add, fh_ops_stat, fh_ops_advise, fh_ops_read_ranges,
    fh_ops_write_ranges;
fh_op_begin fh_ops_put, fh_ops_get, fh_ops_lookup, fh_ops_delete, fh_ops_list;
fh_op_begin fh_ops_cache_create, fh_ops_cache_destroy;
fh_op_begin fh_ops_open_file, fh_ops_list_files, fh_ops_sync;

/* What the engine answered -EAGAIN to: begins it as a request that waits for a commit. */
int fh_ops_change(struct fh_ask *, const struct fh_change *like);

/* Begin a STAGE for a body that is yet to come. */
int fh_ops_stage_write(struct fh_ask *, uint64_t size, struct fh_op **out);
int fh_ops_stage_put(struct fh_ask *, uint64_t size, struct fh_op **out);
int fh_ops_stage_never(struct fh_ask *, uint64_t size, struct fh_op **out);

/* A new request in progress, linked to the session; NULL: no memory. */
struct fh_op *fh_op_create(const struct fh_ask *, enum fh_op_kind);
/* Ends whatever it does, without an answer. */
void fh_op_destroy(struct fh_op *);
/* The two halves of that: ends the engine's part; gives back the struct, whose engine part has ended. */
void fh_op_cancel(struct fh_op *);
void fh_op_give(struct fh_op *);
/* From here on its body goes to the sink and `rc` is the answer. */
void fh_op_refuse(struct fh_op *, int rc);
/* Keeps name and body for a request that waits. */
FH_CHECKED int fh_op_keep(struct fh_op *, const void *name, size_t name_size, const void *body,
                          size_t body_size);

/* Where an answer goes. */
struct fh_reply_to {
    struct fh_ops *ops;
    struct fh_session *session;
    uint64_t id;
    enum fh_op_code code;
    uint64_t arrived_ns; /* 0 = in this turn */
    const char *detail;  /* of an error; NULL: the status's own sentence */
};

struct fh_reply_to fh_reply_to_ask(const struct fh_ask *);
struct fh_reply_to fh_reply_to_op(const struct fh_op *);

/* Queues prefix and head; `response` has its result set, id and status are filled in here. */
void fh_reply_head(const struct fh_reply_to *, fh_response_head *response, int rc,
                   uint32_t body_size);
/* An error, or an OK that has nothing to say. */
void fh_reply_plain(const struct fh_reply_to *, int rc);
/* An error of an operation on a range of an object: DATA_LOST names the bytes that are lost. */
void fh_reply_failed(const struct fh_reply_to *, int rc, const struct fh_ref *, uint64_t offset,
                     uint64_t size);
void fh_reply_object(const struct fh_reply_to *, const struct fh_object_view *, uint32_t body_size);
/* The same with the bytes behind it. */
void fh_reply_bytes(const struct fh_reply_to *, fh_response_head *, const void *body,
                    uint32_t size);

/* Answers with what a glance saw, and with the object when the answer is to carry it. */
void fh_reply_glance(const struct fh_ask *, const struct fh_glance *, bool tells_object);
/* Sends what a reader has on offer and ends or queues it. The op is not the caller's any more. */
void fh_op_send_reader(struct fh_op *);
/* Opens a reader of what a name leads to and answers, now or later. */
int fh_ops_open_by_name(struct fh_ask *, const struct fh_read_name *);

/* A reference to this zone from a handle of the wire: -EXDEV another zone's, -EINVAL none given. */
FH_CHECKED int fh_ask_ref(const struct fh_ask *, const Farheap__V1__Handle *, struct fh_ref *out);
/* A reference from a name, if there is one, else from a handle. */
FH_CHECKED int fh_ask_either(const struct fh_ask *, const Farheap__V1__Handle *,
                             ProtobufCBinaryData name, struct fh_ref *out);
FH_CHECKED int fh_ask_name(const struct fh_ask *, ProtobufCBinaryData name);
FH_CHECKED int fh_ask_cond(const Farheap__V1__Condition *, bool of_name, struct fh_cond *out);

#endif
