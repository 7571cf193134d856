/*
 * assert: checks that stay on in release. A failed one is a programmer's error in the engine: it
 * prints where and stops the process. Nothing a client sends, no byte from disk and no failed
 * allocation may reach one.
 */
#ifndef FH_ALLOC_ASSERT_H
#define FH_ALLOC_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

#define FH_CHECKED __attribute__((warn_unused_result))

#define FH_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            fh_assert_failed(#condition, __FILE__, __LINE__);                                      \
    } while (0)

/* For walks over whole structures: on in test builds only (-DFH_DEEP_CHECKS=1). */
#if defined(FH_DEEP_CHECKS) && FH_DEEP_CHECKS
#define FH_ASSERT_DEEP(condition) FH_ASSERT(condition)
#else
#define FH_ASSERT_DEEP(condition) ((void)sizeof(condition))
#endif

__attribute__((noreturn, cold, unused)) static void fh_assert_failed(const char *condition,
                                                                     const char *file, int line)
{
    fprintf(stderr, "farheap: %s:%d: broken: %s\n", file, line, condition);
    abort();
}

#endif
