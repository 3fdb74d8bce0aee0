/* m.c: Ms and Ps: who sleeps, who is woken, and how many there are.
 *
 * Invariant: no goroutine waits while a P that may run it is idle. The wake-up protocol in sched.h, whose steps are
 * numbered here, keeps it. With the GIL each step is atomic, and a P is woken only if none is in use: another one
 * could not run anyway, unless the first is stuck outside Python, and that sysmon sees.
 *
 * One idle M, the keeper, sleeps only until the next timer; the others until they are woken. If any goroutine
 * waits for a descriptor, the first M to go idle, the poller, sleeps in the poller instead of on its note, which
 * then knows how to break that. */
#include <stdlib.h>

#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"

struct sched sched;
__thread struct m *tls_m;

/* ---- under sched.lock ---- */

static struct p *pidleget_locked(void)
{
    struct p *pp = sched.pidle;
    if (pp) {
        sched.pidle = pp->idlenext;
        astore_sc(&sched.npidle, sched.npidle - 1);
        apoke(&pp->status, Prunning);
    }
    return pp;
}

static void wake_with_locked(struct m *mp, struct p *pp)
{
    apoke(&pp->status, Prunning);
    mp->nextp = pp;
    astore_sc(&mp->state, Mrunning);
    note_wakeup(&mp->park);
}

static struct m *pwaitget_locked(void)
{
    struct m *mp = sched.pwait_first;
    if (mp) {
        apoke(&sched.pwait_first, mp->idlenext);
        if (mp->idlenext == NULL)
            sched.pwait_last = NULL;
    }
    return mp;
}

static void pwaitput_locked(struct m *mp)
{
    mp->idlenext = NULL;
    if (sched.pwait_last)
        sched.pwait_last->idlenext = mp;
    else
        apoke(&sched.pwait_first, mp);
    sched.pwait_last = mp;
    astore_sc(&mp->state, Mwaitp);
}

static void midleput_locked(struct m *mp)
{
    mp->listed = takes_new(mp);
    if (mp->listed) {
        mp->idlenext = sched.midle;
        sched.midle = mp;
    }
    sched.nmidle++;
    astore_sc(&mp->state, Midle);
}

static struct m *midleget_locked(void)
{
    struct m *mp = sched.midle;
    if (mp) {
        sched.midle = mp->idlenext;
        mp->listed = false;
        sched.nmidle--;
        if (sched.keeper == mp)
            sched.keeper = NULL;
    }
    return mp;
}

/* Take mp, which sleeps no more, off whichever list it is still on. */
static void unlist_locked(struct m *mp)
{
    if (sched.keeper == mp)
        sched.keeper = NULL;
    if (mp->state == Midle) {
        if (mp->listed) {
            struct m **at = &sched.midle;
            while (*at != mp)
                at = &(*at)->idlenext;
            *at = mp->idlenext;
        }
        mp->listed = false;
        sched.nmidle--;
    } else if (mp->state == Mwaitp) {
        struct m *prev = NULL;
        for (struct m *at = sched.pwait_first; at != mp; at = at->idlenext)
            prev = at;
        if (prev)
            prev->idlenext = mp->idlenext;
        else
            apoke(&sched.pwait_first, mp->idlenext);
        if (sched.pwait_last == mp)
            sched.pwait_last = prev;
    }
    astore_sc(&mp->state, Mrunning);
}

/* pp has no goroutines; its owner gives it up. */
static void releasep_locked(struct p *pp)
{
    struct m *mp;
    if (pp->id >= sched.gomaxprocs) {
        apoke(&pp->status, Pretired);
    } else if ((mp = pwaitget_locked()) != NULL) {
        wake_with_locked(mp, pp);
    } else {
        apoke(&pp->status, Pidle);
        pp->idlenext = sched.pidle;
        sched.pidle = pp;
        astore_sc(&sched.npidle, sched.npidle + 1);
    }
}

/* Will some idle M wake up for the first timer? */
static bool kept_locked(int64_t first)
{
    return first == NEVER || (sched.keeper && sched.keep_until <= first);
}

/* Does mp have a ready goroutine that only it can run? */
bool has_bound_work(struct m *mp)
{
    if (aload_sc(&mp->remote))
        return true;
    return mp->lockq.head != NULL || mp->yieldq.head != NULL;
}

/* ---- */

struct p *acquirep(void)
{
    if (aload_sc(&sched.npidle) == 0)
        return NULL;
    lock(&sched.lock);
    struct p *pp = pidleget_locked();
    unlock(&sched.lock);
    return pp;
}

#if GOPY_THREADED
static bool work_anywhere(void)
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

/* mp has published that it is idle, and was spinning until then or not. If work came in the meantime, take it back:
 * -> a P, or NULL to sleep. */
static struct p *recheck(struct m *mp, bool spun)
{
    if (spun)
        aadd(&sched.nmspinning, -1);
    afence(); /* step 2 */
    if (!work_anywhere())
        return NULL;
    if (!takes_new(mp)) { /* for others */
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
static bool has_free_work(struct p *pp)
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
    if (likely(!netpollwaiters()) || sched.poller || sched.npidle == 0 || mp->state != Midle)
        return false;
    real_store(&sched.poller, mp);
    real_store(&mp->park.breakfd, np.breakfd);
    return true;
}

static void leave_poller_locked(struct m *mp)
{
    real_store(&mp->park.breakfd, 0);
    real_store(&sched.poller, (struct m *)NULL);
}

/* Sleep, detached, until woken, or for as long as it may be. */
static enum note_result sleep_idle(struct m *mp, int64_t until, struct pollevents *polls)
{
    enum note_result r = NOTE_INTERRUPTED;
    real_store(&mp->entering, true);
    void *left = host_leave();
    while (r == NOTE_INTERRUPTED) {
        r = polls ? netpollsleep(&mp->park, polls, until) : note_sleep(&mp->park, until);
        if (mp == &sched.m0)
            break;
    }
    if (unlikely(real_load(&sched.exiting)) && mp != &sched.m0)
        host_hang();
    host_enter(left);
    real_store(&mp->entering, false);
    return r;
}

/* mp is on a list of those that sleep: do so. -> as idle() */
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
    if (polls) /* nobody polls now, and what runs here next may not come back for long */
        sysmon_watch();
#if GOPY_THREADED
    if (r == NOTE_TIMEOUT) /* what is due may be in the heap of a P that this M has not got */
        for (int i = 0; i < aload(&sched.nprocs); i++)
            runtimers(&sched.allp[i]->timers, nanotime());
#endif
    if (r == NOTE_INTERRUPTED || (r == NOTE_TIMEOUT && look < until)) {
        sched.look_tick = total_ticks();
        start_system(mp, SYSTEM_SIGNALS);
    }
    return pp;
}

/* Nothing to run: give up pp (NULL: there is none) and sleep. -> a P, or NULL: look again. */
struct p *idle(struct m *mp, struct p *pp)
{
    int64_t until = NEVER, tidy = NEVER, look = mp == &sched.m0 ? signal_look() : NEVER;
    if (pp) /* what ends in there may let go of the GIL on its way */
        givep(mp, pp);
    bool tidied = host_tidy(mp, &tidy);
    if (pp)
        pp = takep(mp);
    if (tidied)
        return pp;
    if (pp && !takes_new(mp) && has_free_work(pp)) { /* for others */
        startm(pp, false);
        pp = NULL;
    }
    lock(&sched.lock);
    if (pp && sched.globq.n && takes_new(mp)) {
        unlock(&sched.lock);
        return pp;
    }
    if (pp)
        releasep_locked(pp);
    astore(&mp->p, (struct p *)NULL);
    note_clear(&mp->park);
    midleput_locked(mp);
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
    bool spun = mp->spinning; /* once it is seen to be idle, the flag is its waker's */
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

/* The memory of an M is reused and never freed: sysmon looks at Ms without a lock. */
struct m *m_new(void)
{
    lock(&sched.lock);
    struct m *mp = sched.mdead;
    if (mp)
        sched.mdead = mp->idlenext;
    unlock(&sched.lock);
    if (mp == NULL && (mp = calloc(1, sizeof(*mp))) == NULL)
        return NULL;
    mp->dying = mp->spinning = false;
    apoke(&mp->state, Mrunning);
    m_init(mp);
    real_store(&mp->entering, true); /* until its thread has attached */
    return mp;
}

/* Run pp on an M that sleeps, or on a new one. */
void startm(struct p *pp, bool spinning)
{
    lock(&sched.lock);
    struct m *mp = midleget_locked();
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
        astore(&pp->m, mp);
        if (host_newthread(mp))
            return;
        m_exit(mp);
    }
    if (spinning) /* no thread to be had: the work stays where it is, for the Ms that there are */
        aadd(&sched.nmspinning, -1);
    lock(&sched.lock);
    releasep_locked(pp);
    unlock(&sched.lock);
}

void m_init(struct m *mp)
{
    lock(&sched.lock);
    if (mp->rand == 0) { /* not a reused one, which is still in the list */
        mp->id = sched.nmever++;
        mp->allnext = sched.allm;
        real_store(&sched.allm, mp);
    }
    mp->rand = (uint32_t)nanotime() | 1;
    sched.nm++;
    unlock(&sched.lock);
}

void m_exit(struct m *mp)
{
    lock(&sched.lock);
    mp->idlenext = sched.mdead;
    sched.mdead = mp;
    sched.nm--;
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
    afence(); /* step 2: sched.nglob is stored under the lock, whose release the looks of step 3 may overtake */
    wakep();
#else
    struct p *pp;
    if (sched.npidle == sched.gomaxprocs && (pp = acquirep()) != NULL)
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
    if (!work ||
        (sched.pwait_first && pp->id < sched.gomaxprocs)) { /* an M that waits for a P does this, too */
        releasep_locked(pp);
        work = false;
    }
    unlock(&sched.lock);
    if (work)
        startm(pp, false);
#if GOPY_THREADED
    afence(); /* steps 2 and 3 of whoever gives up a P: pp's M would have looked at the other queues, too */
    if (!work && work_anywhere())
        wakep();
#endif
}

/* gp is ready and bound to mp, which is not this thread's. */
void readyremote(struct g *gp, struct m *mp)
{
    struct g *head;
    do {
        head = aload(&mp->remote);
        gp->schedlink = head;
    } while (!acas(&mp->remote, head, gp));
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

/* GOMAXPROCS fell: what pp holds goes to everybody. */
void retirep(struct m *mp, struct p *pp)
{
    uintptr_t next = axchg(&pp->runnext, (uintptr_t)0);
    struct g *gp;
    if (next & RUNNEXT_BOUND)
        gq_push(&mp->lockq, (struct g *)(next & ~RUNNEXT_BOUND));
    else if (next)
        globrunqput((struct g *)next);
    while ((gp = runqget(&pp->runq)) != NULL)
        globrunqput(gp);
    if (pp->id > 0)
        timers_move(&sched.allp[0]->timers, &pp->timers);
    lock(&sched.lock);
    releasep_locked(pp);
    unlock(&sched.lock);
    if (apeek(&sched.nglob))
        wake_anyone();
}

/* Give pp, ring and all, to the M that has waited longest for one. */
void yieldp(struct p *pp)
{
    lock(&sched.lock);
    apoke(&sched.yieldp, 0);
    releasep_locked(pp);
    unlock(&sched.lock);
}

int procresize(int n)
{
    lock(&sched.lock);
    int was = sched.gomaxprocs;
    if (n > MAXPROCS)
        n = MAXPROCS;
    for (; sched.nprocs < n; astore(&sched.nprocs, sched.nprocs + 1)) {
        struct p *pp = calloc(1, sizeof(*pp));
        if (pp == NULL) {
            n = sched.nprocs;
            break;
        }
        pp->id = sched.nprocs;
        apoke(&pp->status, Pretired);
        timers_init(&pp->timers);
        astore(&sched.allp[pp->id], pp);
    }
    apoke(&sched.gomaxprocs, n);
    struct p **at = &sched.pidle;
    while (*at) { /* idle ones past the end retire at once, running ones when they next schedule */
        if ((*at)->id >= n) {
            apoke(&(*at)->status, Pretired);
            *at = (*at)->idlenext;
            astore_sc(&sched.npidle, sched.npidle - 1);
        } else {
            at = &(*at)->idlenext;
        }
    }
    for (int i = 0; i < n; i++)
        if (sched.allp[i]->status == Pretired)
            releasep_locked(sched.allp[i]);
    int nprocs = sched.nprocs;
    unlock(&sched.lock);
    for (int i = n; GOPY_THREADED && i < nprocs; i++) /* after the lock: a heap's comes before it */
        timers_move(&sched.allp[0]->timers, &sched.allp[i]->timers);
#if GOPY_THREADED
    if (n > was && work_anywhere())
        wakep();
#endif
    return was;
}
