/*
 * zone_private: what the parts of the zone share: zone.c, zone_objects.c, zone_check.c, mutation.c,
 * resize.c, reader.c, stage.c, names.c, typed.c, files.c, access.c, advise.c, moves.c, durables.c, commits.c,
 * poison.c.
 */
#ifndef FH_ALLOC_ZONE_PRIVATE_H
#define FH_ALLOC_ZONE_PRIVATE_H

#include "report.h"
#include "zone.h"

enum { FH_TICK_MS = 100 }; /* unit of an object's expiry */

/* A live object; -ESTALE, by one path, for everything else. */
FH_CHECKED int fh_zone_resolve(struct fh_zone *, const struct fh_ref *, struct fh_object *out);
bool fh_zone_is_expired(const struct fh_zone *, const struct fh_object *);
/* Replaces name and expiry of an object; the name may be empty. On error it keeps what it has. */
FH_CHECKED int fh_zone_set_extra(struct fh_zone *, const struct fh_object *, const void *name,
                                 size_t size, uint64_t ttl_ms);

/* A new object: block, record, key. Nothing names it but its handle. *out is untouched on error. */
FH_CHECKED int fh_zone_make(struct fh_zone *, uint32_t tenant, uint64_t size,
                            struct fh_object *out);
/* What ends every allocation: the new object expires or not, and *out says what it is. On error it
 * is dropped. */
FH_CHECKED int fh_zone_hand_out(struct fh_zone *, const struct fh_object *, uint64_t ttl_ms,
                                struct fh_object_view *out);
/* The object of a place in a slab that was just allocated. */
struct fh_object fh_zone_make_small(struct fh_zone *, const struct fh_heap_block *, uint64_t size);
/* A record and key for an object of pages whose block comes later, or never. */
FH_CHECKED int fh_zone_take_record(struct fh_zone *, uint32_t tenant, struct fh_object *out);
/* Bytes of an object become zeros, after a prepare of a ZERO span; what many pages had is dropped in
 * later turns. */
void fh_zone_zero(struct fh_zone *, struct fh_addr start, uint64_t size);
/* The object is gone: name, pages, block, record. */
void fh_zone_drop(struct fh_zone *, const struct fh_object *);
/* The same of one whose name leads to another by now. */
void fh_zone_drop_nameless(struct fh_zone *, const struct fh_object *);
/* Empties a block of pages and gives it back, now or when the last view of it ends. */
void fh_zone_give_block(struct fh_zone *, struct fh_addr, uint64_t room_bytes);
uint64_t fh_zone_new_key(struct fh_zone *);
/* The object has a version that no object ever had. */
void fh_zone_bump(struct fh_zone *, const struct fh_object *);
void fh_zone_describe(const struct fh_zone *, const struct fh_object *, struct fh_object_view *out);

/* Whether a mutation may happen: not sealed, of the wanted version, and not in a file that is only
 * read. */
FH_CHECKED int fh_zone_may_change(const struct fh_zone *, const struct fh_object *,
                                  const struct fh_cond *);
/* The file that the object lies in, or NULL. */
struct fh_file *fh_zone_file_of(const struct fh_zone *, const struct fh_object *);
/* The object that a live name leads to. */
FH_CHECKED int fh_zone_find_name(struct fh_zone *, uint32_t tenant, const void *name, size_t size,
                                 struct fh_object *out);
/* A name with its hash, which the functions below then need not compute again. */
struct fh_name fh_zone_make_name(const struct fh_zone *, uint32_t tenant, const void *name,
                                 size_t size);
/* Whether a name may be given now; on 0, *before is the id of the object that has it, or
 * FH_OBJECT_NONE. */
FH_CHECKED int fh_zone_may_name(struct fh_zone *, const struct fh_name *, const struct fh_cond *,
                                uint64_t *before);
/* Seals the object and gives it the name; what had it is freed. After may_name, in the same turn.
 */
FH_CHECKED int fh_zone_give_name(struct fh_zone *, const struct fh_object *, const struct fh_name *,
                                 uint64_t before, uint64_t ttl_ms);
/* The name of an object; of size 0 when it has none. */
struct fh_name fh_zone_name(const struct fh_zone *, const struct fh_object *);

/* Whether the name may be deleted now, and whose it is. -EAGAIN: a commit is changing that. */
FH_CHECKED int fh_zone_may_delete(struct fh_zone *, uint32_t tenant, const void *name, size_t size,
                                  const struct fh_cond *, struct fh_object *out);

/* --- durables.c, commits.c: objects in the data directory --- */

FH_CHECKED int fh_zone_durables_init(struct fh_zone *);
void fh_zone_durables_fini(struct fh_zone *);
void fh_zone_commits_turn(struct fh_zone *);
void fh_zone_commits_fini(struct fh_zone *);
bool fh_zone_commits_check(const struct fh_zone *, FILE *why);
bool fh_zone_is_durable(const struct fh_zone *, const struct fh_object *);
/* As fh_zone_make; these are objects of pages, however small. */
FH_CHECKED int fh_zone_make_durable(struct fh_zone *, uint32_t tenant, uint64_t size,
                                    struct fh_object *out);
/* As the heap's, for blocks that lie wherever. */
FH_CHECKED int fh_zone_find_block(const struct fh_zone *, struct fh_addr, struct fh_heap_block *);
FH_CHECKED int fh_zone_take_pages(struct fh_zone *, uint64_t pages, uint32_t tag, bool durable,
                                  struct fh_heap_block *out);
/* Gives back a run of the data directory, now or when nobody uses it; false: it is none. */
bool fh_zone_give_durable(struct fh_zone *, struct fh_addr);
/* For the graves: the last view of a page of the data directory has ended; false: it is not of it. */
bool fh_zone_view_left(void *ctx, struct fh_page origin);
/* Before a kept object is dropped though nobody waits for that: the catalog forgets it too. */
void fh_zone_forget_durable(struct fh_zone *, const struct fh_object *);
void fh_zone_forget_id(struct fh_zone *, uint64_t id);
/* Writes back what the data file does not have of the object; as fh_pager_sync. */
FH_CHECKED int fh_zone_sync_object(struct fh_zone *, struct fh_call *, struct fh_hold *,
                                   const struct fh_object *, struct fh_page *cursor);

/* To give a name away that this object has, the catalog must be changed; FH_OBJECT_NONE: nobody. */
bool fh_zone_needs_commit(const struct fh_zone *, uint64_t before);
/* A name for an object, one of whom, or of who had it, is durable. All bytes are safe. */
struct fh_naming {
    const void *name;
    size_t name_size;
    uint64_t id, before; /* of the object, and of who had the name, or FH_OBJECT_NONE */
    uint64_t ttl_ms;
    bool is_put;                /* without the name the object is of no use: then it is dropped */
    struct fh_object_view *out; /* while the call waits */
};
/* -EINPROGRESS: the call is parked, and decided when the commit has ended: its step is not run
 * again. The object belongs to the commit. */
FH_CHECKED int fh_zone_commit_name(struct fh_zone *, struct fh_call *, struct fh_hold *,
                                   const struct fh_naming *);
FH_CHECKED int fh_zone_commit_removal(struct fh_zone *, struct fh_call *, struct fh_hold *,
                                      const struct fh_object *);
/* Parks the call until any commit has ended: then its step looks again. */
FH_CHECKED int fh_zone_wait_for_commit(struct fh_zone *, struct fh_call *, struct fh_hold *);
/* Cancels a call that may wait for a commit, which goes on without it. */
void fh_zone_leave_commit(struct fh_zone *, struct fh_call *);

/* The object of pages lies in the block from now on, and exists. */
void fh_zone_place(struct fh_zone *, struct fh_object *, const struct fh_heap_block *,
                   uint64_t size);

/* From this byte of a small object on it reads as its initial bytes, whatever its pages hold. Others
 * are filled to their end. */
void fh_zone_set_filled(struct fh_zone *, const struct fh_object *, uint64_t filled);

/* What an object reads as where it was not written: as many bytes as it may have; NULL: zeros. */
struct fh_initial *fh_zone_initial(const struct fh_zone *, const struct fh_object *);

/* The bytes of a small object on their way to another block. */
struct fh_move {
    uint64_t version; /* of the object when they were saved; 0 = not yet */
    uint64_t filled;  /* bytes saved */
    uint8_t bytes[FH_SLAB_SIZE_MAX];
};

/* --- access.c --- */

/*
 * Tells the policy that a request touches [offset, offset + size) of the object, size > 0, and
 * what follows from it. An object of few pages of which one is in swap comes in whole, at once.
 */
struct fh_readahead_advice fh_zone_touch(struct fh_zone *, uint64_t stream,
                                         const struct fh_object *, uint64_t offset, uint64_t size,
                                         bool reads);
/* Follows the advice, once: reads ahead, leaves behind. */
void fh_zone_follow(struct fh_zone *, struct fh_readahead_advice *);

/* --- moves.c: small objects that do not lie where their handle says --- */

FH_CHECKED int fh_zone_moves_init(struct fh_zone *);
void fh_zone_moves_fini(struct fh_zone *);
void fh_zone_moves_turn(struct fh_zone *, bool *more);
/* For the pager: pages that may be given back without anybody freeing anything. */
uint64_t fh_zone_moves_make_room(void *ctx);
/* The address in the object's handle. */
struct fh_addr fh_zone_home(const struct fh_zone *, const struct fh_object *);
/* The object that left the place which its handle says; false: there is none. */
bool fh_zone_find_moved(const struct fh_zone *, const struct fh_ref *, struct fh_object *out);
/* The handle leads nowhere any more. */
void fh_zone_forget_home(struct fh_zone *, const struct fh_object *);
void fh_zone_moves_check(const struct fh_zone *, struct fh_report *);

/* --- advise.c --- */

/* Whether bytes of it are. */
bool fh_zone_is_pinned(const struct fh_zone *, const struct fh_object *);
/* These bytes, the end or all of an object, are not pinned any more. */
void fh_zone_unpin(struct fh_zone *, struct fh_addr start, uint64_t size);
/* The bytes of an object lie elsewhere from now on; to be said before their pages move there. */
void fh_zone_move_pins(struct fh_zone *, struct fh_addr from, struct fh_addr to, uint64_t size);

/* --- poison.c: without opts.debug nothing happens, and all is clean --- */

enum { FH_POISON = 0xdb };

FH_CHECKED int fh_zone_poison_init(struct fh_zone *);
void fh_zone_poison_fini(struct fh_zone *);
/* These bytes of a slab are no object's any more. */
void fh_zone_poison(struct fh_zone *, struct fh_addr start, uint64_t size);
/* These pages are NOTHING now. */
void fh_zone_unpoison(struct fh_zone *, struct fh_page first, uint64_t pages);
/* Whether nobody wrote behind the filled part of a small object's place. */
bool fh_zone_red_zone_is_clean(const struct fh_zone *, const struct fh_object *);
void fh_zone_poison_check(const struct fh_zone *, struct fh_report *);

/* Writes zeros, after a prepare that covers them: no page becomes NOTHING. */
void fh_zone_clear(struct fh_zone *, struct fh_addr, uint64_t size);
/* A step of a RESIZE of this object, which it may move; the other mutations are in mutation.c. */
FH_CHECKED int fh_zone_resize_step(struct fh_mutation *, struct fh_object *);

/* Pages that the bytes [at, at + size) lie in; size > 0. */
static inline uint64_t fh_pages_of_range(struct fh_addr at, uint64_t size)
{
    return fh_pages_for(fh_addr_in_page(at) + size);
}

#endif
