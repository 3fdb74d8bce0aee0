/* sched.c: who runs next. After Go's schedule, findRunnable, gopark and goready.
 *
 * There is no scheduler goroutine: findrunnable() runs on the stack of whatever has just parked or ended, and
 * sleeps there if nothing is ready. Sources, in order: due timers; every 61st time those that come last here,
 * so that a pair which keeps readying each other cannot starve the rest; runnext; this M's bound goroutines
 * and the P's ring, in turn; the global queue and this M's yieldq; descriptors that are ready (also every 61st
 * time); other Ps' rings (threaded builds). */
#include "runtime/sched.h"
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/trace.h"

static inline struct g *unbound(uintptr_t next) { return (struct g *)(next & ~RUNNEXT_BOUND); }

void globrunqput(struct g *gp)
{
    lock(&sched.lock);
    gq_push(&sched.globq, gp);
    apoke(&sched.nglob, sched.globq.n);
    unlock(&sched.lock);
}

/* Take one from the global queue, and up to `most` - 1 more to pp's ring. */
static struct g *globrunqget(struct m *mp, struct p *pp, uint32_t most)
{
    if (likely(apeek(&sched.nglob) == 0))
        return NULL;
    lock(&sched.lock);
    uint32_t n = sched.globq.n / (uint32_t)sched.gomaxprocs + 1;
    if (n > most)
        n = most;
    struct g *gp = gq_pop(&sched.globq);
    uint32_t room = RUNQ_SIZE - runqlen(&pp->runq); /* may grow meanwhile, as others steal; never shrinks */
    /* Each is off the one list before anybody can take it off the other. */
    for (; n > 1 && room > 0 && sched.globq.head; n--, room--)
        runqput(&pp->runq, gq_pop(&sched.globq));
    apoke(&sched.nglob, sched.globq.n);
    unlock(&sched.lock);
    trace_looks(mp);
    return gp;
}

/* Queue `next` behind the others. -> whether any M may take it: then there has been a barrier, and the caller looks for
 * an idle P. */
static bool runqput_tail(struct m *mp, struct p *pp, uintptr_t next)
{
    struct g *gp = unbound(next);
    if (next & RUNNEXT_BOUND) {
        gq_push(&mp->lockq, gp);
        return false;
    }
    if (!runqput(&pp->runq, gp)) { /* full: half of it goes to the global queue */
        struct g *batch[RUNQ_SIZE / 2];
        uint32_t n = runqtake(&pp->runq, batch, RUNQ_SIZE / 2);
        lock(&sched.lock);
        for (uint32_t i = 0; i < n; i++)
            gq_push(&sched.globq, batch[i]);
        gq_push(&sched.globq, gp);
        apoke(&sched.nglob, sched.globq.n);
        unlock(&sched.lock);
    }
    /* Step 2 of the wake-up protocol (sched.h): runqput's store of the tail is only a release. */
    afence();
    return true;
}

/* Step 3 of the wake-up protocol (sched.h). With a GIL a P is woken only if none is in use. */
static inline void wakep_if(bool free_work)
{
    if (GOPY_THREADED && free_work)
        wakep();
}

/* `next`, which was pp's runnext, goes to the tail. Whoever looked for work in between saw it in neither place, so it
 * counts as newly queued. */
static void runnext_to_tail(struct m *mp, struct p *pp, uintptr_t next)
{
    if (next)
        wakep_if(runqput_tail(mp, pp, next));
}

/* Make `next` the goroutine that pp runs next; whatever was to be next goes to the tail. -> whether any M may take either:
 * then the caller looks for an idle P. The one that goes to the tail needs a barrier of its own, as somebody may take `next`,
 * run it and look again before the tail is stored. */
bool runqput_next(struct m *mp, struct p *pp, uintptr_t next)
{
    uintptr_t kicked = axchg(&pp->runnext, next); /* for `next`, this exchange is the barrier */
    bool free_work = !(next & RUNNEXT_BOUND);
    if (kicked && runqput_tail(mp, pp, kicked))
        free_work = true;
    return free_work;
}

/* Others have pushed ready goroutines that were bound to this M then, the newest first. A stackless one whose step has ended
 * since is bound no more: any M may run it, and this one may end, or run one goroutine for long, before it comes to its
 * queue. So only those that are bound still go there, and system goroutines for the main thread, which are bound once they
 * start: on another M they would find that the main thread's is not at work. */
static void take_remote(struct m *mp, struct p *pp)
{
    struct g *list = axchg(&mp->remote, (struct g *)NULL), *fifo = NULL;
    trace_looks(mp);
    while (list) {
        struct g *gp = list;
        list = gp->schedlink;
        gp->schedlink = fifo;
        fifo = gp;
    }
    while (fifo) {
        struct g *gp = fifo;
        fifo = gp->schedlink;
        if (likely(aload(&gp->boundm) == mp) || gp->kind == GSYSTEM)
            gq_push(&mp->lockq, gp);
        else
            wakep_if(runqput_tail(mp, pp, (uintptr_t)gp));
    }
}

#if !GOPY_THREADED
/* With a GIL stackless goroutines yield to their M's own queue. Give them to everybody: mp cannot run them soon, or ever. */
void shed_unbound(struct m *mp)
{
    struct gqueue yielded = mp->yieldq;
    mp->yieldq = (struct gqueue){0};
    for (struct g *gp; (gp = gq_pop(&yielded)) != NULL;)
        if (gp->boundm)
            gq_push(&mp->yieldq, gp);
        else
            globrunqput(gp);
}
#endif

/* A goroutine that has yielded, although others may not have had their turn yet. NULL while mp->yields_until lasts: then
 * the goroutine may be one that was made to yield, and it would run for a whole time slice again while each of the others
 * takes a few microseconds. */
static struct g *pick_yielded(struct m *mp)
{
    if (unlikely(mp->yields_until)) {
        if (nanotime() < mp->yields_until)
            return NULL;
        mp->yields_until = 0;
    }
    return gq_pop(&mp->yieldq);
}

/* pick() for an M that takes no new goroutines. The goroutines that have started on mp go on there, as they can nowhere
 * else. */
static struct g *pick_bound(struct m *mp, struct p *pp, uint64_t tick)
{
    struct g *gp;
    uintptr_t next = axchg(&pp->runnext, (uintptr_t)0);
    take_remote(mp, pp);
    if ((next & RUNNEXT_BOUND) && tick % 61) {
        real_poke(&pp->inherited, real_peek(&pp->inherited) + 1);
        return unbound(next);
    }
    if (tick % 61 == 0 && (gp = pick_yielded(mp)) != NULL)
        gq_push(&mp->lockq, gp);
    runnext_to_tail(mp, pp, next);
    return (gp = gq_pop(&mp->lockq)) != NULL ? gp : gq_pop(&mp->yieldq);
}

static inline void run_timers(struct timers *ts)
{
    int64_t first = real_peek(&ts->first);
    if (unlikely(first != NEVER)) {
        int64_t now = nanotime();
        if (first <= now)
            runtimers(ts, now);
    }
}

/* Every 61st time: a goroutine of one of the queues that pick() otherwise looks at last. The queues take turns. */
static struct g *pick_patient(struct m *mp, struct p *pp, uint64_t tick)
{
    struct g *gp = NULL;
    switch (tick / 61 % 3) {
    case 0:
        gp = globrunqget(mp, pp, 1);
        break;
    case 1:
        gp = gq_pop(&mp->lockq);
        break;
    }
    if (gp == NULL && (gp = pick_yielded(mp)) == NULL)
        gp = runqget(&pp->runq);
    return gp;
}

/* mp, which has pp (either may be missing), has found the goroutines of list to be ready and has claimed them. */
void injectglist(struct m *mp, struct p *pp, struct gqueue *list)
{
    bool free_work = false;
    trace_cause(mp, CAUSE_POLL);
    for (struct g *gp; (gp = gq_pop(list)) != NULL;) {
        struct m *home = aload(&gp->boundm);
        if (gp->kind < GFOREIGN && gp->bubble) {
            goready_when(gp, false);
        } else if (mp && gp->kind < GFOREIGN && home == mp) {
            if (unlikely(real_peek(&sched.tracing)))
                trace_ready(mp, gp);
            casgstatus(gp, GS(Gwaiting), Grunnable);
            gq_push(&mp->lockq, gp);
        } else if (pp && gp->kind < GFOREIGN && home == NULL) {
            if (unlikely(real_peek(&sched.tracing)))
                trace_ready(mp, gp);
            casgstatus(gp, GS(Gwaiting), Grunnable);
            free_work = runqput_tail(mp, pp, (uintptr_t)gp);
        } else {
            goready_when(gp, false);
        }
    }
    trace_cause(mp, CAUSE_UNKNOWN);
    wakep_if(free_work);
    sysmon_watch();
}

/* See which descriptors are ready, unless an idle M does. -> whether any is. */
__attribute__((noinline)) bool netpoll_now(struct m *mp, struct p *pp)
{
    struct pollevents evs;
    struct gqueue list = {0};
    if (real_load(&sched.poller))
        return false;
    if (np.backend->poll(&evs, 0) != 0)
        return false;
    real_poke(&np.npolls, real_peek(&np.npolls) + 1); /* a lost count does no harm */
    netpollready(&evs, &list);
    if (list.head == NULL)
        return false;
    injectglist(mp, pp, &list);
    return true;
}

static struct g *pick(struct m *mp, struct p *pp)
{
    uint64_t tick = real_peek(&pp->schedtick) + 1;
    struct g *gp;
    real_poke(&pp->schedtick, tick);
    run_timers(ptimers(pp));
    if (unlikely(tick % 61 == 0) && netpollwaiters())
        netpoll_now(mp, pp);
    if (unlikely(!takes_new(mp)))
        return pick_bound(mp, pp, tick);
    if (aload(&mp->remote))
        take_remote(mp, pp);
    if (unlikely(tick % 61 == 0) && (gp = pick_patient(mp, pp, tick)) != NULL)
        return gp;
    if (apeek(&pp->runnext)) {
        uintptr_t next = axchg(&pp->runnext, (uintptr_t)0);
        if (likely(next)) {
            real_poke(&pp->inherited, real_peek(&pp->inherited) + 1);
            return unbound(next);
        }
    }
    if (mp->lockq.head && ((tick & 1) || runqlen(&pp->runq) == 0))
        return gq_pop(&mp->lockq);
    if ((gp = runqget(&pp->runq)) != NULL || (gp = gq_pop(&mp->lockq)) != NULL)
        return gp;
    /* Without a GIL stackless goroutines yield to the global queue, which comes before the yieldq: not always, or they
     * would starve the goroutines that have yielded here. */
    if (GOPY_THREADED && tick % 4 == 0 && (gp = pick_yielded(mp)) != NULL)
        return gp;
    if ((gp = globrunqget(mp, pp, RUNQ_SIZE / 2)) != NULL)
        return gp;
    return gq_pop(&mp->yieldq);
}

#if GOPY_THREADED
#define LOOKS 5
#define BETWEEN_LOOKS 10000 /* ns */
#define MOMENT 2000         /* ns */

static void stole(struct p *pp, uint32_t n)
{
    pp->nsteals++;
    pp->nstolen += n;
    trace_event(getm(), TRACE_STEAL, 0, (uint64_t)pp->id | (uint64_t)n << TRACE_ID_BITS);
}

/* Take half of the victim's ring for pp, and return one of those. If the victim's ring holds a single goroutine, or only
 * its runnext is set, that goroutine is taken only from a victim that is `stuck`: one that has not scheduled since the
 * thief began to look. On a victim that does schedule, a lone goroutine often has a partner that it talks to, which could
 * not follow it to another M once both have started. */
static struct g *runqsteal(struct p *pp, struct p *victim, bool stuck)
{
    if (runqlen(&victim->runq) >= 2 || (stuck && runqlen(&victim->runq))) {
        struct g *batch[RUNQ_SIZE / 2];
        uint32_t n = runqgrab(&victim->runq, batch);
        if (n > 0) {
            stole(pp, n);
            for (uint32_t i = 1; i < n; i++)
                runqput(&pp->runq, batch[i]); /* there is room: the thief's ring was empty */
            return batch[0];
        }
    }
    uintptr_t next = aload(&victim->runnext);
    if (stuck && next && !(next & RUNNEXT_BOUND) && acas(&victim->runnext, next, 0)) {
        stole(pp, 1);
        return (struct g *)next;
    }
    return NULL;
}

/* Run the timers that are due on another P, whose M may compute. They may ready goroutines that are bound to mp: one of
 * those is returned. */
static struct g *run_timers_of(struct m *mp, struct p *victim)
{
    int64_t first = real_peek(&victim->timers.first);
    if (first == NEVER || first > nanotime())
        return NULL;
    runtimers(&victim->timers, nanotime());
    return gq_pop(&mp->lockq);
}

/* At most half of the Ps that are at work have an M that spins. */
static bool may_spin(int n) { return 2 * aload(&sched.nmspinning) < n - aload(&sched.npidle); }

/* The M that spins may be the one which mp has asked: then it is about to stop, and to answer. To sleep between question and
 * answer would cost two goroutines that have started on two Ms and talk to each other ten times as much as the rest. */
static bool may_spin_soon(struct m *mp, int n)
{
    for (int64_t until = nanotime() + MOMENT; nanotime() < until; cpu_relax())
        if (may_spin(n) || aload(&mp->remote))
            return true;
    return false;
}

static struct g *stealwork(struct m *mp, struct p *pp)
{
    /* Ps past GOMAXPROCS count, too: their Ms may be long in scheduling again. */
    int n = aload(&sched.nprocs);
    struct g *gp = NULL;
    if (n == 1)
        return NULL;
    trace_looks(mp);
    bool asked = mp->asked;
    mp->asked = false;
    /* A timer of its own that is due soon would end the sleep that it looks for work to be spared. With many timers it would
     * never sleep, and nearly always look in vain. */
    int looks = real_peek(&ptimers(pp)->first) - nanotime() < LOOKS * BETWEEN_LOOKS ? 1 : LOOKS;
    if (!mp->spinning) {
        if (!may_spin(n) && !(asked && may_spin_soon(mp, n)))
            return NULL;
        mp->spinning = true;
        aadd(&sched.nmspinning, 1);
    }
    uint64_t seen[MAXPROCS]; /* the tick of each at the first look */
    for (int look = 0; look < looks && gp == NULL; look++) {
        uint32_t offset = cheaprandn(mp, (uint32_t)n);
        for (int i = 0; i < n && gp == NULL; i++) {
            struct p *victim = aload(&sched.allp[(offset + (uint32_t)i) % (uint32_t)n]);
            if (victim == pp)
                continue;
            uint64_t tick = real_peek(&victim->schedtick);
            if (look == 0)
                seen[victim->id] = tick;
            gp = runqsteal(pp, victim, look == LOOKS - 1 && seen[victim->id] == tick);
            if (gp == NULL)
                gp = run_timers_of(mp, victim);
        }
        if (gp == NULL && (gp = globrunqget(mp, pp, RUNQ_SIZE / 2)) == NULL && aload(&mp->remote)) {
            take_remote(mp, pp);
            if ((gp = gq_pop(&mp->lockq)) == NULL)
                gp = runqget(&pp->runq);
        }
        for (int64_t until = nanotime() + BETWEEN_LOOKS;
             looks > 1 && gp == NULL && nanotime() < until && !aload(&mp->remote);)
            cpu_relax();
    }
    return gp;
}

/* The last spinning M has found work: there may be more, so let another look. */
static void resetspinning(struct m *mp)
{
    if (mp->spinning) {
        mp->spinning = false;
        if (aadd(&sched.nmspinning, -1) == 0)
            wakep();
    }
}
#endif

/* mp's time slice is over. The goroutine in runnext, which would go on with that slice, goes behind the others, and if it is
 * bound to mp it also waits until the others have had a slice (mp->yields_until). */
void slice_ends(struct m *mp, struct p *pp)
{
    preempt_heard(mp);
    uintptr_t next = pp ? axchg(&pp->runnext, (uintptr_t)0) : 0;
    if (next & RUNNEXT_BOUND) {
        gq_push(&mp->yieldq, unbound(next));
        mp->yields_until = nanotime() + SLICE;
    } else {
        runnext_to_tail(mp, pp, next);
    }
}

/* mp is about to give pp away, ring and all: a runnext that is bound to mp stays. */
void unbind_p(struct m *mp, struct p *pp)
{
    runnext_to_tail(mp, pp, axchg(&pp->runnext, (uintptr_t)0));
    astore(&mp->p, (struct p *)NULL);
}

/* If mp takes no new goroutines and has gone on with its own for 61 turns, while pp has goroutines that others may run:
 * hand pp to another M. -> whether it did; mp then has to ask for a P again. */
static bool lends_p(struct m *mp, struct p *pp)
{
    uint64_t tick = real_peek(&pp->schedtick);
    if (likely(takes_new(mp)) || tick % 61 || !has_unbound(pp))
        return false;
    real_poke(&pp->schedtick, tick + 1);
    unbind_p(mp, pp);
    handoffp(pp);
    return true;
}

struct g *findrunnable(struct m *mp)
{
    assert_none_held("findrunnable");
    struct p *pp = takep(mp);
    if (unlikely(real_peek(&mp->preempt)))
        slice_ends(mp, pp);
#if !GOPY_THREADED
    if (unlikely(!takes_new(mp)) && mp->yieldq.head) {
        shed_unbound(mp);
        if (pp == NULL && apeek(&sched.nglob))
            wake_anyone();
    }
#endif
    for (;;) {
        if (unlikely(mp->ending && mp->nbound == 0)) {
            if (pp)
                handoffp(pp);
            astore(&mp->p, (struct p *)NULL);
            return NULL;
        }
        if (unlikely(pp == NULL) && (pp = pidleget()) == NULL) {
            pp = idle(mp, NULL);
            continue;
        }
        if (unlikely(pp->id >= apeek(&sched.gomaxprocs))) {
            /* What the next P's timers ready must not go to this P. */
            astore(&mp->p, (struct p *)NULL);
            retirep(mp, pp);
            pp = NULL;
            continue;
        }
        if (unlikely(apeek(&sched.yieldp))) {
            unbind_p(mp, pp);
            yieldp(pp);
            pp = NULL;
            continue;
        }
        if (unlikely(lends_p(mp, pp))) {
            pp = NULL;
            continue;
        }
        struct g *gp = pick(mp, pp);
        if (gp == NULL && netpollwaiters() && netpoll_now(mp, pp))
            gp = pick(mp, pp);
#if GOPY_THREADED
        if (gp == NULL && takes_new(mp))
            gp = stealwork(mp, pp);
        if (gp != NULL)
            resetspinning(mp);
#endif
        if (likely(gp != NULL)) {
            rt_assert(apeek(&gp->status) == Grunnable && (!aload(&gp->boundm) || aload(&gp->boundm) == mp));
            givep(mp, pp);
            return gp;
        }
        pp = idle(mp, pp);
    }
}

/* Run others until gp, which is Gwaiting or queued, is resumed. */
void gopark(struct m *mp, struct g *gp)
{
    rt_assert(mp == getm());
    trace_stops(mp, gp);
    mp->curg = NULL;
    struct g *next = findrunnable(mp);
    if (next != gp)
        host_resume(mp, gp, next);
    mp->curg = gp;
    casgstatus(gp, GS(Grunnable), Grunning);
    trace_runs(mp, gp);
    if (unlikely(mp->loopfd))
        loop_resumed(mp);
}

/* Queue gp, which is runnable. */
__attribute__((always_inline)) static inline void queue_ready(struct g *gp, bool next)
{
    struct m *mp = getm(), *home = aload(&gp->boundm);
    sysmon_watch(); /* whoever runs here may go on for long */
    if (home != NULL && home != mp) {
        if (mp && mp->curg)
            mp->asked = true;
        readyremote(gp, home);
        return;
    }
    if (home != NULL && !next) {
        gq_push(&mp->yieldq, gp);
        if (unlikely(mp->loopfd))
            loop_wake(mp);
        return;
    }
    struct p *pp = mp ? takep(mp) : NULL;
    if (unlikely(pp == NULL)) {
        if (home) {
            gq_push(&mp->lockq, gp);
            if (mp->loopfd)
                loop_wake(mp);
        } else {
            globrunqput(gp);
            wake_anyone();
        }
        return;
    }
    bool free_work = next ? runqput_next(mp, pp, (uintptr_t)gp | (home ? RUNNEXT_BOUND : 0))
                          : runqput_tail(mp, pp, (uintptr_t)gp);
    givep(mp, pp);
    wakep_if(free_work);
}

/* Make gp, whose wait the caller has claimed, runnable: next on this P if it can run here, or behind the
 * others if it can wait. */
__attribute__((always_inline)) static inline void ready(struct g *gp, bool next)
{
    assert_none_held("goready");
    rt_assert(!apeek(&gp->armed)); /* else nobody has claimed its wait */
    if (unlikely(gp->kind >= GFOREIGN)) {
        if (gp->kind == GFOREIGN) {
            aadd(&sched.nexternal, 1); /* until it has come back from foreign_wait */
            note_wakeup(gp->note);
        } else {
            host_wake_task(gp);
        }
        return;
    }
    if (likely(gp->bubble == NULL))
        casgstatus(gp, GS(Gwaiting), Grunnable);
    else if (bubble_ready(gp->bubble, gp))
        return;
    queue_ready(gp, next);
}

void goready_kept(struct g *gp) { queue_ready(gp, true); }

/* Apart, so that a program that is not traced does not save registers for it. */
__attribute__((noinline)) static void ready_traced(struct g *gp, bool next)
{
    struct m *mp = getm();
    if (gp->kind < GFOREIGN)
        trace_ready(mp, gp);
    ready(gp, next);
}

void goready_when(struct g *gp, bool next)
{
    if (unlikely(real_peek(&sched.tracing)))
        ready_traced(gp, next);
    else
        ready(gp, next);
}

/* Let others run; gp, the running goroutine, goes behind them. */
void gosched(struct m *mp, struct g *gp)
{
    casgstatus(gp, GS(Grunning), Grunnable);
    if (likely(gp->bubble == NULL) || !bubble_yields(gp->bubble, gp))
        gq_push(&mp->yieldq, gp);
    gopark(mp, gp);
}

void gosched_slice(struct m *mp, struct g *gp)
{
    casgstatus(gp, GS(Grunning), Grunnable);
    gq_push(&mp->yieldq, gp);
    gopark(mp, gp);
}

void gosched_begin(struct g *gp)
{
    gp->wake = WAKE_OP;
    gp->reason = WAIT_NONE;
    casgstatus(gp, GS(Grunning), Grunnable);
    if (unlikely(gp->bubble != NULL) && bubble_yields(gp->bubble, gp))
        return;
    /* With a GIL any goroutine may go to this M's yieldq: should the M be stuck, sysmon sheds what others may run. */
    struct m *mp = GOPY_THREADED ? gp->boundm : getm();
    if (mp)
        gq_push(&mp->yieldq, gp);
    else
        globrunqput(gp);
}
