/*
 * Theory.  The due times depend on the start and the gaps alone, never on `now`: a late request
 * does not push back the ones behind it, so waiting shows up as latency instead of vanishing. They
 * are kept as one growing sum, not as next = now + gap, which would drift with each wake-up.
 */
#include "client/bench/pacer.h"

#include <math.h>

static double pacer_gap(struct fh_pacer *p)
{
    return p->poisson ? -log(fh_random_unit(&p->random)) * p->gap_ns : p->gap_ns;
}

void fh_pacer_init(struct fh_pacer *p, double rate, uint32_t index, uint32_t shares, bool poisson,
                   uint64_t start_ns, uint64_t seed)
{
    *p = (struct fh_pacer){.gap_ns = 1e9 * shares / rate,
                           .start = start_ns,
                           .poisson = poisson,
                           .random = {seed ^ (UINT64_C(0xa0761d6478bd642f) * (index + 1))}};
    p->due_ns = poisson ? pacer_gap(p) : p->gap_ns * index / shares;
}

uint64_t fh_pacer_due(const struct fh_pacer *p)
{
    return p->start + (uint64_t)p->due_ns;
}

void fh_pacer_step(struct fh_pacer *p)
{
    p->due_ns += pacer_gap(p);
}
