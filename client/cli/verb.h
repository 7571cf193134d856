/*
 * verb: one word of the command line: its form, its options, what it does. Each family has a table
 * in verbs_<family>.c; main joins them.
 */
#ifndef FH_CLI_VERB_H
#define FH_CLI_VERB_H

#include <stdint.h>

#include "client/cli/args.h"
#include "client/cli/output.h"

struct fh_verb {
    const char *name; /* NULL ends a table */
    const char *form; /* what follows the name */
    const char *help; /* one line */
    uint64_t options; /* beyond the global ones; FH_ARG_BIT */
    int least, most;  /* operands; most < 0: any number */
    int (*run)(struct fh_tool *, const struct fh_args *);
};

extern const struct fh_verb fh_verbs_names[];
extern const struct fh_verb fh_verbs_memory[];
extern const struct fh_verb fh_verbs_advise[];
extern const struct fh_verb fh_verbs_ranges[];
extern const struct fh_verb fh_verbs_caches[];
extern const struct fh_verb fh_verbs_files[];
extern const struct fh_verb fh_verbs_look[];
extern const struct fh_verb fh_verbs_config[];
extern const struct fh_verb fh_verbs_service[];

#endif
