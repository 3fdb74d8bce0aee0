/* sync_waitgroup.c: WaitGroup, after Go's sync/waitgroup.go.
 *
 * The counter and the number of waiters change together, so a waiter is either counted before the counter
 * falls to zero, and is then on q and woken, or finds it zero. Unlike in Go there is no moment at which the
 * counter is zero and waiters are counted. So the add that Go reports at that moment ("misuse: Add called concurrently
 * with Wait") comes after it here, and the waiter notices it (SYNC_REUSED). A counter never becomes negative: the add
 * that would make it so is refused. */
#include "runtime/sudog.h"
#include "runtime/sync.h"

enum sync_result wgadd(struct waitgroup *wg, int32_t delta)
{
    struct gqueue woken = {0};
    enum sync_result r = SYNC_OK;
    lock(&wg->lock);
    for (;;) {
        uint64_t s = aload(&wg->state);
        int64_t v = (int64_t)WG_COUNT(s) + delta;
        if (v < 0 || v > INT32_MAX) {
            r = v < 0 ? SYNC_NEGATIVE : SYNC_TOO_MANY;
            break;
        }
        if (!acas(&wg->state, s, v == 0 ? 0 : (uint64_t)v << 32 | WG_WAITERS(s)))
            continue;
        for (struct sudog *sg; v == 0 && (sg = dequeue(&wg->q)) != NULL;)
            gq_push(&woken, sg->g);
        break;
    }
    unlock(&wg->lock);
    goready_all(&woken);
    return r;
}

enum sync_result wgwait_begin(struct waitgroup *wg, struct g *gp)
{
    if (WG_COUNT(aload(&wg->state)) == 0)
        return SYNC_OK;
    if (gp == NULL)
        return SYNC_BLOCK;
    enum sync_result r = SYNC_OK;
    lock(&wg->lock);
    for (uint64_t s; WG_COUNT(s = aload(&wg->state)) != 0;)
        if (acas(&wg->state, s, s + 1)) {
            wait_begin(gp, WAIT_SYNC_WAITGROUP_WAIT | durably(gp, wg->bubble));
            enqueue(&wg->q, &gp->wait->sg);
            r = SYNC_PARK;
            break;
        }
    unlock(&wg->lock);
    return r;
}

enum sync_result wgwait_finish(struct waitgroup *wg, struct g *gp, enum wake w)
{
    if (likely(w == WAKE_OP))
        return aload(&wg->state) ? SYNC_REUSED : SYNC_OK;
    lock(&wg->lock);
    /* If the counter has just fallen to zero this waiter is neither on q nor counted any more. */
    if (gp->wait->sg.q == &wg->q) {
        dequeue_sudog(&wg->q, &gp->wait->sg);
        aadd(&wg->state, (uint64_t)-1);
    }
    unlock(&wg->lock);
    return SYNC_ENDED;
}
