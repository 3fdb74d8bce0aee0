/* wait.c: how the wait of a goroutine ends: by its waker, its deadline, or an interrupt. See wait.h. */
#include "runtime/wait.h"

#include "runtime/host.h"
#include "runtime/synctest.h"

/* Add t to the heap of b, or, if that is NULL, of this thread's P, or, if it has none, of the first P. The caller calls sysmon_watch() once it
 * holds no lock. false: out of memory. */
bool timer_add_here(struct timer *t, int64_t when, struct bubble *b)
{
    if (unlikely(b != NULL))
        return timer_add(&b->timers, t, when);
    struct m *mp = getm();
    struct p *pp = mp ? takep(mp) : NULL;
    bool ok = timer_add(ptimers(pp ? pp : sched.allp[0]), t, when);
    if (pp)
        givep(mp, pp);
    return ok;
}

static void wait_timeout(struct timer *t, int64_t now, struct gqueue *ready)
{
    struct g *gp = ((struct gwait *)((char *)t - offsetof(struct gwait, timer)))->sg.g;
    (void)now;
    if (wait_claim(gp)) {
        gp->wake = WAKE_TIMEOUT;
        gq_push(ready, gp);
    }
}

bool gowait_arm(struct g *gp, int64_t deadline)
{
    struct bubble *b = bubble_of(gp);
    gp->wait->timer.fn = wait_timeout;
    gp->wait->timer.periodic = false;
    if (unlikely(b != NULL) && !(gp->reason & WAIT_DURABLE)) {
        if (gp->reason != WAIT_IO) /* a descriptor's deadlines are real ones */
            deadline = bubble_real(b, deadline);
        b = NULL;
    }
    bool ok = timer_add_here(&gp->wait->timer, deadline, b);
    sysmon_watch();
    return ok;
}

static enum wake cancel_wait(struct g *gp, enum wake how)
{
    gp->wake = how;
    casgstatus(gp, GS(Gwaiting), Grunning);
    return how;
}

/* Park gp, which has begun a wait and is on the queues it wants to be on, until it is woken, interrupted, or
 * nanotime() reaches the deadline. */
enum wake gowait(struct g *gp, int64_t deadline)
{
    assert_none_held("gowait");
    if (unlikely(gp->kind == GFOREIGN))
        return foreign_wait(gp, deadline);
    struct m *mp = gp->boundm;
    if (unlikely(gp == sched.g1) && unlikely(host_interrupt_pending()) && wait_claim(gp))
        return cancel_wait(gp, WAKE_INTERRUPT);
    if (deadline != NEVER && !gowait_arm(gp, deadline) && wait_claim(gp))
        return cancel_wait(gp, WAKE_NOMEM);
    wait_since(gp);
    if (unlikely(gp->bubble != NULL)) {
        if (bubble_cancels(gp->bubble, gp) && wait_claim(gp)) {
            if (deadline != NEVER)
                timer_del(&gp->wait->timer);
            return cancel_wait(gp, WAKE_GOEXIT);
        }
        bubble_park(gp->bubble, gp);
    }
    gopark(mp, gp);
    if (deadline != NEVER)
        timer_del(&gp->wait->timer);
    wait_counts(gp);
    return gp->wake;
}

bool gointerrupt(struct g *gp)
{
    if (!wait_claim(gp))
        return false;
    gp->wake = WAKE_INTERRUPT;
    goready(gp);
    return true;
}
