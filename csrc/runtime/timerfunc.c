/* timerfunc.c: timers whose function is the embedding's.
 *
 * Such a function cannot run where timers do, with a heap locked and perhaps between two goroutines. So when it is due
 * its timer only joins sched.due. A goroutine of the runtime's own, one for all that are due at that time, then gives
 * each function a goroutine; while timers are only pending there is no such goroutine. A timer that fires again while
 * it is in sched.due is there only once, and its firings are counted. sched.duelock comes after every timers.lock. */
#include "runtime/host.h"
#include "runtime/trace.h"
#include "runtime/wait.h"

static void due(struct timer *t, int64_t now, struct gqueue *ready)
{
    struct timerfunc *tf = (struct timerfunc *)t; /* its first member */
    (void)now, (void)ready;
    if (unlikely(tf->bubble != NULL))
        bubble_hold(tf->bubble); /* until the function has a goroutine */
    lock(&sched.duelock);
    if (tf->ndue++ == 0) {
        tf->next = NULL;
        if (sched.due)
            sched.due_last->next = tf;
        else
            astore(&sched.due, tf);
        sched.due_last = tf;
    }
    unlock(&sched.duelock);
}

/* If there is no memory for the goroutine, the next timer that is due tries again. */
static void start_due(void)
{
    lock(&sched.duelock);
    bool mine = sched.due && !sched.due_starting;
    if (mine)
        sched.due_starting = 1;
    unlock(&sched.duelock);
    if (!mine)
        return;
    struct g *gp = host_newsystem(SYSTEM_TIMERS);
    if (gp == NULL) {
        lock(&sched.duelock);
        sched.due_starting = 0;
        unlock(&sched.duelock);
        return;
    }
    gp->kind = GSYSTEM;
    gp->epoch = sched.epoch;
    gp->status = Grunnable;
    globrunqput(gp);
    wake_anyone();
}

bool timerfunc_start(struct timerfunc *tf, int64_t when)
{
    /* In the child of a fork, the queue that tf may have been in is the parent's. */
    if (unlikely(tf->epoch != sched.epoch)) {
        tf->ndue = 0;
        tf->epoch = sched.epoch;
    }
    tf->timer.fn = due;
    tf->timer.when = when;
    if (when == NEVER)
        return true;
    /* A bubble's timers fire when nothing in it can run, but this one need not wait. */
    if (unlikely(tf->bubble != NULL) && when <= tf->bubble->now) {
        due(&tf->timer, when, NULL);
        start_due();
        return true;
    }
    if (!timer_add_here(&tf->timer, when, tf->bubble))
        return false;
    timer_watch();
    return true;
}

struct timerfunc *timerfunc_of(struct timer *t) { return t->fn == due ? (struct timerfunc *)t : NULL; }

bool timerfunc_stop(struct timerfunc *tf)
{
    bool was = timer_del(&tf->timer) || tf->timer.when == NEVER;
    tf->timer.when = 0;
    return was;
}

struct timerfunc *timerfunc_next(uint32_t *n)
{
    lock(&sched.duelock);
    struct timerfunc *tf = sched.due;
    if (tf) {
        astore(&sched.due, tf->next);
        *n = tf->ndue;
        tf->ndue = 0;
    } else {
        sched.due_starting = 0; /* whoever queues one after this starts another goroutine */
    }
    unlock(&sched.duelock);
    return tf;
}

void runtimers(struct timers *ts, int64_t now)
{
    struct gqueue ready = {0};
    timers_run(ts, now, &ready);
    trace_cause(getm(), CAUSE_TIMER);
    goready_due(&ready);
    trace_cause(getm(), CAUSE_UNKNOWN);
    if (unlikely(aload(&sched.due) != NULL))
        start_due();
}
