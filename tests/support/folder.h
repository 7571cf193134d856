/*
 * folder: removes what a test left in a folder of its own.
 */
#ifndef FH_TESTS_FOLDER_H
#define FH_TESTS_FOLDER_H

#include <ftw.h>
#include <stdio.h>

static inline int folder_remove_entry(const char *path, const struct stat *status, int kind,
                                      struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

/* The folder and all below it; symbolic links are removed, not followed. */
static inline void folder_remove(const char *path)
{
    (void)nftw(path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
