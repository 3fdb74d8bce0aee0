/* sync.h: what Go's package sync makes goroutines wait for: Mutex, WaitGroup.
 *
 * All zero is ready for use. What may wait comes as begin, gowait, finish, as in chan.h; whoever can park
 * where it stands calls the three in one. begin with gp NULL does not wait: SYNC_BLOCK. Whoever was woken with
 * WAKE_OP must call finish: it may own what it waited for. After any other wake-up nothing has changed. */
#ifndef GOPY_SYNC_H
#define GOPY_SYNC_H

#include "runtime/sched.h"

enum sync_result {
    SYNC_OK,
    SYNC_BLOCK, /* would have to wait */
    SYNC_PARK,  /* begin, or finish: queued, now gowait() and (again) finish */
    SYNC_TIMEOUT,
    SYNC_INTERRUPT,
    SYNC_NOMEM,
    SYNC_NEGATIVE, /* wgadd: the counter would be */
    SYNC_TOO_MANY, /* wgadd: the counter would not fit */
    SYNC_REUSED,   /* wgwait: a new round began before this one had returned */
};

static inline enum sync_result sync_why(enum wake w)
{
    return w == WAKE_TIMEOUT ? SYNC_TIMEOUT : w == WAKE_NOMEM ? SYNC_NOMEM : SYNC_INTERRUPT;
}

/* ---- Mutex: sync_mutex.c ---- */

enum {
    MUTEX_LOCKED = 1,
    MUTEX_WAITERS = 2,  /* q is not empty */
    MUTEX_WOKEN = 4,    /* a waiter has been woken to try again: no need to wake another */
    MUTEX_STARVING = 8, /* whoever unlocks hands the mutex to the first waiter */
    MUTEX_OTHER = 16,   /* for the embedding: never set or cleared here, and no lock or unlock is fast */
};

struct mutex {
    uint32_t state;       /* LOCKED: changed by compare-and-swap; the others under the lock */
    struct lock lock;     /* guards what follows and the sudogs on q */
    uint32_t handoffs;    /* since STARVING was set */
    uint32_t woken_epoch; /* sched.epoch when WOKEN was set: a fork leaves the woken one behind */
    struct waitq q;
};

/* The path of those who find nobody waiting. false: it may still be free. */
static inline bool mutexlock_fast(struct mutex *mu) { return likely(acas(&mu->state, 0, MUTEX_LOCKED)); }
static inline bool mutexunlock_fast(struct mutex *mu) { return likely(acas(&mu->state, MUTEX_LOCKED, 0)); }

bool mutextrylock(struct mutex *mu);
enum sync_result mutexlock_begin(struct mutex *mu, struct g *gp);
enum sync_result mutexlock_finish(struct mutex *mu, struct g *gp, enum wake w);
enum sync_result mutexlock(struct mutex *mu, struct g *gp, int64_t deadline);
bool mutexunlock(struct mutex *mu); /* false: it was not locked */

/* ---- WaitGroup: sync_waitgroup.c ---- */

struct waitgroup {
    uint64_t state;   /* the counter << 32 | how many wait; the latter changes under the lock */
    struct lock lock; /* guards q and the sudogs on it */
    struct waitq q;
};

#define WG_COUNT(state) ((int32_t)((state) >> 32))
#define WG_WAITERS(state) ((uint32_t)(state))

/* false: it needs wgadd(). */
static inline bool wgadd_fast(struct waitgroup *wg, int32_t delta)
{
    uint64_t s = apeek(&wg->state);
    int64_t v = (int64_t)WG_COUNT(s) + delta;
    return likely(WG_WAITERS(s) == 0 && v >= 0 && v <= INT32_MAX) && acas(&wg->state, s, (uint64_t)v << 32);
}

enum sync_result wgadd(struct waitgroup *wg, int32_t delta);
enum sync_result wgwait_begin(struct waitgroup *wg, struct g *gp);
enum sync_result wgwait_finish(struct waitgroup *wg, struct g *gp, enum wake w);
enum sync_result wgwait(struct waitgroup *wg, struct g *gp, int64_t deadline);

#endif
