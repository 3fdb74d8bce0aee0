/* synctest.c: see synctest.h for what must hold. */
#include "runtime/synctest.h"

#include "runtime/host.h"
#include "runtime/wait.h"

#define PATIENCE 10000000000 /* ns of the real clock without progress until a bubble says so */
#define DAY 86400000000000
#define MOST_KILLED                                                                                          \
    10000 /* how many waits are cancelled in a bubble that is killed; then it is left as it is */

static struct {
    struct lock lock; /* guards the list */
    struct bubble *first;
    uint16_t tag; /* the last one that was given */
} bubbles = {.lock = LOCK_INIT(RANK_BUBBLES)};

int64_t bubble_real(struct bubble *b, int64_t deadline)
{
    if (b == NULL || deadline == NEVER || deadline == 0)
        return deadline;
    int64_t now = nanotime();
    if (apeek(&b->real_since) == 0)
        apoke(&b->real_since, now);
    return now + (deadline - b->now);
}

int64_t bubble_waits_now(struct bubble *b)
{
    int64_t since = likely(b == NULL) ? 0 : apeek(&b->real_since);
    return bubble_now(b) + (since ? nanotime() - since : 0);
}

/* ---- its life ---- */

static bool in_use_locked(uint16_t tag)
{
    assert_held(&bubbles.lock);
    for (struct bubble *b = bubbles.first; b; b = b->next)
        if (b->tag == tag)
            return true;
    return false;
}

bool bubble_init(struct bubble *b, bool seeded, uint64_t seed)
{
    *b = (struct bubble){.seeded = seeded, .rand = seed, .now = BUBBLE_START, .seen_when = nanotime()};
    timers_init(&b->timers);
    lock(&bubbles.lock);
    bool ok = real_peek(&sched.nbubbles) < TAG_LENDABLE / 2;
    if (ok) {
        do
            b->tag = ++bubbles.tag % TAG_LENDABLE;
        while (b->tag == 0 || in_use_locked(b->tag));
        b->next = bubbles.first;
        b->prev = &bubbles.first;
        if (b->next)
            b->next->prev = &b->next;
        bubbles.first = b;
    }
    unlock(&bubbles.lock);
    if (ok)
        real_add(&sched.nbubbles, 1);
    if (ok && seeded)
        real_add(&sched.attention, 1); /* every call into gopy is a place to yield at */
    return ok;
}

void bubble_end(struct bubble *b)
{
    lock(&bubbles.lock);
    *b->prev = b->next;
    if (b->next)
        b->next->prev = b->prev;
    unlock(&bubbles.lock);
    real_add(&sched.nbubbles, -1);
    if (b->seeded)
        real_add(&sched.attention, -1);
    timers_free(&b->timers);
}

/* In the child of a fork there are no bubbles but the one that `self` is in, and nothing else in that. */
void bubble_fork_child(struct g *self)
{
    struct bubble *b = self ? bubble_of(self) : NULL;
    lock_init(&bubbles.lock, RANK_BUBBLES);
    bubbles.first = b;
    if (b == NULL)
        return;
    b->next = NULL;
    b->prev = &bubbles.first;
    lock_init(&b->lock, RANK_LEAF);
    timers_init(&b->timers);
    b->total = b->running = b->released = 1;
    b->active = b->lendable = 0;
    b->lent = false;
    b->ready = (struct gqueue){0};
    b->root = b->waiter = NULL;
    b->waiting = false;
    sched.nbubbles = 1;
    sched.attention = b->seeded;
}

/* ---- its clock ---- */

/* When the next timer fires; NEVER: none does. */
static int64_t next_locked(struct bubble *b)
{
    assert_held(&b->lock);
    int64_t next = real_peek(&b->timers.first);
    return b->total == 0 || b->stopped || (b->done && next > b->until) ? NEVER : next;
}

/* The turn of a seeded bubble's goroutine, or of its timers, is over. -> whose turn it is now, to be queued once b is
 * unlocked, or NULL. */
static struct g *next_turn_locked(struct bubble *b)
{
    assert_held(&b->lock);
    if (!b->seeded || --b->released > 0 || b->ready.n == 0)
        return NULL;
    uint32_t skip = (uint32_t)(((uint64_t)bubble_rand(b) * b->ready.n) >> 32);
    while (skip-- > 0)
        gq_push(&b->ready, gq_pop(&b->ready));
    b->released++;
    return gq_pop(&b->ready);
}

/* All wait, and no timer is left, but a thread may know what one of them waits for. */
static bool awaits_thread_locked(struct bubble *b)
{
    assert_held(&b->lock);
    return b->lent && b->lendable > 0 && !b->killed;
}

/* Fire the timers that are due. The bubble is active meanwhile; in a seeded one it is nobody's turn. */
static void fire(struct bubble *b)
{
    if (b->seeded)
        timers_shuffle(&b->timers, bubble_rand(b));
    runtimers(&b->timers, b->now);
    lock(&b->lock);
    struct g *next = next_turn_locked(b);
    unlock(&b->lock);
    if (next)
        goready_kept(next);
    lock(&b->lock);
}

/* Something has been counted out: if it was the last, decide what happens. Unlocks b, which may be gone then. */
static void settle_locked(struct bubble *b)
{
    while (b->running == 0 && aload(&b->active) == 0) {
        int64_t next = next_locked(b);
        if (next > b->now && b->waiter) {
            struct g *gp = b->waiter;
            b->waiter = NULL;
            aadd(&b->active, 1);
            unlock(&b->lock);
            if (wait_claim(gp))
                goready(gp);
            lock(&b->lock);
        } else if (next != NEVER) {
            if (next > b->now)
                apoke(&b->now, next);
            b->progress++;
            b->released += b->seeded;
            aadd(&b->active, 1);
            unlock(&b->lock);
            fire(b);
        } else if (awaits_thread_locked(b)) {
            break;
        } else {
            struct g *gp = b->root;
            b->root = NULL;
            unlock(&b->lock);
            if (gp && wait_claim(gp))
                goready(gp);
            return;
        }
        aadd(&b->active, -1);
    }
    unlock(&b->lock);
}

/* ---- for the scheduler ---- */

uint8_t durably_in_bubble(struct g *gp, uint16_t tag)
{
    struct bubble *b = bubble_of(gp);
    if (b == NULL || (tag & ~TAG_LENDABLE) != b->tag)
        return 0;
    if (!(tag & TAG_LENDABLE))
        return WAIT_DURABLE;
    return apeek(&b->lent) ? 0 : WAIT_DURABLE | WAIT_LENDABLE;
}

uint16_t bubble_lendable_tag(void)
{
    struct bubble *b = bubble_here();
    return b ? b->tag | TAG_LENDABLE : 0;
}

void bubble_lend(struct bubble *b)
{
    if (b)
        apoke(&b->lent, true);
}

void bubble_feeds(uint16_t tag)
{
    struct bubble *b = bubble_here();
    if (b && (tag & ~TAG_LENDABLE) != b->tag)
        bubble_lend(b);
}

/* gp begins or ends a durable wait. */
static void count_wait_locked(struct bubble *b, struct g *gp, uint32_t by)
{
    assert_held(&b->lock);
    if (!(gp->reason & WAIT_DURABLE))
        return;
    b->running -= by;
    if (gp->reason & WAIT_LENDABLE)
        b->lendable += by;
}

/* splitmix64 */
uint32_t bubble_rand(struct bubble *b)
{
    uint64_t z = b->rand += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

/* gp is runnable. -> whether it is kept until its turn. */
static bool keep_locked(struct bubble *b, struct g *gp)
{
    assert_held(&b->lock);
    b->progress++;
    if (likely(!b->seeded))
        return false;
    if (b->released++ == 0)
        return false;
    b->released--;
    gq_push(&b->ready, gp);
    return true;
}

bool bubble_born(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    b->total++;
    b->running++;
    bool kept = keep_locked(b, gp);
    unlock(&b->lock);
    return kept;
}

bool bubble_ready(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    count_wait_locked(b, gp, (uint32_t)-1);
    casgstatus(gp, GS(Gwaiting), Grunnable);
    bool kept = keep_locked(b, gp);
    unlock(&b->lock);
    return kept;
}

/* b is locked, and unlocked here: a goroutine's turn is over. */
static void turn_over_locked(struct bubble *b)
{
    b->progress++;
    struct g *next = next_turn_locked(b);
    if (next == NULL) {
        settle_locked(b);
        return;
    }
    unlock(&b->lock);
    goready_kept(next);
}

void bubble_park(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    count_wait_locked(b, gp, 1);
    turn_over_locked(b);
}

void bubble_exit(struct bubble *b)
{
    lock(&b->lock);
    b->total--;
    b->running--;
    turn_over_locked(b);
}

void bubble_unborn(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    bool kept = false;
    for (uint32_t n = b->ready.n; n > 0; n--) {
        struct g *other = gq_pop(&b->ready);
        if (other == gp)
            kept = true;
        else
            gq_push(&b->ready, other);
    }
    b->released += b->seeded && kept; /* as if it had run */
    b->total--;
    b->running--;
    turn_over_locked(b);
}

bool bubble_yields(struct bubble *b, struct g *gp)
{
    if (!b->seeded)
        return false;
    lock(&b->lock);
    gq_push(&b->ready, gp);
    turn_over_locked(b);
    return true;
}

bool bubble_preempts(struct bubble *b)
{
    lock(&b->lock);
    bool yields = b->seeded && b->ready.n > 0 && bubble_rand(b) < UINT32_MAX / 3;
    unlock(&b->lock);
    return yields;
}

void bubble_hold(struct bubble *b) { aadd(&b->active, 1); }

void bubble_release(struct bubble *b)
{
    lock(&b->lock);
    aadd(&b->active, -1);
    settle_locked(b);
}

/* ---- waiting for a bubble, and in it ---- */

static bool quiet_locked(struct bubble *b)
{
    assert_held(&b->lock);
    return b->running == 0 && aload(&b->active) == 0 && !awaits_thread_locked(b);
}

bool bubble_join_begin(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    bool waits = !quiet_locked(b);
    if (waits && gp) {
        wait_begin(gp, WAIT_SYNCTEST_RUN);
        b->root = gp;
    }
    unlock(&b->lock);
    return waits;
}

void bubble_join_finish(struct bubble *b, struct g *gp, enum wake w)
{
    if (w == WAKE_OP)
        return;
    lock(&b->lock);
    if (b->root == gp)
        b->root = NULL;
    unlock(&b->lock);
}

bool bubble_wait_begin(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    bool ok = !b->waiting;
    if (ok) {
        b->waiting = true;
        wait_begin(gp, WAIT_SYNCTEST_WAIT | WAIT_DURABLE);
        b->waiter = gp;
    }
    unlock(&b->lock);
    return ok;
}

void bubble_wait_finish(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    if (b->waiter == gp)
        b->waiter = NULL;
    b->waiting = false;
    unlock(&b->lock);
}

/* ---- its end ---- */

bool bubble_over(struct bubble *b)
{
    lock(&b->lock);
    bool over = b->total == 0 && aload(&b->active) == 0;
    unlock(&b->lock);
    return over;
}

void bubble_returned(struct bubble *b)
{
    lock(&b->lock);
    b->done = true;
    b->until = b->now + DAY;
    unlock(&b->lock);
    timers_drop_periodic(&b->timers);
}

struct timer *bubble_take_timer(struct bubble *b)
{
    struct timer *t = b->timers.len ? b->timers.slots[0].t : NULL;
    if (t)
        timer_del(t);
    return t;
}

/* Those that wait are claimed while their shard is locked, in which they are until they have ended. */
void bubble_kill(struct bubble *b)
{
    struct gqueue woken = {0};
    lock(&b->lock);
    b->stopped = b->killed = true;
    unlock(&b->lock);
    for (int i = 0; i < ALLG_SHARDS; i++) {
        struct allg *s = &sched.allg[i];
        lock(&s->lock);
        for (struct g *gp = s->first; gp; gp = gp->allnext)
            if (gp->bubble == b && wait_claim(gp)) {
                gp->wake = WAKE_GOEXIT;
                gq_push(&woken, gp);
            }
        unlock(&s->lock);
    }
    for (struct g *gp; (gp = gq_pop(&woken)) != NULL;)
        goready(gp);
}

/* Does gp wait for a lock of its bubble's? Whoever has that is ending, too, and lets go of it. gp may want it for that as well. */
static bool waits_for_lock(struct g *gp)
{
    uint8_t reason = gp->reason & ~WAIT_FLAGS;
    return (gp->reason & WAIT_DURABLE) &&
           (reason == WAIT_SYNC_MUTEX_LOCK || reason == WAIT_SYNC_RWMUTEX_LOCK ||
            reason == WAIT_SYNC_RWMUTEX_RLOCK);
}

/* A goroutine that catches everything and waits again would go on for ever. */
bool bubble_cancels(struct bubble *b, struct g *gp)
{
    lock(&b->lock);
    bool cancels = b->killed && b->nkilled < MOST_KILLED && !waits_for_lock(gp);
    b->nkilled += cancels;
    unlock(&b->lock);
    return cancels;
}

void bubbles_look(int64_t now)
{
    uint16_t tag = 0;
    lock(&bubbles.lock);
    for (struct bubble *b = bubbles.first; b && tag == 0; b = b->next) {
        lock(&b->lock);
        if (b->progress != b->seen || b->total == 0) {
            b->seen = b->progress;
            b->seen_when = now;
        } else if (!b->told && now - b->seen_when >= PATIENCE) {
            b->told = true;
            tag = b->tag;
        }
        unlock(&b->lock);
    }
    unlock(&bubbles.lock);
    if (tag)
        host_bubble_stuck(tag);
}
