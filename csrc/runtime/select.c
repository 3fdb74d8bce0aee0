/* select.c: after Go's runtime/select.go.
 *
 * A select locks all its channels, tries the cases in random order, and if none can be done now has a sudog on the
 * queue of each before it lets go of them. The first waker to claim the goroutine says by `fired` which case it was. */
#include "runtime/select.h"

#include "runtime/host.h"

static void sellock(struct selectstate *s)
{
    struct hchan *prev = NULL;
    for (uint32_t i = 0; GOPY_LOCKS && i < s->n; i++) {
        struct hchan *c = s->cases[s->lockorder[i]].c;
        if (c && c != prev)
            lock(&c->lock);
        prev = c;
    }
}

/* With the last unlock a stackless goroutine that has begun to wait may be resumed elsewhere, and s be gone. */
static void selunlock(struct selectstate *s)
{
    struct hchan *c = GOPY_LOCKS && s->n ? s->cases[s->lockorder[s->n - 1]].c : NULL;
    for (uint32_t i = s->n; c;) {
        struct hchan *next = --i ? s->cases[s->lockorder[i - 1]].c : NULL;
        if (c != next)
            unlock(&c->lock);
        c = next;
    }
}

/* The order in which channels are locked, by address; nil channels first. Insertion sort below 16 cases,
 * shell sort above: it is nearly linear for the few dozen that a select ever has. */
static void sort_lockorder(struct selectstate *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->lockorder[i] = (uint16_t)i;
    static const uint32_t gaps[] = {3551, 835, 207, 48, 13, 4, 1};
    for (uint32_t k = s->n > 16 ? 0 : 6; k < 7; k++)
        for (uint32_t gap = gaps[k], i = gap; i < s->n; i++) {
            uint16_t o = s->lockorder[i];
            uint32_t j = i;
            for (; j >= gap && (uintptr_t)s->cases[s->lockorder[j - gap]].c > (uintptr_t)s->cases[o].c;
                 j -= gap)
                s->lockorder[j] = s->lockorder[j - gap];
            s->lockorder[j] = o;
        }
}

static uint32_t next_rand(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

static inline bool is_timed(struct scase *k) { return k->c && chan_timed(k->c); }

/* Whoever selects no longer waits for the timers of the first n cases. */
static void unblock_timed(struct selectstate *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_timed(&s->cases[i]))
            timechan_unblock(s->cases[i].c);
}

static bool block_timed(struct selectstate *s, struct g *gp)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (is_timed(&s->cases[i]) && !timechan_block(s->cases[i].c, gp)) {
            unblock_timed(s, i);
            return false;
        }
    return true;
}

static uint8_t select_reason(struct selectstate *s, struct g *gp)
{
    uint8_t durable = durably_alone(gp);
    for (uint32_t i = 0; i < s->n && unlikely(durable != 0); i++)
        if (s->cases[i].c)
            durable = durably(gp, s->cases[i].c->bubble);
    return (s->n ? WAIT_SELECT : WAIT_SELECT_NO_CASES) | durable;
}

static enum chan_result select_once(struct selectstate *s, struct g *gp, uint32_t *casei)
{
    struct g *woken = NULL;
    enum chan_result r = CHAN_BLOCK;
    sellock(s);
    for (uint32_t i = 0; i < s->n && r == CHAN_BLOCK; i++) {
        struct scase *k = &s->cases[ *casei = s->pollorder[i]];
        if (k->c)
            r = k->send ? try_send_locked(k->c, k->elem, &woken) : try_recv_locked(k->c, &k->elem, &woken);
    }
    if (r == CHAN_BLOCK && gp) {
        wait_begin(gp, select_reason(s, gp));
        /* In poll order, so that of several cases on one channel none is preferred. */
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t o = s->pollorder[i];
            struct scase *k = &s->cases[o];
            struct sudog *sg = &s->sudogs[o];
            *sg = (struct sudog){.g = gp, .elem = k->send ? k->elem : NULL, .casei = o};
            if (k->c)
                enqueue(k->send ? &k->c->sendq : &k->c->recvq, sg);
        }
        gp->wait->sudogs = s->sudogs;
        gp->wait->nsudogs = s->n;
        r = CHAN_PARK;
    }
    selunlock(s);
    if (woken)
        goready(woken);
    return r;
}

enum chan_result select_begin(struct selectstate *s, struct g *gp, uint32_t rand, uint32_t *casei)
{
    bool timed = false;
    *casei = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t j = (uint32_t)(((uint64_t)rand * (i + 1)) >> 32);
        rand = next_rand(rand);
        s->pollorder[i] = s->pollorder[j];
        s->pollorder[j] = (uint16_t)i;
        struct hchan *c = s->cases[i].c;
        if (likely(c == NULL || !(apeek(&c->flags) & (CHAN_TIMED | CHAN_BUBBLED))))
            continue;
        if (chan_foreign(c, gp)) {
            *casei = i;
            return CHAN_BUBBLE;
        }
        if (chan_timed(c)) {
            timed = true;
            timechan_poll(c, gp);
        }
    }
    if (GOPY_LOCKS)
        sort_lockorder(s);
    enum chan_result r = select_once(s, timed ? NULL : gp, casei);
    if (likely(!timed) || r != CHAN_BLOCK || gp == NULL)
        return r;
    if (!block_timed(s, gp)) /* before it is queued, as for a receive */
        return CHAN_NOMEM;
    r = select_once(s, gp, casei);
    if (r != CHAN_PARK)
        unblock_timed(s, s->n);
    return r;
}

enum chan_result select_finish(struct selectstate *s, struct g *gp, enum wake w, uint32_t *casei)
{
    sellock(s);
    for (uint32_t i = 0; i < s->n; i++) {
        struct scase *k = &s->cases[i];
        if (k->c)
            dequeue_sudog(k->send ? &k->c->sendq : &k->c->recvq, &s->sudogs[i]);
    }
    selunlock(s);
    unblock_timed(s, s->n);
    if (w != WAKE_OP)
        return CHAN_ENDED;
    struct sudog *sg = gp->fired;
    *casei = sg->casei;
    if (!s->cases[sg->casei].send)
        s->cases[sg->casei].elem = sg->elem;
    return sg->success ? CHAN_OK : CHAN_CLOSED;
}
