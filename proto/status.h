/*
 * status: the one table of outcomes: number on the wire, errno inside, name, and a sentence for
 * people.
 *
 * Threads    pure functions over a constant table; any thread.
 * Errors     none: an unknown number or errno maps to FH_STATUS_IO_ERROR and its sentence.
 */
#ifndef FH_PROTO_STATUS_H
#define FH_PROTO_STATUS_H

/* Numbers are the protocol's and never change meaning. NAME, wire number, errno, what to do about
 * it. */
#define FH_STATUS_TABLE(X)                                                                         \
    X(OK, 0, 0, "done")                                                                            \
    X(INVALID, 1, EINVAL, "the request is malformed or out of range; correct it")                  \
    X(NOT_FOUND, 2, ENOENT, "no object has this name; try: farheap ls")                            \
    X(EXISTS, 3, EEXIST, "the name is taken; delete it first, or put without if-absent")           \
    X(STALE, 4, ESTALE, "the handle leads to no live object; look the name up or allocate again")  \
    X(PERMISSION, 5, EACCES, "this identity may not do that; ask the operator for the role")       \
    X(UNAUTHENTICATED, 6, ENOKEY, "say Hello with valid credentials first")                        \
    X(QUOTA, 7, EDQUOT, "the tenant's quota is used up; free objects or ask for more")             \
    X(NO_SPACE, 8, ENOSPC, "memory and swap are full; free objects or give the server more swap")  \
    X(TOO_LARGE, 9, EFBIG, "larger than the server's limit; split it")                             \
    X(BUSY, 10, EBUSY, "too much at once; try again shortly")                                      \
    X(TIMEOUT, 11, ETIMEDOUT, "not done within the deadline; try again or allow more time")        \
    X(CONFLICT, 12, ECANCELED, "the object changed or is sealed; read it again and retry")         \
    X(WRONG_ZONE, 13, EXDEV, "another zone owns this object; connect to the zone in its handle")   \
    X(DATA_LOST, 14, EBADMSG, "the stored bytes failed their check; write the object again")       \
    X(IO_ERROR, 15, EIO, "the disk failed; it may work later, see the server's log")               \
    X(UNSUPPORTED, 16, EOPNOTSUPP, "this server does not offer that; see its version")             \
    X(DRAINING, 17, ESHUTDOWN, "the server is shutting down; use another or try later")

enum fh_wire_status {
#define FH_STATUS_ENUM(name, number, err, sentence) FH_STATUS_##name = number,
    FH_STATUS_TABLE(FH_STATUS_ENUM)
#undef FH_STATUS_ENUM
        FH_STATUS_COUNT
};

/* The status for 0 or a negative errno; -ENOMEM counts as NO_SPACE, anything unknown as IO_ERROR.
 */
enum fh_wire_status fh_status_of_errno(int rc);

/* The negative errno (0 for OK) of a number from the wire; unknown numbers give -EIO. */
int fh_status_to_errno(unsigned number);

/* "NO_SPACE"; "UNKNOWN" for a number that is none. Static storage. */
const char *fh_status_name(unsigned number);

/* The sentence for people. Static storage. */
const char *fh_status_sentence(unsigned number);

#endif
