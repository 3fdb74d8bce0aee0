/* timechan.h: a channel that a timer sends on: what time's Timer and Ticker are made of. After Go 1.23's
 * runtime/time.go.
 *
 * The value is the time at which it was due, packed into the elem (timechan_time). It goes to a receiver that
 * waits, or into the channel's one-element buffer; into a full one it does not go, so slow receivers lose ticks.
 * Whoever stops or resets the timer empties the buffer: no stale value is ever received.
 *
 * The timer is in a heap only while somebody waits on the channel. Otherwise those who look at the channel see
 * for themselves whether it is due (timechan_poll). So a timer that nobody waits for costs nothing but its memory,
 * can be freed at any time, and wakes nobody up.
 *
 * `lock` guards all but the channel. It comes before timers.lock, so the timer's function, which runs under
 * that, does without: `timer` and `period` change only while the timer is in no heap, or by the function. */
#ifndef GOPY_TIMECHAN_H
#define GOPY_TIMECHAN_H

#include "runtime/chan.h"

struct timechan {
    struct hchan c; /* first, see hchan.timed */
    struct timer
        timer; /* on the clock of c's bubble, if any. `when`: 0 if it is stopped or has fired, NEVER if it does not fire */
    struct lock lock;
    uint32_t blocked; /* how many receivers wait */
    uint32_t epoch;   /* the fork generation that `timer.heap`, `lock` and `blocked` belong to */
    int64_t period;   /* of a ticker, else 0 */
    int64_t sent;     /* the last value that it has sent since it was stopped or reset, or 0 */
    void *slot;       /* the buffer */
};

void timechan_init(struct timechan *tc, int64_t when, int64_t period);
void timechan_end(struct timechan *tc); /* before its memory goes */

/* true: it was pending, or its value was in the buffer still. false: it was stopped, or its value has been received. */
bool timechan_stop(struct timechan *tc);
/* false: out of memory, it is stopped. *was: what timechan_stop would have returned. */
bool timechan_reset(struct timechan *tc, int64_t when, int64_t period, bool *was);

_Static_assert(sizeof(void *) >= sizeof(int64_t), "a time must fit into an elem");

static inline double timechan_seconds(int64_t time) { return (double)time / 1e9; }

/* What was received from c as elem, in seconds on the clock of nanotime(), or of c's bubble. */
static inline double timechan_value(struct hchan *c, void *elem)
{
    return timechan_seconds((int64_t)(uintptr_t)elem - (c->bubble ? BUBBLE_START : 0));
}

/* A receiver was cancelled before it could take this value: send it again, unless it is stale. */
void timechan_unrecv(struct timechan *tc, double seconds);

#endif
