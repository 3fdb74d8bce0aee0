/* timer.h: a 4-ary heap of deadlines, one a P (with the GIL: one for all, see ptimers in gmp.h).
 *
 * A timer is in at most one heap, and `heap` says which; it lives in somebody else's memory. Its function
 * runs with the heap locked, so once timer_del has returned it neither runs nor will. The function must be short. It
 * readies no goroutine: one whose wait it has claimed it puts into `ready`, for the caller of timers_run() to ready when
 * the heap is unlocked. If the function moves `when` to after `now`, the timer stays in the heap and fires again then;
 * otherwise it leaves the heap.
 *
 * In the child of a fork the parent's heaps are abandoned where they lie. The `heap` of a timer that was in one still
 * points there; timer_del knows such a heap by its generation, leaves it alone, and sets `heap` to NULL. */
#ifndef GOPY_TIMER_H
#define GOPY_TIMER_H

#include "runtime/lock.h"

struct timers;
struct gqueue;

struct timer {
    int64_t when;        /* on the clock of nanotime() */
    struct timers *heap; /* NULL: in none */
    uint32_t index;
    bool periodic; /* a bubble's clock does not go on for it alone, see synctest.h */
    void (*fn)(struct timer *t, int64_t now, struct gqueue *ready);
};

struct timers {
    struct lock lock;
    uint32_t len, cap;
    uint32_t generation; /* in which fork generation it was made */
    int64_t first;       /* `when` of the root or NEVER; sysmon and other Ps read it without the lock */
    struct timer_slot {
        int64_t when;
        struct timer *t;
    } *slots;
};

void timers_init(struct timers *ts);
bool timer_add(struct timers *ts, struct timer *t, int64_t when);     /* false: out of memory */
bool timer_del(struct timer *t);                                      /* true: it was pending */
int timers_run(struct timers *ts, int64_t now, struct gqueue *ready); /* run what is due; how many */
bool timers_move(struct timers *to, struct timers *from);             /* when a P is retired */
void timers_drop_periodic(struct timers *ts);                         /* take all those out */
void timers_shuffle(struct timers *ts, uint32_t rand); /* those that are due with the first, a few */
void timers_free(struct timers *ts);                   /* an empty one's memory */
void timers_forget(void);                              /* in the child of a fork */

#endif
