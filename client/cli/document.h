/*
 * document: the server's JSON documents, for the verbs that render them.
 *
 * Ownership  the document is the caller's to json_decref.
 */
#ifndef FH_CLI_DOCUMENT_H
#define FH_CLI_DOCUMENT_H

#include "client/cli/output.h"

/* Connects, fetches and parses a view; NULL after an error was told, the exit code in *code. */
json_t *fh_document_fetch(struct fh_tool *, const char *view, int *code);

#endif
