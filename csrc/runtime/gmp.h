/* gmp.h: G, M and P, and every state that each can be in.
 *
 *   G  a goroutine. M  an OS thread that runs goroutines. P  the right to run them, GOMAXPROCS of them.
 *
 * G's status      what holds                                       who may change it
 *   Gidle         being made                                       its maker
 *   Grunnable     in exactly one queue: a P's ring or runnext, the  whoever takes it off that queue
 *                 global queue, its M's lockq, yieldq or remote
 *   Grunning      on its M, which has it as curg                    itself
 *   Gwaiting      parked for one reason; `armed` is 1 until a       whoever turns `armed` from 1 to 0: that
 *                 waker claims it                                   one, and nobody else, may goready() it
 *   Gdead         has returned; memory is its owner's               nobody
 *
 * A started stackful goroutine lives on the C stack of one M (`boundm`), and only that M ever resumes it. So a
 * goready() that overtakes the gopark() that it answers is harmless: the M finds the goroutine when it next looks for
 * one, which is inside that gopark(). A stackless one begins its wait while it is bound to the M of its step, and its
 * driver lets go of it last (goroutine_unbind): from then on any M may run its next step.
 *
 * M's state       Mrunning  has a goroutine, or looks for one       itself
 *                 Midle     sleeps on `park`; see `listed`          under sched.lock
 *                 Mwaitp    has ready goroutines of its own but no  under sched.lock
 *                           P; sleeps, in sched.pwait
 *
 * P's status      Prunning  some M owns it                          that M (or sysmon, see takep)
 *                 Pidle     in sched.pidle                          under sched.lock
 *                 Pretired  its id is GOMAXPROCS or more            under sched.lock
 *
 * While user code runs, its M's P sits in the slot mp->p, from where sysmon may take it away if the M is stuck outside
 * Python, or computes for long. Whoever needs the P takes it out of the slot first (takep) and puts it back (givep),
 * so a P is in one hand at any time. An M that finds the slot empty has lost its P: it goes on without. */
#ifndef GOPY_GMP_H
#define GOPY_GMP_H

#include "runtime/lock.h"
#include "runtime/runq.h"
#include "runtime/timer.h"

struct m;
struct p;
struct hchan;
struct tracering;
struct timerfunc;
struct bubble;

enum gstatus { Gidle, Grunnable, Grunning, Gwaiting, Gdead };

/* Why a goroutine waits; the strings are Go's (waitreason_name). */
enum waitreason {
    WAIT_NONE,
    WAIT_CHAN_RECEIVE,
    WAIT_CHAN_SEND,
    WAIT_CHAN_RECEIVE_NIL,
    WAIT_CHAN_SEND_NIL,
    WAIT_SELECT,
    WAIT_SELECT_NO_CASES,
    WAIT_SLEEP,
    WAIT_JOIN,
    WAIT_GOEXIT,
    WAIT_SYNC_MUTEX_LOCK,
    WAIT_SYNC_RWMUTEX_RLOCK,
    WAIT_SYNC_RWMUTEX_LOCK,
    WAIT_SYNC_WAITGROUP_WAIT,
    WAIT_SYNC_COND_WAIT,
    WAIT_BLOCKING,
    WAIT_IO,
    WAIT_SYNCTEST_RUN,
    WAIT_SYNCTEST_WAIT,
    /* Put to a reason: gp is in a bubble, and only what is in that bubble too can wake it (synctest.h). */
    WAIT_DURABLE = 0x80,
    WAIT_LENDABLE = 0x40, /* besides: for what a thread may wake, too */
    WAIT_FLAGS = WAIT_DURABLE | WAIT_LENDABLE,
};

/* How a wait ended. WAKE_CANCEL: whoever waits gives up, and finish only leaves the queue. WAKE_GOEXIT: whoever waits is to
 * end, as by goexit. */
enum wake { WAKE_OP, WAKE_TIMEOUT, WAKE_INTERRUPT, WAKE_NOMEM, WAKE_CANCEL, WAKE_GOEXIT };

enum gkind {
    GSTACKFUL,
    GSTACKLESS, /* runs in steps: bound to an M during a step only (unless locked), anybody's between two */
    GSYSTEM,    /* stackful, the runtime's own: not counted, not shown */
    /* from here on: not run by gopy, never queued to run */
    GFOREIGN, /* stands for a thread: waits on a note */
    GTASK,    /* stands for a task of another event loop, which host_wake_task() wakes */
};

/* A goroutine in the queue of a channel (or of whatever else it may wait for). */
struct sudog {
    struct g *g;
    struct sudog *next, *prev;
    struct waitq *q; /* the queue it is on, or NULL; guarded by that queue's lock */
    void *elem;      /* the value to send, or the one received; ownership moves with it */
    uint32_t casei;  /* select: the index of the case */
    bool success;    /* a value was passed; false: woken because the channel was closed */
    bool given_back; /* see chanunrecv: nobody waits here, but there is a value */
};

struct waitq {
    struct sudog *first, *last;
};

/* What a goroutine waits with. It has one from its start to its end, not in its stack (which is swapped out)
 * and not in the G: a goroutine that has not started is two cache lines shorter so. */
struct gwait {
    struct sudog sg;    /* for waits on one queue; its g is set from the start */
    struct timer timer; /* for sleep and timeouts */
    int64_t since;      /* when it began to wait for a mutex, for which it may park several times */
    /* For who looks for goroutines that wait for ever. Both are of its last wait of that kind. */
    void *obj;            /* the embedding's: what it waits for */
    struct sudog *sudogs; /* of a select */
    uint32_t nsudogs;
};

struct g {
    struct g *schedlink; /* the next in whatever list it is queued on */
    struct m *boundm;    /* the M that it is bound to, or NULL while any M may run it */
    uint8_t status, reason, kind, wake;
    uint32_t armed;      /* see Gwaiting */
    uint32_t epoch;      /* which fork generation it belongs to */
    uint32_t lockcount;  /* how often it has locked its M: see goroutine_lock */
    struct sudog *fired; /* which of its sudogs a waker used; NULL: none */
    struct gwait *wait;
    struct waitq joiners;
    int64_t waitsince; /* nanotime_coarse(), while waits are counted nanotime() */
    uint64_t id;
    union {
        struct note *note;     /* GFOREIGN */
        struct bubble *bubble; /* all others: the bubble that it is in, or NULL */
    };
    struct g *allnext, **allprev;
};

struct gqueue {
    struct g *head, *tail;
    uint32_t n;
};

enum mstate { Mrunning, Midle, Mwaitp };

/* What sysmon wants of the goroutine that runs on an M. */
enum preempt {
    PREEMPT_NOT,
    PREEMPT_YIELD,  /* it has had its time slice */
    PREEMPT_HANDED, /* besides, it did not yield, and the M's P has gone to another */
};

#define PREEMPT_TOKENS 4

struct m {
    struct g *curg;      /* the goroutine whose code runs; NULL while the M schedules */
    struct p *p;         /* see takep */
    int loopfd;          /* see loop.c; 0: its goroutine runs no loop that sleeps by itself */
    uint32_t loopwakers; /* threads that may be writing to loopfd */
    struct gqueue lockq; /* ready goroutines bound to this M; its own */
    /* Likewise, but behind everybody else: they have yielded, or were readied without haste (goready_when). With a GIL
     * stackless goroutines that have yielded here, and that any M may run, are among them. */
    struct gqueue yieldq;
    struct g *remote;     /* like lockq, pushed by others, newest first */
    uint32_t exited;      /* it runs nothing any more, see readyremote */
    uint32_t nlocked;     /* goroutines that have locked it: while there are any, none starts here */
    uint32_t preempt;     /* enum preempt, see preempt.c */
    int64_t yields_until; /* a time slice for the others, after one of its own was made to yield; 0: none */
    uint32_t locks;       /* while not 0, its goroutine must not be made to yield */
    uint32_t nbound;      /* live goroutines bound to it */
    uint32_t state;       /* enum mstate */
    uint32_t rand;
    bool listed;             /* is in sched.midle; idle ones that take no new goroutines are not */
    bool spinning, ending;   /* ending: takes no new goroutines, ends with its last bound one */
    bool asked;              /* it has readied one of another M since it last looked for work */
    bool entering;           /* between leave and enter on the runtime's own behalf; sysmon reads it */
    uint8_t without_p;       /* sysmon's: how often it was seen to run without a P */
    struct p *nextp;         /* comes with the wake-up */
    struct tracering *trace; /* its events, see trace.c; NULL: none yet */
    struct note park;
    struct m *idlenext; /* in sched.midle or sched.pwait */
    struct m *allnext;
    int id;
    void *host;                   /* the embedding's own */
    void *tokens[PREEMPT_TOKENS]; /* likewise, see host_preempt */
};

enum pstatus { Pidle, Prunning, Pretired };

struct p {
    int id;
    uint32_t status;
    uint64_t schedtick; /* scheduling decisions; sysmon sees from it whether the M is alive */
    uint64_t inherited; /* how many of them were for runnext, which goes on with its waker's time slice */
    uintptr_t runnext;  /* the goroutine to run next, | RUNNEXT_BOUND if bound to the owning M; 0: none */
    struct m *lastm;    /* the last M that had it */
    struct p *idlenext;
    struct runq runq;
    struct timers timers;
    uint64_t nspawned, nsteals, nstolen; /* owner writes */
    uint64_t seentick, seenslice;        /* sysmon's: what it saw last, and since when */
    int64_t seenwhen, slicewhen;
};

/* gp's status becomes `to`; `from` is the set of statuses that it may have had. A change is one owner's, see above, so
 * a plain store will do where Go swaps. A G that stands for a task or a thread only waits, again and again, and may
 * have had any. */
#define GS(status) (1u << (status))
static inline void casgstatus(struct g *gp, uint32_t from, enum gstatus to)
{
    rt_assert(gp->kind >= GFOREIGN || (from & GS(apeek(&gp->status))));
    (void)from;
    astore(&gp->status, to);
}

#define RUNNEXT_BOUND ((uintptr_t)1) /* so a thief need not look into a goroutine that may be gone */
#define MAXPROCS 1024
#define ALLG_SHARDS 16

struct sched {
    struct lock lock; /* guards what follows, down to nprocs */
    struct gqueue globq;
    struct m *midle;
    struct m *pwait_first, *pwait_last;
    struct p *pidle;
    struct m *keeper; /* the idle M that sleeps only until the next timer */
    int64_t keep_until;
    struct m *poller; /* the idle M that sleeps in the poller; NULL again when that M has left it */
    struct p *allp[MAXPROCS];
    struct m *allm; /* only grows */
    struct m *mdead;
    int nm, nmever, nmidle, nprocs; /* nprocs: Ps ever made */
    /* Read without the lock. */
    int npidle, nmspinning;
    uint32_t nglob;
    /* On a cache line that is seldom written: every call into gopy reads `attention`, see preempt.c. */
    uint32_t attention __attribute__((aligned(64)));
    uint32_t exiting, epoch, main_adopted, sysmon_running, sysmon_asleep;
    uint32_t tracing;   /* events are recorded: see trace.h */
    uint32_t profiling; /* which waits are counted, enum profile: see host_profile_wait */
    int gomaxprocs;
    uint32_t nhogs __attribute__((aligned(64))); /* Ms that compute without the P that was taken from them */
    uint32_t npreempted;
    int64_t preempt_after; /* ns, see host_preempt; 0: never */
    uint32_t yieldp;       /* sysmon: an M has waited for a P too long, give it yours */
    struct note sysmon_note;
    uint64_t goidgen, nhandoffs, nspawned;
    int64_t deadcheck_at, deadcheck_delay;
    uint64_t deadcheck_tick;
    int64_t look_delay; /* M0's, see signal_look */
    uint64_t look_tick;
    struct lock duelock; /* guards the queue `due` of timers that need a goroutine, see timerfunc.c */
    struct timerfunc *due, *due_last;
    uint32_t due_starting;
    uint32_t nexternal;       /* things beside timers and threads that can still ready a goroutine */
    uint32_t nforeign_parked; /* plain threads that wait for ever */
    uint32_t nbubbles;        /* see synctest.h */
    uint32_t nbegun, nended;  /* threads of gopy's own, the main one included: see own_thread_begins */
    struct m m0;              /* the main thread's */
    struct g *g1;             /* the main goroutine */
    struct allg {
        struct lock lock;
        struct g *first;
        uint64_t n;
    } allg[ALLG_SHARDS]; /* every live goroutine, by id; the lock also guards `joiners` */
};

extern struct sched sched;

#if defined(__GNUC__) && !defined(GOPY_NO_INITIAL_EXEC)
extern __thread struct m *tls_m __attribute__((tls_model("initial-exec")));
#else
extern __thread struct m *tls_m;
#endif

/* The M of this thread, or NULL on a thread that gopy does not run. */
static inline struct m *getm(void) { return tls_m; }

static inline struct p *takep(struct m *mp)
{
#if GOPY_THREADED
    return axchg(&mp->p, (struct p *)NULL);
#else
    return mp->p; /* sysmon takes a P only while it holds the GIL */
#endif
}

static inline void givep(struct m *mp, struct p *pp)
{
    rt_assert(apeek(&pp->status) == Prunning);
    rt_assert(apeek(&mp->p) == NULL || (!GOPY_THREADED && mp->p == pp));
    astore(&pp->lastm, mp);
    astore(&mp->p, pp);
}

/* The heap that this P's timers go to. Under the GIL a single heap is never contended, and an idle M then has
 * one deadline to watch whichever P it will get. */
static inline struct timers *ptimers(struct p *pp)
{
    return GOPY_THREADED ? &pp->timers : &sched.allp[0]->timers;
}

static inline void gq_push(struct gqueue *q, struct g *gp)
{
    gp->schedlink = NULL;
    if (q->tail)
        q->tail->schedlink = gp;
    else
        q->head = gp;
    q->tail = gp;
    q->n++;
}

static inline struct g *gq_pop(struct gqueue *q)
{
    struct g *gp = q->head;
    rt_assert((gp == NULL) == (q->tail == NULL) && (gp == NULL) == (q->n == 0));
    if (gp) {
        q->head = gp->schedlink;
        if (q->head == NULL)
            q->tail = NULL;
        q->n--;
    }
    return gp;
}

static inline uint32_t cheaprand(struct m *mp)
{
    uint32_t x = mp->rand;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return mp->rand = x;
}

static inline uint32_t cheaprandn(struct m *mp, uint32_t n)
{
    return (uint32_t)(((uint64_t)cheaprand(mp) * n) >> 32);
}

#endif
