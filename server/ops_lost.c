/*
 * Theory.  DATA_LOST is about pages whose stored bytes failed their check; the rest of the object is as good as ever.
 * So the answer says which bytes are gone: whoever has them elsewhere writes just these again. The engine marks a lost
 * page before it ends who waited for it, and nothing but a write or a free takes the mark away, so looking for the
 * marks when the answer is made finds them.
 */
#include <errno.h>
#include <stdio.h>

#include "ops_ask.h"

void fh_reply_failed(const struct fh_reply_to *to, int rc, const struct fh_ref *ref,
                     uint64_t offset, uint64_t size)
{
    struct fh_reply_to told = *to;
    struct fh_lost lost;
    char text[160];

    if (rc == -EBADMSG && fh_zone_lost(to->ops->zone, ref, offset, size, &lost) == 0 &&
        lost.size > 0) {
        snprintf(text, sizeof text,
                 "bytes %llu to %llu of the object%s failed their check; write them again",
                 (unsigned long long)lost.offset, (unsigned long long)(lost.offset + lost.size - 1),
                 lost.more ? ", and others behind them," : "");
        told.detail = text;
    }
    fh_reply_plain(&told, rc);
}
