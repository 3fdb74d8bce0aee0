/* sync_cond.c: Cond, after Go's notifyList in runtime/sema.go.
 *
 * A waiter is on q from before L is unlocked, so no signal is lost in between. Until it has parked, `casei` of
 * its sudog is 0 and there is nobody to wake: the signal is left in `success`. */
#include "runtime/sudog.h"
#include "runtime/sync.h"

void condadd(struct cond *c, struct g *gp, struct sudog *sg)
{
    *sg = (struct sudog){.g = gp};
    lock(&c->lock);
    enqueue(&c->q, sg);
    unlock(&c->lock);
}

/* Signal the first waiter. false: there is none. *woken: to be readied, if it is parked already. */
static bool signal_locked(struct cond *c, struct g **woken)
{
    assert_held(&c->lock);
    *woken = NULL;
    for (struct sudog *sg; (sg = c->q.first) != NULL;) {
        dequeue_sudog(&c->q, sg);
        if (sg->g->epoch != sched.epoch)
            continue;
        if (sg->casei && !wait_claim(sg->g)) /* it has timed out */
            continue;
        *woken = sg->casei ? sg->g : NULL;
        sg->success = true;
        return true;
    }
    return false;
}

void condsignal(struct cond *c)
{
    struct g *woken = NULL;
    lock(&c->lock);
    if (c->q.first)
        signal_locked(c, &woken);
    unlock(&c->lock);
    if (woken)
        goready(woken);
}

void condsignal_many(struct cond *c, size_t n)
{
    struct gqueue woken = {0};
    struct g *gp;
    lock(&c->lock);
    for (; n > 0 && signal_locked(c, &gp); n--)
        if (gp)
            gq_push(&woken, gp);
    unlock(&c->lock);
    goready_all(&woken);
}

size_t condlen(struct cond *c)
{
    size_t n = 0;
    lock(&c->lock);
    for (struct sudog *sg = c->q.first; sg; sg = sg->next)
        n += sg->g->epoch == sched.epoch;
    unlock(&c->lock);
    return n;
}

void condremove(struct cond *c, struct sudog *sg)
{
    lock(&c->lock);
    dequeue_sudog(&c->q, sg);
    bool signalled = sg->success;
    unlock(&c->lock);
    if (signalled) /* that was for another one */
        condsignal(c);
}

enum sync_result condwait_begin(struct cond *c, struct g *gp, struct sudog *sg)
{
    enum sync_result r = SYNC_OK;
    lock(&c->lock);
    if (!sg->success) {
        wait_begin(gp, WAIT_SYNC_COND_WAIT | durably(gp, c->bubble));
        sg->casei = 1;
        r = SYNC_PARK;
    }
    unlock(&c->lock);
    return r;
}

enum sync_result condwait_finish(struct cond *c, struct sudog *sg, enum wake w)
{
    if (likely(w == WAKE_OP))
        return SYNC_OK;
    lock(&c->lock);
    dequeue_sudog(&c->q, sg);
    unlock(&c->lock);
    return SYNC_ENDED;
}
