/* synctest.h: bubbles: goroutines with a clock of their own, for tests. After Go's runtime/synctest.go.
 *
 * A bubble is a property of goroutines (g.bubble, inherited by those that they start), of the timers in its heap, and of the
 * channels, locks and so on that are made in it, which remember its tag. A goroutine waits durably if only what is in the
 * bubble can wake it: for something that has the bubble's tag, or for the clock. Its reason then has WAIT_DURABLE.
 *
 * Invariant: `running` is the number of the bubble's goroutines that do not wait durably, `active` that of other things
 * that are about to wake or start one. Each goroutine is counted out as the last thing before it parks, and in by whoever
 * readies it. So when both fall to zero nothing in the bubble can happen any more, and whoever has counted the last one
 * out decides what does (settle, synctest.c): timers that are due fire; or else the goroutine in wait() goes on; or the clock
 * jumps to the next timer; or the one that waits for the bubble's end is woken.
 *
 * In a seeded bubble one goroutine at a time is in the scheduler's queues (`released`). The others that are ready are in
 * `ready`, from where one is drawn whenever that goroutine parks, ends or yields; and it is made to yield at some of its
 * calls into gopy. Timers of the same moment change places before they fire. So the order depends on the seed alone, whatever GOMAXPROCS is.
 *
 * What module threading makes in a bubble, in a patched program, is the bubble's as well, but threads may know it: the bubble can
 * lend it to them. Such a thing has TAG_LENDABLE in its tag. It is lent, with all others of its bubble and for good (`lent`), by
 * what lets a thread come to know them: a goroutine of the bubble starts or joins a thread, or wakes or feeds somebody by a
 * Condition, an Event or a queue from outside. A wait for it that begins later is not durable. One that has begun before stays
 * on the bubble's clock; as a thread may end it, there is no deadlock while there is one (`lendable`).
 *
 * Outside of bubbles this costs a look at g.bubble where a goroutine is started, parks, is readied or ends, and bits that are
 * tested along with others where a channel is used. */
#ifndef GOPY_SYNCTEST_H
#define GOPY_SYNCTEST_H

#include "runtime/gmp.h"

/* Out of line, so that those outside of bubbles do not pay for what it needs. */
#define COLD __attribute__((noinline, cold))

#define TAG_LENDABLE 0x8000 /* tags are below */
#define BUBBLE_START                                                                                         \
    1000000000 /* what a bubble's clock begins with, for it to differ from 0; programs see 0 */

struct bubble {
    struct lock lock; /* guards what follows, but for `now` and the timers; a leaf */
    uint16_t tag;
    bool
        done; /* its function has returned: tickers stand still, and the clock goes no further than `until` */
    bool stopped; /* the clock stands still for good */
    bool killed;  /* its goroutines are to end: see bubble_kill */
    bool seeded;
    bool lent;
    uint32_t total, running, active;
    uint32_t lendable; /* how many wait durably for what has TAG_LENDABLE */
    uint32_t released; /* seeded: how many are in the scheduler's queues, or run */
    uint32_t nkilled;
    struct gqueue ready; /* seeded */
    uint64_t rand;
    int64_t until;
    uint64_t progress; /* grows with all that happens in it */
    struct g *root;    /* who waits for its end, or NULL */
    struct g *waiter;  /* who is in wait(), or NULL */
    bool waiting;
    int64_t now;          /* changes only while all wait durably */
    int64_t real_since;   /* the real time when the first wait on the real clock began in it, or 0 */
    struct timers timers; /* has a lock of its own */
    void *host;           /* the embedding's */
    struct bubble *next, **prev;
    uint64_t seen; /* sysmon's: `progress` at its last look, and since when that has been so */
    int64_t seen_when;
    bool told;
};

/* The bubble that gp is in, or NULL. */
static inline struct bubble *bubble_of(struct g *gp)
{
    return likely(gp->bubble == NULL) || gp->kind == GFOREIGN ? NULL : gp->bubble;
}

/* That of the goroutine that runs here. */
static inline struct bubble *bubble_here(void)
{
    struct m *mp = getm();
    return mp && mp->curg ? bubble_of(mp->curg) : NULL;
}

/* That of who begins a wait for gp, or, if that stands for an asyncio task or is NULL, of the goroutine that runs here. */
static inline struct bubble *bubble_calling(struct g *gp)
{
    return gp && gp->kind < GFOREIGN ? gp->bubble : bubble_here();
}

static inline uint16_t bubble_tag(struct bubble *b) { return likely(b == NULL) ? 0 : b->tag; }

/* For what is made here and may be lent to threads. */
COLD uint16_t bubble_lendable_tag(void);
static inline uint16_t lendable_tag(void)
{
    return likely(real_peek(&sched.nbubbles) == 0) ? 0 : bubble_lendable_tag();
}

/* Whoever calls wakes or feeds those that wait for what has that tag. */
COLD void bubble_feeds(uint16_t tag);
static inline void feeds(uint16_t tag)
{
    if (unlikely(real_peek(&sched.nbubbles) != 0))
        bubble_feeds(tag);
}
COLD void bubble_lend(struct bubble *b); /* NULL: none */

/* For the reason of a wait of gp's for what was made with that tag. */
COLD uint8_t durably_in_bubble(struct g *gp, uint16_t tag);
static inline uint8_t durably(struct g *gp, uint16_t tag)
{
    return likely(gp->bubble == NULL) ? 0 : durably_in_bubble(gp, tag);
}

/* Likewise, for a wait that the clock ends, or nobody. */
static inline uint8_t durably_alone(struct g *gp) { return likely(bubble_of(gp) == NULL) ? 0 : WAIT_DURABLE; }

/* The clock of b, or the real one. */
static inline int64_t bubble_now(struct bubble *b) { return likely(b == NULL) ? nanotime() : apeek(&b->now); }
static inline int64_t nanotime_here(void) { return bubble_now(bubble_here()); }
static inline int64_t bubble_epoch(struct bubble *b) { return likely(b == NULL) ? 0 : BUBBLE_START; }

/* A deadline on the clock of b as one on the real clock, for a wait that begins. */
int64_t bubble_real(struct bubble *b, int64_t deadline);

/* For who waits again and again, each time for what is left of a timeout, and does not know on which clock a wait is: it goes
 * on as both do. In a bubble in which no wait has been on the real clock yet it is the bubble's. */
int64_t bubble_waits_now(struct bubble *b);

bool bubble_init(struct bubble *b, bool seeded, uint64_t seed); /* false: there are too many */
void bubble_end(struct bubble *b);                              /* no goroutine of it is left, and no timer */
bool bubble_over(struct bubble *b);                             /* no goroutine of it is left */
void bubble_returned(struct bubble *b);                         /* its function has returned */
struct timer *bubble_take_timer(struct bubble *b);              /* at its end: one that is left, or NULL */
/* Stop its clock, and end all that wait, and, for long, all that begin to, but for those that wait for its locks. */
void bubble_kill(struct bubble *b);
COLD bool bubble_cancels(struct bubble *b,
                         struct g *gp); /* is the wait that gp has begun to be cancelled for that? */
void bubble_fork_child(struct g *self);

/* For those who wait: begin (true: gp is queued, now gowait() and finish; gp NULL: only ask). */
bool bubble_join_begin(struct bubble *b, struct g *gp);
void bubble_join_finish(struct bubble *b, struct g *gp, enum wake w);
bool bubble_wait_begin(struct bubble *b, struct g *gp); /* false: somebody else waits already */
void bubble_wait_finish(struct bubble *b, struct g *gp);

/* For the scheduler. */
COLD bool bubble_born(struct bubble *b, struct g *gp);  /* true: kept until it is its turn */
COLD bool bubble_ready(struct bubble *b, struct g *gp); /* likewise; gp's wait has been claimed */
COLD void bubble_park(struct bubble *b, struct g *gp);  /* the last thing before gp parks */
COLD void bubble_exit(struct bubble *b);
COLD void bubble_unborn(struct bubble *b, struct g *gp); /* gp cannot be started after all */
COLD bool bubble_yields(struct bubble *b, struct g *gp); /* true: gp, which yields, is kept likewise */
COLD bool bubble_preempts(struct bubble *b);             /* is the goroutine that runs to yield? */
COLD uint32_t bubble_rand(struct bubble *b);
COLD void bubble_hold(struct bubble *b); /* something is about to start a goroutine in b */
COLD void bubble_release(struct bubble *b);
void bubbles_look(int64_t now); /* for sysmon, attached */

#endif
