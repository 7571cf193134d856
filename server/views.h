/*
 * views: what can be seen of a node, as JSON documents: for the Info operation and for HTTP.
 *
 * A zone renders its part on its own thread; the asker joins the parts.
 *
 * Ownership  an answer belongs to the gather that asked for it; a document to the caller, who frees
 *            it.
 * Errors     NULL: no memory.
 */
#ifndef FH_SERVER_VIEWS_H
#define FH_SERVER_VIEWS_H

#include <stddef.h>

#include "config.h"
#include "metrics.h"

/* What a zone says for a view. */
struct fh_view_answer {
    struct fh_figures figures;
    void *json; /* a json_t array or object; NULL for views made of figures alone */
};

/* On the zone's thread. `counters` is what the zone's thread counted so far. */
struct fh_view_answer *fh_view_answer_create(const char *view, const struct fh_zone *,
                                             const struct fh_counters *counters);
void fh_view_answer_destroy(struct fh_view_answer *);

/* The document of a view from the answers of all zones, some of which may be NULL. */
char *fh_view_render(const char *view, const struct fh_node_figures *, const struct fh_config *,
                     struct fh_view_answer *const *answers, uint32_t count);

#endif
