/*
 * list: the intrusive doubly linked list. A node is in at most one list; an unlinked node points at
 * itself.
 */
#ifndef FH_ALLOC_LIST_H
#define FH_ALLOC_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct fh_list {
    struct fh_list *next, *prev;
};

#define FH_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void fh_list_init(struct fh_list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool fh_list_is_empty(const struct fh_list *l)
{
    return l->next == l;
}

static inline void fh_list_remove(struct fh_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    fh_list_init(node);
}

static inline void fh_list_push_back(struct fh_list *l, struct fh_list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void fh_list_push_front(struct fh_list *l, struct fh_list *node)
{
    fh_list_push_back(l->next, node);
}

/* The first node, or NULL. */
static inline struct fh_list *fh_list_first(struct fh_list *l)
{
    return fh_list_is_empty(l) ? NULL : l->next;
}

/* Takes the first node off, or NULL. */
static inline struct fh_list *fh_list_pop(struct fh_list *l)
{
    struct fh_list *node = fh_list_first(l);
    if (node)
        fh_list_remove(node);
    return node;
}

#endif
