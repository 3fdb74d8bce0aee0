/* wake.c: who is woken when there is work, or a P that nobody runs. See idle.c for the invariant.
 *
 * A P goes to whoever waits for one, is run by an idle M or a new one, or stays idle. */
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sleepers.h"

struct p *pidleget(void)
{
    if (aload_sc(&sched.npidle) == 0)
        return NULL;
    lock(&sched.lock);
    struct p *pp = pidleget_locked();
    unlock(&sched.lock);
    return pp;
}

/* Run pp on an M that sleeps, or on a new one. */
void startm(struct p *pp, bool spinning)
{
    assert_none_held("startm");
    rt_assert(apeek(&pp->status) == Prunning);
    lock(&sched.lock);
    struct m *mp = mget_locked();
    if (mp) {
        mp->spinning = spinning;
        wake_with_locked(mp, pp);
    }
    unlock(&sched.lock);
    if (mp)
        return;
    if ((mp = m_new()) != NULL) {
        mp->spinning = spinning;
        astore(&mp->p, pp);
        astore(&pp->lastm, mp);
        if (host_newthread(mp))
            return;
        m_exit(mp);
    }
    /* There is no thread to be had: the work stays where it is, for the Ms that there are. */
    if (spinning)
        aadd(&sched.nmspinning, -1);
    lock(&sched.lock);
    pput_locked(pp);
    unlock(&sched.lock);
}

/* An idle P may have work: wake one M to look for it, if none is looking. */
void wakep(void)
{
    if (aload_sc(&sched.npidle) == 0 || aload_sc(&sched.nmspinning) != 0 || !acas(&sched.nmspinning, 0, 1))
        return;
    lock(&sched.lock);
    struct p *pp = pidleget_locked();
    /* Under the lock: so whoever sees the P that is given up next sees, too, that nobody spins. */
    if (pp == NULL)
        aadd(&sched.nmspinning, -1);
    unlock(&sched.lock);
    if (pp)
        startm(pp, true);
}

/* Work was queued globally by a thread that has no P. */
void wake_anyone(void)
{
#if GOPY_THREADED
    /* Step 2: sched.nglob is stored under the lock, whose release the looks of step 3 may overtake. */
    afence();
    wakep();
#else
    struct p *pp;
    if (sched.npidle == sched.gomaxprocs && (pp = pidleget()) != NULL)
        startm(pp, false);
#endif
    sysmon_watch();
}

/* A timer was added, and whoever did may not schedule for long: see that an M wakes up for it. */
void timer_watch(void)
{
    struct p *pp = NULL;
    afence(); /* step 2, after timers.first */
    if (aload_sc(&sched.npidle)) {
        lock(&sched.lock);
        if (!kept_locked(first_timer()) && (GOPY_THREADED || sched.npidle == sched.gomaxprocs))
            pp = pidleget_locked();
        unlock(&sched.lock);
    }
    if (pp)
        startm(pp, false); /* finds nothing, and goes to sleep until the first timer */
    sysmon_watch();
}

/* Somebody waits for a descriptor, and whoever began that may not schedule for long: see that an M polls.
 * np.nwaiters was counted by an exchange, which is step 2. */
void poll_watch(void)
{
    struct p *pp = NULL;
    if (aload_sc(&sched.npidle) && real_load(&sched.poller) == NULL) {
        lock(&sched.lock);
        if (sched.poller == NULL && (GOPY_THREADED || sched.npidle == sched.gomaxprocs))
            pp = pidleget_locked();
        unlock(&sched.lock);
    }
    if (pp)
        startm(pp, false); /* finds nothing, and goes to sleep in the poller */
    sysmon_watch();
}

/* pp's M cannot go on with it: let another, if there is anything to do, or to wait for. */
void handoffp(struct p *pp)
{
    bool work = has_free_work(pp);
    lock(&sched.lock);
    work = work || !kept_locked(first_timer()) || (netpollwaiters() && sched.poller == NULL);
    /* If an M waits for a P, pput_locked gives it pp, and it does the work, too. */
    if (!work || (sched.pwait_first && pp->id < sched.gomaxprocs)) {
        pput_locked(pp);
        work = false;
    }
    unlock(&sched.lock);
    if (work)
        startm(pp, false);
#if GOPY_THREADED
    /* Steps 2 and 3 of whoever gives up a P: if pp's M had gone on, it would have looked at the other queues. */
    afence();
    if (!work && work_anywhere())
        wakep();
#endif
}

/* Give pp, ring and all, to the M that has waited longest for one. */
void yieldp(struct p *pp)
{
    lock(&sched.lock);
    apoke(&sched.yieldp, 0);
    pput_locked(pp);
    unlock(&sched.lock);
}

/* gp is ready and bound to mp, which is not this thread's. */
void readyremote(struct g *gp, struct m *mp)
{
    struct g *head;
    do {
        head = aload(&mp->remote);
        gp->schedlink = head;
    } while (!acas(&mp->remote, head, gp));
    if (unlikely(aload_sc(&mp->exited))) {
        remote_to_all(mp);
        return;
    }
    if (unlikely(aload_sc(&mp->loopfd)))
        loop_wake(mp);
    if (aload_sc(&mp->state) != Midle)
        return;
    bool waits = false;
    lock(&sched.lock);
    if (mp->state == Midle) {
        struct p *pp = pidleget_locked();
        unlist_locked(mp);
        if (pp) {
            wake_with_locked(mp, pp);
        } else {
            pwaitput_locked(mp);
            waits = true;
        }
    }
    unlock(&sched.lock);
    if (waits)
        sysmon_watch();
}
