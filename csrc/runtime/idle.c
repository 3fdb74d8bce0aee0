/* idle.c: an M that finds nothing to run gives up its P and sleeps.
 *
 * Invariant: no goroutine waits while a P that may run it is idle. The wake-up protocol in sched.h, whose steps are
 * numbered here and in wake.c, keeps it. With the GIL each step is atomic, and a P is woken only if none is in use: another
 * one could not run anyway, unless the first is stuck outside Python, and that sysmon sees.
 *
 * One idle M, the keeper, sleeps only until the next timer; the others until they are woken. If any goroutine
 * waits for a descriptor, the first M to go idle, the poller, sleeps in the poller instead of on its note, which
 * then knows how to break that. */
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sleepers.h"
#include "runtime/trace.h"

/* Does mp have a ready goroutine that only it can run? */
bool has_bound_work(struct m *mp)
{
    if (aload_sc(&mp->remote))
        return true;
    return mp->lockq.head != NULL || mp->yieldq.head != NULL;
}

#if GOPY_THREADED
bool work_anywhere(void)
{
    if (aload_sc(&sched.nglob))
        return true;
    for (int i = 0; i < aload(&sched.nprocs); i++) {
        struct p *pp = sched.allp[i];
        uintptr_t next = aload_sc(&pp->runnext);
        if (runqlen(&pp->runq) || (next && !(next & RUNNEXT_BOUND)))
            return true;
    }
    return false;
}

/* mp has published that it is idle; it was spinning until then if `spun`. If work has come in the meantime mp is not
 * idle any more: -> a P to run. NULL: sleep. */
static struct p *recheck(struct m *mp, bool spun)
{
    if (spun)
        aadd(&sched.nmspinning, -1);
    afence(); /* step 2 */
    if (!work_anywhere())
        return NULL;
    if (!takes_new(mp)) { /* the work is for another M */
        wakep();
        return NULL;
    }
    lock(&sched.lock);
    struct p *pp = NULL;
    if (mp->state == Midle && (pp = pidleget_locked()) != NULL)
        unlist_locked(mp);
    unlock(&sched.lock);
    if (pp) {
        mp->spinning = true;
        aadd(&sched.nmspinning, 1);
    }
    return pp;
}
#endif

/* Is there anything to do with pp for an M that has no goroutines of its own? */
bool has_free_work(struct p *pp)
{
    return apeek(&pp->runnext) || has_unbound(pp) || real_peek(&ptimers(pp)->first) <= nanotime();
}

/* Queue a system goroutine on the main thread's M, which alone may run it. */
static void start_system(struct m *mp, enum systemwork work)
{
    struct g *gp = host_newsystem(work);
    if (gp == NULL)
        return;
    gp->kind = GSYSTEM;
    gp->epoch = sched.epoch;
    gp->status = Grunnable;
    if (mp == &sched.m0)
        gq_push(&mp->lockq, gp);
    else
        readyremote(gp, &sched.m0);
}

/* mp is idle: is it to sleep in the poller? */
static bool becomes_poller_locked(struct m *mp)
{
    assert_held(&sched.lock);
    if (likely(!netpollwaiters()) || sched.poller || sched.npidle == 0 || mp->state != Midle)
        return false;
    real_store(&sched.poller, mp);
    real_store(&mp->park.breakfd, np.breakfd);
    return true;
}

static void leave_poller_locked(struct m *mp)
{
    assert_held(&sched.lock);
    real_store(&mp->park.breakfd, 0);
    real_store(&sched.poller, (struct m *)NULL);
}

/* What mp's thread leaves Python by for a sleep, and comes back by. With a GIL others may run first. */
static void *detach(struct m *mp) { return mp == &sched.m0 ? host_leave() : host_rest(); }

static void attach(struct m *mp, void *left)
{
    bool traced = !GOPY_THREADED && real_peek(&sched.tracing);
    int64_t since = unlikely(traced) ? nanotime() : 0;
    if (mp == &sched.m0)
        host_enter(left);
    else
        host_back(left);
    if (unlikely(traced))
        trace_event(mp, TRACE_GIL, 0, (uint64_t)(nanotime() - since));
}

/* Sleep, detached, until woken, or for as long as it may be. */
static enum note_result sleep_idle(struct m *mp, int64_t until, struct pollevents *polls)
{
    enum note_result r = NOTE_INTERRUPTED;
    real_store(&mp->entering, true);
    void *left = detach(mp);
    while (r == NOTE_INTERRUPTED) {
        r = polls ? netpollsleep(&mp->park, polls, until) : note_sleep(&mp->park, until);
        if (mp == &sched.m0)
            break;
    }
    attach(mp, left);
    real_store(&mp->entering, false);
    return r;
}

/* Sleep. mp is on the list of idle Ms, or of those that wait for a P, already. -> as idle() */
static struct p *sleep_listed(struct m *mp, int64_t until, int64_t look, bool polls)
{
    static struct pollevents polled; /* the poller's: there is one at a time */
    struct gqueue list = {0};
    enum note_result r = sleep_idle(mp, look < until ? look : until, polls ? &polled : NULL);
    if (polls)
        netpollready(&polled, &list);
    lock(&sched.lock);
    if (polls)
        leave_poller_locked(mp);
    struct p *pp = mp->state == Mrunning ? mp->nextp : NULL;
    mp->nextp = NULL;
    unlist_locked(mp);
    if (pp == NULL)
        pp = pidleget_locked();
    unlock(&sched.lock);
    if (list.head)
        injectglist(mp, pp, &list);
    /* Nobody polls from here on, and what runs here next may not come back for long. */
    if (polls)
        sysmon_watch();
#if GOPY_THREADED
    /* What is due may be in the heap of a P that this M has not got. */
    if (r == NOTE_TIMEOUT)
        for (int i = 0; i < aload(&sched.nprocs); i++)
            runtimers(&sched.allp[i]->timers, nanotime());
#endif
    if (r == NOTE_INTERRUPTED || (r == NOTE_TIMEOUT && look < until)) {
        sched.look_tick = total_ticks();
        start_system(mp, SYSTEM_SIGNALS);
    }
    return pp;
}

static struct p *give_up(struct m *mp, struct p *pp)
{
    int64_t until = NEVER, tidy = NEVER, look = mp == &sched.m0 ? signal_look() : NEVER;
    /* pp is back in its slot meanwhile: host_tidy() ends workers, which may let go of the GIL, and then sysmon may hand pp to
     * another M. */
    if (pp)
        givep(mp, pp);
    bool tidied = host_tidy(mp, &tidy);
    if (pp)
        pp = takep(mp);
    if (tidied)
        return pp;
    if (pp && !takes_new(mp) && has_free_work(pp)) { /* the work is for another M */
        startm(pp, false);
        pp = NULL;
    }
    lock(&sched.lock);
    if (pp && sched.globq.n && takes_new(mp)) {
        unlock(&sched.lock);
        return pp;
    }
    if (pp)
        pput_locked(pp);
    astore(&mp->p, (struct p *)NULL);
    note_clear(&mp->park);
    mput_locked(mp);
    afence(); /* step 2 */
    bool bound = has_bound_work(mp);
    if (bound || (sched.globq.n && sched.npidle && takes_new(mp))) {
        unlist_locked(mp);
        pp = pidleget_locked();
        if (pp) {
            unlock(&sched.lock);
            return pp;
        }
        pwaitput_locked(mp);
    } else if (sched.npidle && !kept_locked(until = first_timer())) {
        sched.keeper = mp;
        sched.keep_until = until;
    } else {
        until = NEVER;
    }
    bool check = deadcheck_locked(&until), polls = !check && becomes_poller_locked(mp);
    if (check)
        unlist_locked(mp);
#if GOPY_THREADED
    /* Once mp is seen to be idle, mp->spinning is its waker's. */
    bool spun = mp->spinning;
    if (!check)
        mp->spinning = false;
#endif
    unlock(&sched.lock);
    if (check) {
        start_system(mp, SYSTEM_DEADLOCK);
        return NULL;
    }
    if (bound)
        sysmon_watch();
#if GOPY_THREADED
    if ((pp = recheck(mp, spun)) != NULL) {
        lock(&sched.lock);
        if (polls)
            leave_poller_locked(mp);
        unlock(&sched.lock);
        return pp;
    }
#endif
    return sleep_listed(mp, tidy < until ? tidy : until, look, polls);
}

/* Nothing to run: give up pp (NULL: there is none) and sleep. -> a P, or NULL: look again. */
struct p *idle(struct m *mp, struct p *pp)
{
    assert_none_held("idle");
    trace_looks(mp);
    if (pp)
        trace_event(mp, TRACE_PSTOP, 0, (uint64_t)pp->id);
    pp = give_up(mp, pp);
    if (pp)
        trace_event(mp, TRACE_PSTART, 0, (uint64_t)pp->id);
    return pp;
}
