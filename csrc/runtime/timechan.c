/* timechan.c: see timechan.h for what must hold. */
#include "runtime/timechan.h"

static struct timechan *timechan_of(struct hchan *c) { return (struct timechan *)c; }

/* Send what is due, without waiting. Called with the timer's heap locked, or with tc->lock and in no heap. */
static void fire(struct timer *t, int64_t now, struct gqueue *ready)
{
    struct timechan *tc = (struct timechan *)((char *)t - offsetof(struct timechan, timer));
    int64_t due = t->when;
    tc->sent = due;
    t->when = tc->period ? due + tc->period * (1 + (now - due) / tc->period) : 0;
    chansend_due(&tc->c, (void *)(uintptr_t)due, ready);
}

void timechan_init(struct timechan *tc, int64_t when, int64_t period)
{
    *tc = (struct timechan){.period = period, .epoch = sched.epoch};
    lock_init(&tc->lock, RANK_TIMECHAN);
    chaninit(&tc->c, 0);
    tc->c.flags |= CHAN_TIMED;
    tc->c.size = 1;
    tc->c.buf = &tc->slot;
    tc->timer.fn = fire;
    tc->timer.when = when;
}

/* In the child of a fork: those who waited, and whoever held the lock, are the parent's. */
static void renew(struct timechan *tc)
{
    lock(&sched.lock);
    if (tc->epoch != sched.epoch) {
        tc->timer.heap = NULL;
        lock_init(&tc->lock, RANK_TIMECHAN);
        tc->blocked = 0;
        astore(&tc->epoch, sched.epoch);
    }
    unlock(&sched.lock);
}

static void lock_timer(struct timechan *tc)
{
    if (unlikely(aload(&tc->epoch) != sched.epoch))
        renew(tc);
    lock(&tc->lock);
}

void timechan_end(struct timechan *tc)
{
    if (unlikely(tc->timer.heap != NULL))
        timer_del(&tc->timer);
}

/* If somebody waits it must be in a heap, unless it is stopped. false: out of memory. */
static bool arm_locked(struct timechan *tc, struct g *gp)
{
    assert_held(&tc->lock);
    if (tc->blocked == 0 || aload(&tc->timer.heap) != NULL)
        return true;
    int64_t when = tc->timer.when; /* not before: in a heap, it is the heap's */
    struct bubble *b = likely(tc->c.bubble == 0) ? NULL : bubble_calling(gp);
    tc->timer.periodic = tc->period != 0;
    if (unlikely(b != NULL) && tc->period && b->done) /* its ticks are over */
        return true;
    return when == 0 || when == NEVER || timer_add_here(&tc->timer, when, b);
}

void timechan_poll(struct hchan *c, struct g *gp)
{
    struct timechan *tc = timechan_of(c);
    struct gqueue ready = {0};
    lock_timer(tc);
    if (aload(&tc->timer.heap) == NULL && tc->timer.when != 0) {
        int64_t now = bubble_now(likely(c->bubble == 0) ? NULL : bubble_calling(gp));
        if (tc->timer.when <= now)
            fire(&tc->timer, now, &ready);
    }
    unlock(&tc->lock);
    goready_due(&ready);
}

bool timechan_block(struct hchan *c, struct g *gp)
{
    struct timechan *tc = timechan_of(c);
    struct m *mp = getm();
    lock_timer(tc);
    tc->blocked++;
    bool ok = arm_locked(tc, gp);
    if (!ok)
        tc->blocked--;
    unlock(&tc->lock);
    /* If gp runs on this M, the M schedules next, and sees the timer. */
    if (mp == NULL || mp->curg != gp)
        timer_watch();
    else
        sysmon_watch();
    return ok;
}

void timechan_unblock(struct hchan *c)
{
    struct timechan *tc = timechan_of(c);
    lock_timer(tc);
    if (tc->blocked > 0 && --tc->blocked == 0)
        timer_del(&tc->timer);
    unlock(&tc->lock);
}

/* Stop the timer. -> what timechan_stop returns. */
static bool disarm_locked(struct timechan *tc)
{
    assert_held(&tc->lock);
    timer_del(&tc->timer);
    bool pending = tc->timer.when != 0;
    tc->timer.when = tc->sent = 0;
    lock(&tc->c.lock);
    pending |= tc->c.count > 0;
    apoke(&tc->c.count, 0); /* of a buffer of one, that is all */
    unlock(&tc->c.lock);
    return pending;
}

void timechan_unrecv(struct timechan *tc, double seconds)
{
    struct gqueue ready = {0};
    lock_timer(tc);
    if (tc->sent != 0 && timechan_value(&tc->c, (void *)(uintptr_t)tc->sent) == seconds)
        chansend_due(&tc->c, (void *)(uintptr_t)tc->sent, &ready);
    unlock(&tc->lock);
    goready_due(&ready);
}

bool timechan_stop(struct timechan *tc)
{
    lock_timer(tc);
    bool pending = disarm_locked(tc);
    unlock(&tc->lock);
    return pending;
}

bool timechan_reset(struct timechan *tc, int64_t when, int64_t period, bool *was)
{
    lock_timer(tc);
    *was = disarm_locked(tc);
    tc->timer.when = when;
    tc->period = period;
    bool ok = arm_locked(tc, NULL), waits = tc->blocked > 0;
    if (!ok)
        tc->timer.when = 0;
    unlock(&tc->lock);
    if (waits)
        timer_watch();
    return ok;
}
