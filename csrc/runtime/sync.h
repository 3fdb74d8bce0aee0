/* sync.h: what Go's package sync makes goroutines wait for: Mutex, RWMutex, WaitGroup, Cond.
 *
 * All zero is ready for use. What may wait comes as begin, gowait, finish, as in chan.h. begin with gp NULL does not
 * wait: SYNC_BLOCK. Whoever has waited must call finish: after WAKE_OP it may own what it waited for; after any other
 * wake-up finish leaves the queue, and nothing else has changed. */
#ifndef GOPY_SYNC_H
#define GOPY_SYNC_H

#include "runtime/wait.h"

enum sync_result {
    SYNC_OK,
    SYNC_BLOCK,    /* would have to wait */
    SYNC_PARK,     /* begin, or finish: queued, now gowait() and (again) finish */
    SYNC_ENDED,    /* finish: nothing has happened but that the wait has ended, as its enum wake says */
    SYNC_NEGATIVE, /* wgadd: the counter would be */
    SYNC_TOO_MANY, /* wgadd: the counter would not fit */
    SYNC_REUSED,   /* wgwait_finish: a new round began before this one had returned */
};

/* ---- Mutex: sync_mutex.c ---- */

enum {
    MUTEX_LOCKED = 1,
    MUTEX_WAITERS = 2,  /* q is not empty */
    MUTEX_WOKEN = 4,    /* a waiter has been woken to try again: no need to wake another */
    MUTEX_STARVING = 8, /* whoever unlocks hands the mutex to the first waiter */
    MUTEX_OTHER = 16,   /* the embedding's: set or cleared by it alone; with it no lock or unlock is fast */
};

struct mutex {
    uint32_t state;       /* LOCKED: changed by compare-and-swap; the others under the lock */
    struct lock lock;     /* guards what follows and the sudogs on q */
    uint32_t handoffs;    /* since STARVING was set */
    uint32_t woken_epoch; /* sched.epoch when WOKEN was set: a fork leaves the woken one behind */
    int spins;            /* how many looks spin() has lately needed until the holder unlocked; a hint */
    uint16_t bubble;      /* the tag of the bubble that it was made in; 0: none; as in all of these */
    struct waitq q;
};

/* The path of those who find nobody waiting. false: it may still be free. */
static inline bool mutexlock_fast(struct mutex *mu) { return likely(acas(&mu->state, 0, MUTEX_LOCKED)); }
static inline bool mutexunlock_fast(struct mutex *mu) { return likely(acas(&mu->state, MUTEX_LOCKED, 0)); }

bool mutextrylock(struct mutex *mu);
enum sync_result mutexlock_begin(struct mutex *mu, struct g *gp);
enum sync_result mutexlock_finish(struct mutex *mu, struct g *gp, enum wake w);
bool mutexunlock(struct mutex *mu); /* false: it was not locked */

/* ---- RWMutex: sync_rwmutex.c ---- */

enum {
    RW_WRITER = 1,
    RW_WAITERS = 2, /* somebody is on a queue: nobody locks or unlocks without `lock` */
    RW_READER = 4,  /* one reader; their number is in the bits from here on */
};

struct rwmutex {
    uint32_t state;
    struct lock lock; /* guards the queues and the sudogs on them */
    uint16_t bubble;
    struct waitq readers, writers;
};

static inline bool rwlock_fast(struct rwmutex *rw, bool write)
{
    if (write)
        return likely(acas(&rw->state, 0, RW_WRITER));
    uint32_t s = apeek(&rw->state);
    return likely(!(s & (RW_WRITER | RW_WAITERS))) && acas(&rw->state, s, s + RW_READER);
}

static inline bool rwunlock_fast(struct rwmutex *rw, bool write)
{
    if (write)
        return likely(acas(&rw->state, RW_WRITER, 0));
    uint32_t s = apeek(&rw->state);
    return likely(s >= RW_READER && !(s & RW_WAITERS)) && acas(&rw->state, s, s - RW_READER);
}

bool rwtrylock(struct rwmutex *rw, bool write);
enum sync_result rwlock_begin(struct rwmutex *rw, struct g *gp, bool write);
enum sync_result rwlock_finish(struct rwmutex *rw, struct g *gp, bool write, enum wake w);
bool rwunlock(struct rwmutex *rw, bool write); /* false: it was not locked so */

/* ---- WaitGroup: sync_waitgroup.c ---- */

struct waitgroup {
    uint64_t state;   /* the counter << 32 | how many wait; the latter changes under the lock */
    struct lock lock; /* guards q and the sudogs on it */
    uint16_t bubble;
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

/* ---- Cond: sync_cond.c ---- */

struct cond {
    struct lock lock; /* guards q and the sudogs on it */
    uint16_t bubble;
    struct waitq q;
};

/* A wait: condadd, unlock L, condwait_begin, gowait, condwait_finish, lock L. A signal counts from condadd on.
 * sg is the caller's, who must not wait for anything else with it: unlocking L may be a wait itself. */
void condadd(struct cond *c, struct g *gp, struct sudog *sg);
void condremove(struct cond *c, struct sudog *sg); /* after condadd: it does not wait after all */
enum sync_result condwait_begin(struct cond *c, struct g *gp, struct sudog *sg);
enum sync_result condwait_finish(struct cond *c, struct sudog *sg, enum wake w);
void condsignal(struct cond *c);
void condsignal_many(struct cond *c, size_t n); /* the first n */
static inline void condbroadcast(struct cond *c) { condsignal_many(c, SIZE_MAX); }
size_t condlen(struct cond *c); /* how many wait */

#endif
