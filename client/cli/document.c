#include "client/cli/document.h"

#include <stdlib.h>

json_t *fh_document_fetch(struct fh_tool *tool, const char *view, int *code)
{
    json_error_t error;
    json_t *document;
    fh_status status;
    size_t size;
    char *json;

    if ((*code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return NULL;
    if ((status = fh_view(tool->client, view, &json, &size)) != FH_OK) {
        *code = fh_tool_fail(tool, status, NULL);
        return NULL;
    }
    document = json_loadb(json, size, 0, &error);
    free(json);
    if (document == NULL)
        *code = fh_tool_fail_local(tool, FH_PROTOCOL, NULL, "the server sent no JSON document");
    return document;
}
