/* sched.h: the scheduler's interface to the layers above it. */
#ifndef GOPY_SCHED_H
#define GOPY_SCHED_H

#include "runtime/synctest.h"

/* proc.c: birth and death */
void newproc(struct g *gp, uint8_t kind);                             /* gp becomes runnable */
void goroutine_start(struct m *mp, struct g *gp, struct gwait *wait); /* the host is about to run it on mp */
void goroutine_bind(struct m *mp, struct g *gp);                      /* a stackless one's step begins */
void goroutine_unbind(struct m *mp, struct g *gp);                    /* its end */
void goroutine_end(struct m *mp, struct g *gp);                       /* it has returned */
void goroutine_lock(struct g *gp); /* on its own M: goroutines that have not started do not start there */
void goroutine_unlock(struct g *gp);
bool newproc_locked(struct g *gp, uint8_t kind); /* on an M of its own; false: there is no thread to be had */
bool goroutine_join_begin(struct g *self, struct g *gp); /* false: it is dead already; self NULL: only ask */
void goroutine_join_finish(struct g *self, struct g *gp, enum wake w);
const char *waitreason_name(uint8_t reason);
uint64_t num_goroutine(void);
void allg_add(struct g *gp);

/* sched.c: who runs next */
struct g *findrunnable(struct m *mp); /* blocks; NULL: this M must end */
void gopark(struct m *mp, struct g *gp);
void goready_when(struct g *gp, bool next);
void goready_kept(struct g *gp); /* its bubble has kept it until now */
void gosched(struct m *mp, struct g *gp);
void globrunqput(struct g *gp);
#if !GOPY_THREADED
void shed_unbound(struct m *mp);
#endif
bool runqput_next(struct m *mp, struct p *pp, uintptr_t next);
void unbind_p(struct m *mp, struct p *pp);                         /* mp is about to give pp away */
void injectglist(struct m *mp, struct p *pp, struct gqueue *list); /* the poller's; both NULL: on no M */
bool netpoll_now(struct m *mp, struct p *pp);                      /* -> whether any descriptor was ready */

static inline void goready(struct g *gp) { goready_when(gp, true); }

/* Ready those that timers have woken, in the order of their deadlines. */
static inline void goready_due(struct gqueue *ready)
{
    for (struct g *gp; (gp = gq_pop(ready)) != NULL;)
        goready_when(gp, false);
}

/* gosched() for one whose time slice is over. In a seeded bubble its turn is not: the clock has no part in that order. */
void gosched_slice(struct m *mp, struct g *gp);

/* gosched() for a stackless goroutine, which does not park: queue gp behind the others. Its M has let go of it, by
 * goroutine_unbind(). */
void gosched_begin(struct g *gp);

/* Does mp run goroutines that are not bound to it yet? */
static inline bool takes_new(struct m *mp) { return mp->nlocked == 0 && !mp->ending; }

/* Are there goroutines that any M may run, with pp or for everybody? */
static inline bool has_unbound(struct p *pp)
{
    uintptr_t next = aload(&pp->runnext);
    return runqlen(&pp->runq) || (next && !(next & RUNNEXT_BOUND)) || apeek(&sched.nglob);
}

/* preempt.c: time slices */
#define SLICE 10000000 /* ns */
void preempt_ask(struct m *mp, enum preempt how);
void preempt_heard(struct m *mp);
void slice_ends(struct m *mp, struct p *pp); /* in sched.c; pp may be missing */
void preempt_exiting(void);
void preempt_forbid(int by); /* 1: this M's goroutine is not to be made to yield; -1: it may again */
void preempt_here(void);

/* Every call into gopy comes by here: the goroutine that calls yields if it has had its time slice. The caller holds
 * nothing, and knows nothing of queues that another goroutine may change. */
static inline void preempt_point(void)
{
    if (unlikely(real_peek(&sched.attention)))
        preempt_here();
}

/* timerfunc.c: timers whose function is the embedding's, which needs a goroutine of its own */
struct timerfunc {
    struct timer timer;
    struct timerfunc *next; /* in sched.due */
    struct bubble *bubble;  /* on whose clock it is, and in which its function runs; NULL: none */
    uint32_t ndue;          /* how often it has fired without having been taken off sched.due */
    uint32_t epoch;
};

bool timerfunc_start(struct timerfunc *tf, int64_t when); /* it must not be pending; false: out of memory */
struct timerfunc *timerfunc_of(struct timer *t);          /* or NULL: it is something else's */
bool timerfunc_stop(struct timerfunc *tf);                /* true: it was pending, and will not fire */
struct timerfunc *timerfunc_next(uint32_t *n);            /* for SYSTEM_TIMERS: one that is due, n times */
void runtimers(struct timers *ts, int64_t now);           /* timers_run, and what it leaves in sched.due */

/* Every thread that the runtime makes calls these, as its first and its last act: whoever looks for a deadlock tells
 * them so from threads that might wake somebody. */
static inline void own_thread_begins(void) { (void)real_add(&sched.nbegun, 1); }
static inline void own_thread_ends(void) { (void)real_add(&sched.nended, 1); }

/* ---- the wake-up protocol ----
 *
 * Whoever queues work                              Whoever gives up a P, to sleep (idle) or for another (handoffp)
 *   1. stores it                                     1. stores that the P is idle, and that it does not spin any more
 *   2. BARRIER                                       2. BARRIER
 *   3. looks for an idle P, then whether an M        3. looks at all the queues; idle at timers and descriptors,
 *      spins (wakep)                                    too, which handoffp leaves to sysmon
 *   4. neither P nor need: done; else wakes an M     4. nothing: done; else takes the P back, or wakes an M
 *
 * One of both sees the other, because of two that store, pass a barrier (afence, or a sequentially consistent exchange)
 * and load, the one whose barrier comes last sees what the other stored. A release store alone stays in the store buffer
 * while the loads behind it go ahead, on every machine. The words, what each is paired with and why its order suffices:
 *
 *   p.runq.tail     stored with release, so a thief that sees it sees the slots. afence() in runqput_tail. Paired with
 *                   npidle and nmspinning; read by recheck behind its afence().
 *   p.runnext       exchanged, which is the barrier. But a runnext that goes to the ring is in neither place for a moment, so
 *                   it is queued anew: runqput_next, runnext_to_tail.
 *   sched.nglob     a hint, stored under sched.lock; whoever finds it not 0 looks again under the lock. afence() in
 *                   wake_anyone. Paired with npidle and nmspinning.
 *   sched.npidle    stored under sched.lock, afence() in idle, recheck and handoffp. Paired with all that is queued.
 *   sched.nmspinning  read-modify-writes only. Who sees that somebody spins leaves the work to that M, which, when it stops,
 *                   counts itself out first and looks afterwards: recheck if it has found nothing; if it has found something,
 *                   resetspinning wakes another in its stead. wakep counts an M in before it has a P for it. If no P
 *                   is idle, wakep counts it out under sched.lock, so before another P can be seen to be idle.
 *   m.remote        exchanged, then m.state and m.loopfd are loaded (readyremote). Paired with those two, which are stored
 *                   sequentially consistent before m.remote is loaded so (has_bound_work).
 *   m.exited        stored sequentially consistent, then m.remote is taken (m_exit); the push to m.remote, then m.exited is
 *                   loaded (readyremote): so one of both hands on what was pushed.
 *   timers.first    stored with release under timers.lock, afence() in timer_watch. Paired with npidle; idle loads it behind
 *                   its afence(), under sched.lock, which also guards `keeper`.
 *   np.nwaiters     counted by read-modify-writes, which are the barrier, before poll_watch. Paired with npidle likewise;
 *                   sched.lock guards `poller`.
 *   m.park          cleared under sched.lock before the M is on a list, woken under it by who took the M off. The key of the
 *                   note orders all that the waker wrote before.
 *   sysmon_asleep   needs no barrier: should the watchdog be missed, it looks by itself a quarter of a second later.
 *
 * tests/model checks the steps, also what happens without each of the barriers. */

/* m.c: the life of an M */
struct m *m_new(void); /* without a thread, which is to be started; NULL: out of memory */
void m_init(struct m *mp);
void m_exit(struct m *mp); /* its last act */
void remote_to_all(struct m *mp);

/* idle.c: going to sleep */
struct p *idle(struct m *mp, struct p *pp);
bool has_bound_work(struct m *mp); /* is a goroutine ready that only mp can run? */
bool has_free_work(struct p *pp);  /* is there anything to do with pp for an M without goroutines? */
#if GOPY_THREADED
bool work_anywhere(void); /* is a goroutine ready that any M can run? */
#endif

/* wake.c: waking others */
struct p *pidleget(void); /* an idle P, or NULL */
void startm(struct p *pp, bool spinning);
void wakep(void); /* step 3 of the wake-up protocol: behind a barrier */
void wake_anyone(void);
void timer_watch(void);
void poll_watch(void);
void handoffp(struct p *pp);
void yieldp(struct p *pp);
void readyremote(struct g *gp, struct m *mp);

/* procresize.c: how many Ps there are */
void retirep(struct m *mp, struct p *pp);
int procresize(int n); /* -> the previous GOMAXPROCS */

/* loop.c: event loops that sleep by themselves */
void loop_set(struct m *mp, int fd);
void loop_resumed(struct m *mp);
void loop_wake(struct m *mp);
void loop_turn(struct m *mp);

/* checkdead.c: deadlocks, and signals that nobody has noticed */
int64_t first_timer(void);
uint64_t total_ticks(void);
bool deadcheck_locked(int64_t *until);
int64_t signal_look(void);
enum others {
    OTHERS_IDLE,
    OTHERS_AWAKE, /* an M is on its way to sleep, or runs a goroutine */
    OTHERS_RUN    /* there is something to run, or will be */
};
enum others what_else_runs(void);

/* foreign.c: threads that gopy does not run */
struct g *calling_g(void);
enum wake foreign_wait(struct g *gp, int64_t deadline);

/* sysmon.c */
void sysmon(void);
void sysmon_wake(void);

/* Work has been queued that sysmon may have to hand on. */
static inline void sysmon_watch(void)
{
    if (unlikely(real_peek(&sched.sysmon_asleep) || !real_peek(&sched.sysmon_running)))
        sysmon_wake();
}

void rt_start(int gomaxprocs);
void rt_fork_child(struct g *self);

#endif
