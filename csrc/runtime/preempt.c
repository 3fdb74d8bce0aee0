/* preempt.c: time slices. A goroutine that runs for 10 ms while others wait yields at its next call into gopy.
 *
 * A goroutine that has started cannot leave its thread, so fairness is made where it runs. sysmon sees an M that has not
 * scheduled for a time slice and raises the M's flag, mp->preempt (preempt_ask). Every call into gopy, parking or not,
 * begins with preempt_point(), which reads one word, sched.attention; if that is 0 no flag is up anywhere, and nothing
 * else is looked at. The M lowers its own flag, when it schedules or when its goroutine has come to a preempt_point.
 *
 * Invariant: sched.attention is the number of Ms whose flag is up, and of seeded bubbles, and one
 * more once the program ends; sched.nhogs is
 * the number of those whose flag says PREEMPT_HANDED. Whoever changes a flag counts, by what it was before.
 *
 * Once the program ends nobody is made to yield, whatever flag is up: sysmon has stopped, so what would run then might
 * never let go of the thread again.
 *
 * A flag that is raised for nothing, because nobody waits or the M has scheduled meanwhile, costs a look at the queues. */
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"

/* Called by sysmon: mp's goroutine is to yield. */
void preempt_ask(struct m *mp, enum preempt how)
{
    uint32_t was = real_peek(&mp->preempt); /* only sysmon raises it, only the M lowers it */
    if (was >= how)
        return;
    was = real_xchg(&mp->preempt, how);
    if (was == PREEMPT_NOT)
        real_add(&sched.attention, 1);
    if (how == PREEMPT_HANDED)
        real_add(&sched.nhogs, 1);
}

/* mp schedules, or is about to. */
void preempt_heard(struct m *mp)
{
    uint32_t was = real_xchg(&mp->preempt, PREEMPT_NOT);
    if (was != PREEMPT_NOT)
        real_add(&sched.attention, -1);
    if (was == PREEMPT_HANDED)
        real_add(&sched.nhogs, -1);
}

/* The program ends: from here on no call takes a fast path. */
void preempt_exiting(void)
{
    if (real_xchg(&sched.exiting, 1) == 0)
        real_add(&sched.attention, 1);
}

/* The goroutine that runs here begins or ends something in the midst of which no other may run on its thread. */
void preempt_forbid(int by)
{
    struct m *mp = getm();
    if (mp)
        mp->locks += (uint32_t)by;
}

/* Does anybody wait for mp's goroutine to yield? Then end its time slice. Goroutines that have not started do not
 * count, as they are handed to another M. An M that has lost its P takes an idle one, or is to wait for one. */
static bool yields(struct m *mp)
{
    struct p *pp = takep(mp);
    if (pp == NULL && mp->loopfd == 0)
        pp = pidleget();
    if (pp == NULL) {
        slice_ends(mp, NULL);
        return true;
    }
    if (netpollwaiters())
        netpoll_now(mp, pp);
    bool wait = mp->lockq.head || mp->yieldq.head || aload(&mp->remote) ||
                (apeek(&pp->runnext) & RUNNEXT_BOUND) || apeek(&sched.yieldp) ||
                real_peek(&sched.pwait_first) || real_peek(&ptimers(pp)->first) <= nanotime();
    if (wait)
        slice_ends(mp, pp);
    givep(mp, pp);
    return wait;
}

/* A flag is up: if it is this M's, let the others run. */
void preempt_here(void)
{
    struct m *mp = getm();
    struct g *gp = mp ? mp->curg : NULL;
    if (gp == NULL || gp->kind == GSYSTEM || mp->locks || real_load(&sched.exiting))
        return;
    if (unlikely(gp->bubble != NULL) && bubble_preempts(gp->bubble))
        gosched(mp, gp);
    if (real_peek(&mp->preempt) == PREEMPT_NOT)
        return;
    preempt_heard(mp);
    if (yields(mp)) {
        real_add(&sched.npreempted, 1);
        mp->yields_until = nanotime() + SLICE;
        gosched_slice(mp, gp);
    }
}
