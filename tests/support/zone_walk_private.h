/*
 * zone_walk_private: what the parts of the walk share.
 */
#ifndef FH_TESTS_ZONE_WALK_PRIVATE_H
#define FH_TESTS_ZONE_WALK_PRIVATE_H

#include <stdio.h>

#include "tests/support/zone_walk.h"

#define WRONG(w, ...)                                                                              \
    do {                                                                                           \
        if ((w)->wrong[0] == 0)                                                                    \
            snprintf((w)->wrong, sizeof((w)->wrong), __VA_ARGS__);                                 \
    } while (0)

void walk_object_forget(struct walk_object *o, uint32_t keep);
/* A new version, a copy of the last one cut or grown with zeros, or initial bytes, to `size`. */
uint8_t *walk_object_version(struct walk_object *o, uint64_t size);
void walk_object_is(struct walk_object *o, const struct fh_object_view *view);
/* What a mutation made is what the file may get. */
void walk_object_note(struct walk_object *o);
void walk_object_die(struct walk_object *o);
/* The file's pages may be these from now on. */
void walk_file_note(struct walk_file *f, const uint8_t *bytes);
/* Each page is one that it was since the last sync. Where the disk fails it tears pages. */
void walk_file_check(struct zone_walk *w, const struct walk_object *o);
void walk_file_forget(struct walk_file *f, uint32_t before);
void walk_file_free(struct walk_file *f);
/* Errors that the walk provokes: full memory, a failing disk, objects longer than such a zone's
 * requests. */
bool walk_is_excused(struct zone_walk *w, int rc);
void walk_random_bytes(void *ctx, void *buf, size_t size);
void walk_begin_sync(struct zone_walk *w, struct walk_call *c);
void walk_begin_sync_of_some(struct zone_walk *w, struct walk_call *c);
void walk_begin_mutation(struct zone_walk *w, struct walk_call *c);
void walk_begin_read(struct zone_walk *w, struct walk_call *c);
void walk_begin_stage(struct zone_walk *w, struct walk_call *c);
void walk_go_on_with_stage(struct zone_walk *w, struct walk_call *c);
void walk_cancel(struct zone_walk *w, struct walk_call *c);
void walk_begin_advise(struct zone_walk *w, struct walk_call *c);
void walk_advise_end(struct walk_call *c, int rc);
void walk_call_over(struct walk_call *c);
void walk_call_done(struct fh_call *call);

#endif
