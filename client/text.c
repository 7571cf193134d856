/*
 * Theory.  The words of the library that need no client: version, statuses, handles. Statuses up to
 * 17 come from the protocol's table; the three of the client are here.
 */
#include <string.h>

#include "client/farheap.h"
#include "proto/handle.h"
#include "proto/status.h"

_Static_assert((int)FH_DRAINING == (int)FH_STATUS_DRAINING, "statuses are the protocol's numbers");
_Static_assert((int)FH_DATA_LOST == (int)FH_STATUS_DATA_LOST,
               "statuses are the protocol's numbers");
_Static_assert((int)FH_STATUS_COUNT == (int)FH_DRAINING + 1, "farheap.h lists every status");
_Static_assert((int)FH_HANDLE_TEXT == (int)FH_HANDLE_TEXT_SIZE, "a handle's text fits");

const char *fh_version(void)
{
    return FARHEAP_VERSION;
}

const char *fh_strstatus(fh_status status)
{
    switch ((int)status) {
    case FH_CONNECTION:
        return "CONNECTION";
    case FH_PROTOCOL:
        return "PROTOCOL";
    case FH_NO_MEMORY:
        return "NO_MEMORY";
    default:
        return fh_status_name((unsigned)status);
    }
}

const char *fh_hint(fh_status status)
{
    switch ((int)status) {
    case FH_CONNECTION:
        return "no connection, or it broke; is farheapd running at this address?";
    case FH_PROTOCOL:
        return "the server does not speak this protocol; compare the versions and the port";
    case FH_NO_MEMORY:
        return "this process is out of memory";
    default:
        return fh_status_sentence((unsigned)status);
    }
}

void fh_handle_format(fh_handle handle, char text[FH_HANDLE_TEXT])
{
    (void)fh_handle_print(text, handle.address, handle.key);
}

fh_status fh_handle_parse(const char *text, fh_handle *out)
{
    uint64_t address, key;

    if (!fh_handle_scan(text, strlen(text), &address, &key))
        return FH_INVALID;
    *out = (fh_handle){address, key};
    return FH_OK;
}
