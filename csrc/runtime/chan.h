/* chan.h: channels and select, as in Go's runtime/chan.go and select.go.
 *
 * Each operation on a channel that may wait comes as begin, gowait, finish; chansend and chanrecv are the
 * three in one for whoever can park where it stands. Ownership of an elem moves with it: on CHAN_OK a sent
 * elem belongs to the channel or its receiver and a received one to the caller, otherwise nothing moved. */
#ifndef GOPY_CHAN_H
#define GOPY_CHAN_H

#include "runtime/sched.h"

struct hchan {
    struct lock lock; /* guards everything here and the sudogs on both queues */
    bool closed;
    bool timed;         /* a timer sends on it: it is the first member of a struct timechan */
    size_t count, size; /* values in the buffer, its capacity */
    size_t sendx, recvx;
    struct waitq recvq, sendq;
    void **buf;
};

enum chan_result {
    CHAN_OK,
    CHAN_CLOSED,
    CHAN_BLOCK, /* would have to wait */
    CHAN_PARK,  /* begin: queued, now gowait() and finish */
    CHAN_TIMEOUT,
    CHAN_INTERRUPT,
    CHAN_NOMEM,
};

bool chaninit(struct hchan *c, size_t size); /* false: out of memory */
void *chandrop(struct hchan *c); /* when nobody refers to it: a value that is left in it, or NULL */
void chanfree(struct hchan *c);
bool closechan(struct hchan *c); /* false: it was closed already */

/* What timechan.c does for a channel that is `timed`, outside its lock: before an operation looks at it, before a
 * receiver queues itself (false: out of memory), and when that one waits no more. */
void timechan_poll(struct hchan *c);
bool timechan_block(struct hchan *c, struct g *gp);
void timechan_unblock(struct hchan *c);

/* A receiver that was given elem is cancelled before it has taken it: the next to receive gets it. gp, of kind
 * GTASK, is the receiver's G. -> true: the channel keeps it, as if it were sending, and has host_wake_task() called
 * with it when the value is taken. */
bool chanunrecv(struct hchan *c, struct g *gp, void *elem);

/* gp NULL: do not wait. */
enum chan_result chansend_begin(struct hchan *c, struct g *gp, void *elem);
enum chan_result chansend_finish(struct hchan *c, struct g *gp, enum wake w);
enum chan_result chanrecv_begin(struct hchan *c, struct g *gp, void **elem); /* CHAN_CLOSED: and drained */
enum chan_result chanrecv_finish(struct hchan *c, struct g *gp, enum wake w, void **elem);
enum chan_result chansend(struct hchan *c, struct g *gp, void *elem, int64_t deadline);
enum chan_result chanrecv(struct hchan *c, struct g *gp, void **elem, int64_t deadline);

/* A wait that nothing but its deadline ends: nil channels, select without cases. */
enum chan_result waitforever(struct g *gp, uint8_t reason, int64_t deadline);

struct scase {
    struct hchan *c; /* NULL: the nil channel, never ready */
    void *elem;      /* to send; or what was received */
    bool send;
};

/* The working memory of one select; it must outlive the wait, so it is not on a C stack. */
struct selectstate {
    uint32_t n;
    uint16_t *pollorder, *lockorder; /* n each */
    struct scase *cases;
    struct sudog *sudogs; /* needed only to wait; begin() with gp NULL does without */
};

/* *casei: the case that ran, with CHAN_OK or CHAN_CLOSED (a receive got no value, a send must raise). */
enum chan_result select_begin(struct selectstate *s, struct g *gp, uint32_t rand, uint32_t *casei);
enum chan_result select_finish(struct selectstate *s, struct g *gp, enum wake w, uint32_t *casei);

#endif
