/* wait.h: how a goroutine waits.
 *
 * Waiting, whatever for, is always the same four steps:
 *     wait_begin(gp, reason)   gp is Gwaiting and armed, before any waker can see it
 *     enqueue                  its sudog on a queue, under that queue's lock
 *     gowait(gp, deadline)     park; -> how it ended
 *     finish                   unless WAKE_OP: take the sudog off its queue again
 * and waking is: take the sudog off the queue, wait_claim(gp), and only if that was true, goready(gp). */
#ifndef GOPY_WAIT_H
#define GOPY_WAIT_H

#include "runtime/host.h"
#include "runtime/sched.h"

static inline void wait_begin(struct g *gp, uint8_t reason)
{
    rt_assert(!apeek(&gp->armed)); /* one wait at a time */
    gp->reason = reason;
    gp->fired = NULL;
    gp->wake = WAKE_OP;
    /* A stackless one finishes a wait, and may begin it again, before its step begins: it is still runnable. */
    casgstatus(gp, GS(Grunning) | (gp->kind == GSTACKLESS ? GS(Grunnable) : 0), Gwaiting);
    astore_sc(&gp->armed, 1);
}

static inline bool wait_claim(struct g *gp)
{
#if GOPY_THREADED
    return apeek(&gp->armed) && axchg(&gp->armed, 0) == 1;
#else
    bool was = gp->armed;
    gp->armed = 0;
    return was;
#endif
}

/* gp's wait has begun. For who is to be told how long it was: exact only while somebody counts. */
static inline void wait_since(struct g *gp)
{
    apoke(&gp->waitsince, unlikely(real_peek(&sched.profiling)) ? nanotime() : nanotime_coarse());
}

/* The same for who is about to queue on a lock: whoever lets go of that may look before gowait. */
static inline void wait_since_exactly(struct g *gp)
{
    if (unlikely(real_peek(&sched.profiling)))
        apoke(&gp->waitsince, nanotime());
}

/* gp's wait has ended, and gp goes on. */
static inline void wait_counts(struct g *gp)
{
    if (unlikely(real_peek(&sched.profiling) & PROFILE_BLOCK))
        host_profile_wait(gp, PROFILE_BLOCK);
}

/* gp, which the caller has claimed and not readied yet, waits for a lock that the caller has let go of. */
static inline void unlock_counts(struct g *gp)
{
    if (unlikely(real_peek(&sched.profiling) & PROFILE_MUTEX))
        host_profile_wait(gp, PROFILE_MUTEX);
}

/* Park gp, which has begun a wait and is on the queues that it wants to be on. -> how the wait ended */
enum wake gowait(struct g *gp, int64_t deadline);
bool gointerrupt(struct g *gp); /* end its wait with WAKE_INTERRUPT; false: it is not waiting */
/* End the wait that gp has begun at the deadline (on its bubble's clock if the wait is durable, else on the real one), for a gp that does not park by gowait(). timer_del() undoes it. false:
 * out of memory. */
bool gowait_arm(struct g *gp, int64_t deadline);
bool timer_add_here(struct timer *t, int64_t when, struct bubble *b); /* false: out of memory */

#endif
