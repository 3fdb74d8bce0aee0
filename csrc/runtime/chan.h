/* chan.h: channels, as in Go's runtime/chan.go.
 *
 * Each operation on a channel that may wait comes as begin, gowait, finish. Ownership of an elem moves with the
 * operation: on CHAN_OK a sent elem belongs to the channel or its receiver and a received one to the caller, otherwise
 * nothing moved. */
#ifndef GOPY_CHAN_H
#define GOPY_CHAN_H

#include "runtime/sudog.h"

struct hchan {
    struct lock lock;   /* guards everything here and the sudogs on both queues */
    uint8_t flags;      /* enum chan_flag */
    uint16_t bubble;    /* the tag of the bubble that it was made in; 0: none */
    size_t count, size; /* values in the buffer, its capacity */
    size_t sendx, recvx;
    struct waitq recvq, sendq;
    void **buf;
};

enum chan_flag {
    CHAN_IS_CLOSED = 1,
    CHAN_TIMED = 2,   /* a timer sends on it: it is the first member of a struct timechan */
    CHAN_BUBBLED = 4, /* `bubble` is not 0, and nobody outside may use it */
};

static inline bool chan_closed(const struct hchan *c) { return apeek(&c->flags) & CHAN_IS_CLOSED; }
static inline bool chan_timed(const struct hchan *c) { return unlikely(apeek(&c->flags) & CHAN_TIMED); }

COLD bool chan_bubbled_foreign(struct hchan *c, struct g *gp);

/* Is it of another bubble than gp, or, if that stands for no goroutine, than the one that calls? */
static inline bool chan_foreign(struct hchan *c, struct g *gp)
{
    return unlikely(apeek(&c->flags) & CHAN_BUBBLED) && chan_bubbled_foreign(c, gp);
}

enum chan_result {
    CHAN_OK,
    CHAN_CLOSED,
    CHAN_BLOCK,  /* would have to wait */
    CHAN_PARK,   /* begin: queued, now gowait() and finish */
    CHAN_BUBBLE, /* begin: it is of another bubble than the caller, and nothing has happened */
    CHAN_NOMEM,  /* begin: out of memory, and not queued */
    CHAN_ENDED,  /* finish: nothing has happened but that the wait has ended, as its enum wake says */
};

bool chaninit(struct hchan *c, size_t size); /* false: out of memory */
bool changrow(
    struct hchan
        *c); /* if it is full and nobody waits to send, it has more room then; false: out of memory */

void *chandrop(struct hchan *c); /* when nobody refers to it: a value that is left in it, or NULL */
void chanfree(struct hchan *c);
bool closechan(struct hchan *c); /* false: it was closed already */

/* What timechan.c does for a channel that is timed, outside its lock: before an operation looks at it, before a
 * receiver queues itself (false: out of memory), and when that one waits no more. */
void timechan_poll(struct hchan *c, struct g *gp);
bool timechan_block(struct hchan *c, struct g *gp);
void timechan_unblock(struct hchan *c);

/* A receiver that was given elem is cancelled before it has taken elem: the next to receive gets it. gp, of kind GTASK,
 * is a G that waits for nothing. -> true: the channel keeps gp, as if gp were sending elem, and calls
 * host_wake_task(gp) when elem is taken. */
bool chanunrecv(struct hchan *c, struct g *gp, void *elem);

/* gp NULL: do not wait. */
static inline enum chan_result chansend_begin(struct hchan *c, struct g *gp, void *elem);
enum chan_result chansend_finish(struct hchan *c, struct g *gp, enum wake w);
enum chan_result chanrecv_begin(struct hchan *c, struct g *gp, void **elem); /* CHAN_CLOSED: and drained */
enum chan_result chanrecv_finish(struct hchan *c, struct g *gp, enum wake w, void **elem);

/* Send without waiting, for a timer: a receiver that was waiting is put into `ready`, for goready_due(). */
void chansend_due(struct hchan *c, void *elem, struct gqueue *ready);

/* ---- for chan.c and select.c ---- */

static inline void *chanbuf_get(struct hchan *c)
{
    void *elem = c->buf[c->recvx];
    c->recvx = c->recvx + 1 == c->size ? 0 : c->recvx + 1;
    c->count--;
    return elem;
}

static inline void chanbuf_put(struct hchan *c, void *elem)
{
    c->buf[c->sendx] = elem;
    c->sendx = c->sendx + 1 == c->size ? 0 : c->sendx + 1;
    c->count++;
}

/* What most sends and receives of a buffered channel are: there is room, or a value, and nobody waits, so nobody is woken
 * and nothing is called. false, and NULL: it is more than that, and nothing has happened. A value must not be NULL. */
static inline bool chan_put(struct hchan *c, void *elem)
{
    if (GOPY_THREADED && c->size == 0)
        return false;
    lock(&c->lock);
    bool simple =
        !(apeek(&c->flags) & (CHAN_IS_CLOSED | CHAN_BUBBLED)) && c->recvq.first == NULL && c->count < c->size;
    if (simple)
        chanbuf_put(c, elem);
    unlock(&c->lock);
    return simple;
}

static inline void *chan_take(struct hchan *c)
{
    if (GOPY_THREADED && c->size == 0)
        return NULL;
    lock(&c->lock);
    bool simple = !(apeek(&c->flags) & (CHAN_TIMED | CHAN_BUBBLED)) && c->sendq.first == NULL && c->count > 0;
    void *elem = simple ? chanbuf_get(c) : NULL;
    unlock(&c->lock);
    return elem;
}

/* The part that an operation on one channel and a select have in common: send or receive if that can be done without
 * waiting, else CHAN_BLOCK. *woken is set to a goroutine whose wait this has ended: the caller readies it after it has
 * unlocked c. */
static inline enum chan_result try_send_locked(struct hchan *c, void *elem, struct g **woken)
{
    assert_held(&c->lock);
    if (unlikely(chan_closed(c)))
        return CHAN_CLOSED;
    struct sudog *sg;
    if (c->recvq.first && (sg = dequeue(&c->recvq)) != NULL) {
        sg->elem = elem;
        sg->success = true;
        *woken = sg->g;
        return CHAN_OK;
    }
    if (c->count < c->size) {
        chanbuf_put(c, elem);
        return CHAN_OK;
    }
    return CHAN_BLOCK;
}

static inline enum chan_result try_recv_locked(struct hchan *c, void **elem, struct g **woken)
{
    assert_held(&c->lock);
    struct sudog *sg;
    if (c->count > 0) {
        *elem = chanbuf_get(c);
        if (c->sendq.first && (sg = dequeue(&c->sendq)) != NULL) {
            chanbuf_put(c, sg->elem);
            sg->success = true;
            *woken = sg->g;
        }
        return CHAN_OK;
    }
    if (c->sendq.first && (sg = dequeue(&c->sendq)) != NULL) {
        *elem = sg->elem;
        sg->success = true;
        *woken = sg->g;
        return CHAN_OK;
    }
    return chan_closed(c) ? CHAN_CLOSED : CHAN_BLOCK;
}

/* gp begins to wait on q, which is one of c's. Out of line: what need not wait is to be small. */
__attribute__((noinline)) void chan_wait_on(struct hchan *c, struct waitq *q, struct g *gp, uint8_t reason,
                                            void *elem);

static inline enum chan_result chansend_begin(struct hchan *c, struct g *gp, void *elem)
{
    struct g *woken = NULL;
    lock(&c->lock);
    /* Both at once, so that the test for the second is not one more than try_send_locked's own. */
    if (unlikely(apeek(&c->flags) & (CHAN_IS_CLOSED | CHAN_BUBBLED)) && chan_foreign(c, gp)) {
        unlock(&c->lock);
        return CHAN_BUBBLE;
    }
    enum chan_result r = try_send_locked(c, elem, &woken);
    if (r == CHAN_BLOCK && gp) {
        chan_wait_on(c, &c->sendq, gp, WAIT_CHAN_SEND, elem);
        r = CHAN_PARK;
    }
    unlock(&c->lock);
    if (woken)
        goready_when(woken, c->size == 0);
    return r;
}

#endif
