/* sync_mutex.c: Mutex, after Go's internal/sync/mutex.go.
 *
 * Normal mode: unlock wakes the first waiter, which competes with whoever comes to lock meanwhile, and if it
 * loses waits again, before all others. Those that come are running already, so this is the fast way: a switch
 * for each lock would be a convoy. Starvation mode, once a waiter that was woken has lost after 1 ms of
 * waiting: unlock hands the mutex over to the first waiter, LOCKED all the while, and newcomers queue behind.
 * It ends with the last waiter or with one that has waited less.
 *
 * With a GIL the first loss already starts starvation mode. While a goroutine runs no other does, so the loser
 * has met a holder that parked with the mutex held, and would lose again each time the holder parks: two
 * switches where a hand-off takes one. It then lasts HANDOFFS hand-offs at least.
 *
 * Without a GIL the holder may be about to unlock on another M. Waiting for that for about the time of a switch saves
 * two of them, and keeps a convoy from forming; how long pays is learnt from the times before.
 *
 * Under mu->lock: WAITERS if and only if q is not empty; WOKEN or STARVING, not both; STARVING only with LOCKED
 * and WAITERS. While LOCKED is set, only a holder of mu->lock changes `state`, save for the fast unlock, which
 * needs all other flags clear. */
#include "runtime/sudog.h"
#include "runtime/sync.h"

#define STARVED 1000000 /* ns */
#define HANDOFFS 32
#define MOST_SPINS 100

/* When a wait began, or how long ago. With a GIL that only decides when a starvation mode of many hand-offs ends,
 * and a clock that is cheap to read will do. */
static inline int64_t clock_of_waits(void) { return GOPY_THREADED ? nanotime() : nanotime_coarse(); }

bool mutextrylock(struct mutex *mu)
{
    for (;;) {
        uint32_t s = aload(&mu->state);
        if (s & MUTEX_LOCKED)
            return false;
        if (acas(&mu->state, s, s | MUTEX_LOCKED))
            return true;
    }
}

/* Look whether the holder unlocks, for as long as may pay. */
static void spin(struct mutex *mu)
{
#if GOPY_THREADED
    if (aload(&sched.gomaxprocs) - aload(&sched.npidle) < 2) /* nobody else runs */
        return;
    int was = apeek(&mu->spins), most = 2 * was + 10 < MOST_SPINS ? 2 * was + 10 : MOST_SPINS, n = 0;
    for (uint32_t s; (s = apeek(&mu->state)) & MUTEX_LOCKED; n++) {
        if (n == most || (s & MUTEX_STARVING)) {
            n = 0; /* in vain */
            break;
        }
        cpu_relax();
    }
    apoke(&mu->spins, was + (n - was) / 8);
#else
    (void)mu;
#endif
}

static void wait_locked(struct mutex *mu, struct g *gp, bool again)
{
    assert_held(&mu->lock);
    struct sudog *sg = &gp->wait->sg;
    sg->success = false;
    wait_since_exactly(gp);
    wait_begin(gp, WAIT_SYNC_MUTEX_LOCK | durably(gp, mu->bubble));
    if (again)
        enqueue_front(&mu->q, sg);
    else
        enqueue(&mu->q, sg);
}

enum sync_result mutexlock_begin(struct mutex *mu, struct g *gp)
{
    if (mutextrylock(mu))
        return SYNC_OK;
    if (gp == NULL)
        return SYNC_BLOCK;
    spin(mu);
    if (GOPY_THREADED && mutextrylock(mu))
        return SYNC_OK;
    gp->wait->since = clock_of_waits();
    lock(&mu->lock);
    for (;;) {
        uint32_t s = aload(&mu->state);
        if (s & MUTEX_LOCKED) {
            if (!acas(&mu->state, s, s | MUTEX_WAITERS))
                continue;
            wait_locked(mu, gp, false);
            unlock(&mu->lock);
            return SYNC_PARK;
        }
        if (acas(&mu->state, s, s | MUTEX_LOCKED)) {
            unlock(&mu->lock);
            return SYNC_OK;
        }
    }
}

/* Woken, in normal mode: lock it, or wait again. */
static enum sync_result compete(struct mutex *mu, struct g *gp)
{
    bool starving = !GOPY_THREADED || clock_of_waits() - gp->wait->since > STARVED;
    enum sync_result r = SYNC_OK;
    spin(mu);
    lock(&mu->lock);
    for (;;) {
        uint32_t s = aload(&mu->state), next = s & ~(uint32_t)MUTEX_WOKEN;
        if (!(s & MUTEX_LOCKED)) {
            if (acas(&mu->state, s, next | MUTEX_LOCKED))
                break;
            continue;
        }
        next |= MUTEX_WAITERS | (starving ? MUTEX_STARVING : 0);
        if (!acas(&mu->state, s, next))
            continue;
        if (starving && !(s & MUTEX_STARVING))
            mu->handoffs = 0;
        wait_locked(mu, gp, true);
        r = SYNC_PARK;
        break;
    }
    unlock(&mu->lock);
    return r;
}

enum sync_result mutexlock_finish(struct mutex *mu, struct g *gp, enum wake w)
{
    if (likely(w == WAKE_OP))
        return gp->wait->sg.success ? SYNC_OK : compete(mu, gp);
    lock(&mu->lock);
    dequeue_sudog(&mu->q, &gp->wait->sg);
    for (uint32_t s = aload(&mu->state); mu->q.first == NULL; s = aload(&mu->state))
        if (acas(&mu->state, s, s & ~(uint32_t)(MUTEX_WAITERS | MUTEX_STARVING)))
            break;
    unlock(&mu->lock);
    return SYNC_ENDED;
}

/* The first waiter gets the mutex. -> the state to leave it in */
static uint32_t hand_over_locked(struct mutex *mu, struct sudog *sg, uint32_t other)
{
    assert_held(&mu->lock);
    sg->success = true;
    mu->handoffs++;
    if (mu->q.first == NULL)
        return MUTEX_LOCKED | other;
    bool more = GOPY_THREADED || mu->handoffs >= HANDOFFS;
    if (more && clock_of_waits() - sg->g->wait->since < STARVED)
        return MUTEX_LOCKED | MUTEX_WAITERS | other;
    return MUTEX_LOCKED | MUTEX_WAITERS | MUTEX_STARVING | other;
}

bool mutexunlock(struct mutex *mu)
{
    if (mutexunlock_fast(mu))
        return true;
    struct g *woken = NULL;
    lock(&mu->lock);
    uint32_t s = aload(&mu->state), other = s & MUTEX_OTHER, next;
    if (!(s & MUTEX_LOCKED)) {
        unlock(&mu->lock);
        return false;
    }
    if ((s & MUTEX_WOKEN) && mu->woken_epoch == sched.epoch) {
        next = s & ~(uint32_t)MUTEX_LOCKED;
    } else {
        struct sudog *sg = dequeue(&mu->q);
        if (sg == NULL) {
            next = other;
        } else if (s & MUTEX_STARVING) {
            next = hand_over_locked(mu, sg, other);
        } else {
            sg->success = false;
            mu->woken_epoch = sched.epoch;
            next = MUTEX_WOKEN | (mu->q.first ? MUTEX_WAITERS : 0) | other;
        }
        woken = sg ? sg->g : NULL;
    }
    astore(&mu->state, next);
    unlock(&mu->lock);
    if (woken) {
        unlock_counts(woken);
        goready(woken);
    }
    return true;
}
