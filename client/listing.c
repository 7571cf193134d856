/*
 * Theory.  An answer's body is a row of entries, each behind its size as u32 LE; its cursor says
 * where the next answer goes on, 0 that there is none. The entries told must be as many as the
 * answer says. An answer that brings nothing and leads nowhere is refused, or the loop had no end.
 */
#include "client/listing.h"

#include <errno.h>
#include <stdlib.h>

int fh_listing_begin(struct fh_listing *l)
{
    l->stopped = false;
    l->arena = malloc(sizeof(*l->arena));
    return l->arena != NULL ? 0 : -ENOMEM;
}

void fh_listing_end(struct fh_listing *l)
{
    free(l->arena);
    l->arena = NULL;
}

static uint32_t load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Tells the entries of one answer; false when it is not a run of entries. */
static bool entries_tell(struct fh_listing *l, const struct fh_answer *answer)
{
    const uint8_t *bytes = (const uint8_t *)answer->text;
    size_t left = answer->body_size;
    uint32_t count = 0;

    while (left > 0 && !l->stopped) {
        uint32_t size;

        if (left < 4 || (size = load_u32(bytes)) > left - 4 || !l->tell(l, bytes + 4, size))
            return false;
        bytes += 4 + size;
        left -= 4 + (size_t)size;
        count++;
    }
    return l->stopped || count == answer->entries;
}

fh_status fh_listing_run(struct fh_client *c, struct fh_call *call, uint32_t zone,
                         struct fh_listing *l)
{
    call->offset = 0;
    do {
        struct fh_answer answer;
        fh_status status = fh_request_run(c, call, zone, &answer);
        bool sound = status != FH_OK || entries_tell(l, &answer);

        free(answer.text);
        if (status != FH_OK)
            return status;
        if (!sound || (answer.entries == 0 && answer.cursor == call->offset && answer.cursor != 0))
            return fh_client_fail(c, FH_PROTOCOL, "%s: the server sent no proper list", l->word);
        call->offset = answer.cursor;
    } while (call->offset != 0 && !l->stopped);
    return FH_OK;
}
