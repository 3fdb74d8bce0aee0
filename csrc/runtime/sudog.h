/* sudog.h: FIFO queues of waiting goroutines. Their owner's lock must be held for every call.
 *
 * A sudog is on a queue exactly while its `q` says so. dequeue() claims the goroutine that it returns: the
 * caller, and nobody else, must goready() it. Those whose wait has already ended some other way (another case
 * of their select, a timeout) are dropped on the way, as are those that a fork left behind. */
#ifndef GOPY_SUDOG_H
#define GOPY_SUDOG_H

#include "runtime/wait.h"

static inline void enqueue(struct waitq *q, struct sudog *sg)
{
    rt_assert(sg->q == NULL);
    sg->next = NULL;
    sg->prev = q->last;
    sg->q = q;
    if (q->last)
        q->last->next = sg;
    else
        q->first = sg;
    q->last = sg;
}

/* Before all others. */
static inline void enqueue_front(struct waitq *q, struct sudog *sg)
{
    rt_assert(sg->q == NULL);
    sg->next = q->first;
    sg->prev = NULL;
    sg->q = q;
    if (q->first)
        q->first->prev = sg;
    else
        q->last = sg;
    q->first = sg;
}

/* Take sg off q if it is there. */
static inline void dequeue_sudog(struct waitq *q, struct sudog *sg)
{
    if (sg->q != q)
        return;
    if (sg->prev)
        sg->prev->next = sg->next;
    else
        q->first = sg->next;
    if (sg->next)
        sg->next->prev = sg->prev;
    else
        q->last = sg->prev;
    sg->q = NULL;
}

static inline struct sudog *dequeue(struct waitq *q)
{
    for (struct sudog *sg; (sg = q->first) != NULL;) {
        dequeue_sudog(q, sg);
        if (likely(sg->g->epoch == sched.epoch) && wait_claim(sg->g)) {
            sg->g->fired = sg;
            return sg;
        }
    }
    return NULL;
}

/* Ready those that dequeue() has claimed, after the lock is released. The last one readied runs next and the
 * others in their order, so the first comes last. */
static inline void goready_all(struct gqueue *woken)
{
    struct g *first = gq_pop(woken);
    for (struct g *gp; (gp = gq_pop(woken)) != NULL;)
        goready(gp);
    if (first)
        goready(first);
}

#endif
