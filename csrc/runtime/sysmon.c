/* sysmon.c: the watchdog, a thread without a P. Every 5 ms it looks for
 *   - a time slice of 10 ms that is over, of one goroutine or of several that woke each other: whoever runs is asked to
 *     yield at its next call into gopy (preempt.c);
 *   - a P whose M has not scheduled for as long, and that has work that another M could do. If the M is outside Python,
 *     the P is taken away (retake) and handed on. If the M computes, and makes no call for another 5 ms, the P is taken
 *     away, too, and the M goes on without one. Each M that does so adds a time slice to those 5 ms: otherwise many
 *     goroutines that compute would become as many threads;
 *   - an M that computes without a P, because it had lost it outside: it is to yield, and wait for one;
 *   - an M that has waited 10 ms for a P: the next P that schedules goes to it;
 *   - timers overdue in the heap of a P that nobody runs;
 *   - descriptors that somebody waits for and nobody has polled for 10 ms.
 * It sleeps when there is nothing to watch, and works with plain reads until it has found something: only
 * then does it attach, which under the GIL means to take it. */
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"
#include "runtime/trace.h"

#define TICK 5000000
#define QUIET_TICKS 4 /* this many without work to watch, and it goes to sleep */

/* Does somebody wait for a descriptor while no M sleeps in the poller? */
static bool unpolled(void) { return netpollwaiters() && real_load(&sched.poller) == NULL; }

/* Could another M do something with pp? */
static bool wanted(struct p *pp, int64_t now)
{
    uintptr_t next = real_peek(&pp->runnext);
    return real_peek(&pp->runq.tail) != real_peek(&pp->runq.head) || (next && !(next & RUNNEXT_BOUND)) ||
           real_peek(&sched.nglob) || real_peek(&ptimers(pp)->first) <= now || real_peek(&sched.pwait_first);
}

/* Is pp's M outside Python, and not just waiting for its turn to be inside? */
static bool stuck_outside(struct m *mp)
{
    if (mp == NULL || real_load(&mp->entering) || host_attached(mp))
        return false;
#if !GOPY_THREADED
    for (struct m *other = real_load(&sched.allm); other; other = other->allnext)
        if (other != mp && host_attached(other))
            return false; /* it may only wait for the GIL */
#endif
    return true;
}

/* Hand on pp, unless its M has scheduled since `tick`. */
static void retake(struct p *pp, uint64_t tick, bool computes)
{
    struct m *mp = aload(&pp->lastm);
    if (real_peek(&pp->schedtick) != tick)
        return;
#if GOPY_THREADED
    if (mp == NULL || !acas(&mp->p, pp, (struct p *)NULL))
        return;
#else
    if (mp == NULL || mp->p != pp || pp->status != Prunning || mp->state != Mrunning)
        return;
    mp->p = NULL;
#endif
    if (computes)
        preempt_ask(mp, PREEMPT_HANDED);
    uintptr_t next = axchg(&pp->runnext, (uintptr_t)0);
    if (next & RUNNEXT_BOUND)
        readyremote((struct g *)(next & ~RUNNEXT_BOUND), mp);
    else if (next)
        globrunqput((struct g *)next);
#if !GOPY_THREADED
    shed_unbound(mp);
#endif
    real_add(&sched.nhandoffs, 1);
    trace_event(getm(), TRACE_HANDOFF, 0, (uint64_t)pp->id);
    real_poke(&pp->schedtick, tick + 1);
    handoffp(pp);
}

/* Poll if nobody has for two ticks. The events are taken detached: a busy program is disturbed only if there are any. */
static void poll_overdue(void)
{
    static uint32_t seen;
    static int ticks;
    static struct pollevents evs;
    uint32_t npolls = real_peek(&np.npolls);
    ticks = unpolled() && npolls == seen ? ticks + 1 : 0;
    seen = npolls;
    if (ticks < 2 || np.backend->poll(&evs, 0) != 0 || evs.n == 0)
        return;
    struct gqueue list = {0};
    host_sysmon_enter();
    netpollready(&evs, &list);
    injectglist(NULL, NULL, &list);
#if GOPY_THREADED
    wakep(); /* to sleep in the poller */
#endif
    host_sysmon_leave();
}

/* mp's goroutine has run for `ran` ns. If the program has asked for it (sched.preempt_after) and others wait, the
 * goroutine is to yield wherever it is. */
static void preempt(struct m *mp, int64_t ran, bool want)
{
    int64_t after = real_peek(&sched.preempt_after);
    if (likely(after == 0) || ran < after - TICK / 2)
        return;
    if (want || real_peek(&mp->lockq.n) || real_peek(&mp->yieldq.n) || real_peek(&mp->remote)) {
        preempt_ask(mp, PREEMPT_YIELD);
        host_preempt(mp);
    }
}

/* Does what runs on pp have the same time slice as at the last look? Then it is to yield once that has been long
 * enough. */
static void look_at_slice(struct p *pp, uint64_t tick, int64_t now)
{
    uint64_t slice = tick - real_peek(&pp->inherited);
    struct m *mp = real_load(&pp->lastm);
    if (slice != pp->seenslice) {
        pp->seenslice = slice;
        pp->slicewhen = now;
    } else if (now - pp->slicewhen >= SLICE - TICK / 2 && mp && real_peek(&mp->p) == pp) {
        preempt_ask(mp, PREEMPT_YIELD);
    }
}

/* pp's M has not scheduled for a time slice, or longer. */
static void look_at_hog(struct p *pp, uint64_t tick, int64_t now)
{
    struct m *mp = real_load(&pp->lastm);
    int64_t ran = now - pp->seenwhen;
    bool outside = stuck_outside(mp), want = wanted(pp, now);
    if (!outside && mp)
        preempt(mp, ran, want);
    if (!outside && ran < SLICE * (1 + (int64_t)real_peek(&sched.nhogs)) + TICK / 2)
        return;
    if (!want && !(outside && unpolled()))
        return;
    host_sysmon_enter();
    if (!outside && GOPY_THREADED && real_load(&sched.npidle))
        wakep(); /* there is a P for whoever wants this one */
    else
        retake(pp, tick, !outside);
    host_sysmon_leave();
    if (outside)
        pp->seenwhen = now;
}

/* -> whether there is anything that must go on being watched. */
static bool look(int64_t now)
{
    bool busy = false;
    int nprocs = real_load(&sched.nprocs);
    for (int i = 0; i < nprocs; i++) {
        struct p *pp = sched.allp[i];
        if (real_peek(&pp->status) != Prunning)
            continue;
        uint64_t tick = real_peek(&pp->schedtick);
        busy |=
            wanted(pp, now) || unpolled() || real_peek(&ptimers(pp)->first) != NEVER || tick != pp->seentick;
        look_at_slice(pp, tick, now);
        if (tick != pp->seentick) {
            pp->seentick = tick;
            pp->seenwhen = now;
        } else if (now - pp->seenwhen >= SLICE - TICK / 2) {
            look_at_hog(pp, tick, now);
        }
    }
    return busy;
}

/* An M that had lost its P outside, and came back, runs on until it next schedules. */
static bool look_for_ms_without_p(void)
{
    bool busy = false;
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext) {
        if (real_peek(&mp->p) || real_peek(&mp->state) != Mrunning || real_load(&mp->entering)) {
            mp->without_p = 0;
        } else if (host_attached(mp)) {
            busy = true;
            if (mp->without_p < UINT8_MAX)
                mp->without_p++;
            preempt(mp, mp->without_p * TICK, true);
            if (mp->without_p > SLICE / TICK)
                preempt_ask(mp, PREEMPT_YIELD);
        }
    }
    return busy;
}

/* Is there an M that has no P and may compute all the same? At one look, or at a few, it may just wait for the GIL. */
static bool ms_without_p(void)
{
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext)
        if (real_peek(&mp->p) == NULL && real_peek(&mp->state) == Mrunning)
            return true;
    return false;
}

/* A bubble may wait for something that does not come, while the thread of whoever waits for the bubble is stuck. */
static void look_at_bubbles(int64_t now)
{
    static int64_t looked;
    if (likely(real_load(&sched.nbubbles) == 0) || now - looked < 1000000000)
        return;
    looked = now;
    host_sysmon_enter();
    bubbles_look(now);
    host_sysmon_leave();
}

void sysmon(void)
{
    static struct m *waited;
    int quiet = 0;
    for (;;) {
        if (quiet >= QUIET_TICKS) {
            note_clear(&sched.sysmon_note);
            real_xchg(&sched.sysmon_asleep, 1);
            bool all_idle = real_load(&sched.npidle) >= real_load(&sched.gomaxprocs) &&
                            real_load(&sched.nbubbles) == 0 && !ms_without_p();
            note_sleep(&sched.sysmon_note, nanotime() + (all_idle ? 60000000000 : 250000000));
            real_xchg(&sched.sysmon_asleep, 0);
            quiet = 0;
        }
        struct timespec ts = {0, TICK};
        nanosleep(&ts, NULL);
        if (real_load(&sched.exiting))
            return;
        int64_t now = nanotime();
        struct m *pwait = real_load(&sched.pwait_first);
        bool busy = host_sysmon_tick(now);
        poll_overdue();
        busy |= look(now) || pwait;
        busy |= look_for_ms_without_p();
        look_at_bubbles(now);
        if (pwait && pwait == waited)
            real_store(&sched.yieldp, 1);
        waited = pwait;
        if (GOPY_THREADED && real_load(&sched.npidle) && !real_load(&sched.nmspinning)) {
            for (int i = 0; i < real_load(&sched.nprocs); i++)
                if (real_peek(&sched.allp[i]->timers.first) <= now - TICK) {
                    host_sysmon_enter();
                    wakep();
                    host_sysmon_leave();
                    break;
                }
        }
        quiet = busy ? 0 : quiet + 1;
    }
}

/* Called attached: start it, or end its sleep. */
void sysmon_wake(void)
{
    assert_none_held("sysmon_wake");
    if (acas(&sched.sysmon_running, 0, 1)) {
        if (!host_newsysmon())
            astore(&sched.sysmon_running, 0);
    } else if (real_xchg(&sched.sysmon_asleep, 0)) {
        note_wakeup(&sched.sysmon_note);
    }
}
