/* sleepers.h: the lists of idle Ms, of idle Ps and of Ms that wait for a P. sched.lock must be held for every call. */
#ifndef GOPY_SLEEPERS_H
#define GOPY_SLEEPERS_H

#include "runtime/sched.h"

struct p *pidleget_locked(void);                   /* an idle P, or NULL */
void pput_locked(struct p *pp);                    /* pp has no goroutines; its owner gives it up */
struct m *mget_locked(void);                       /* an idle M that takes new goroutines, or NULL */
void mput_locked(struct m *mp);                    /* mp is idle */
void pwaitput_locked(struct m *mp);                /* mp waits for a P */
void unlist_locked(struct m *mp);                  /* mp sleeps no more: off whichever list it is still on */
void wake_with_locked(struct m *mp, struct p *pp); /* mp, which is on no list any more, is to run pp */
bool kept_locked(int64_t first);                   /* will some idle M wake up for the first timer? */

#endif
