/* parking.h: the driver of the tests: each operation that may wait, by a goroutine that parks where it stands. */
#ifndef PARKING_H
#define PARKING_H

#include "runtime/runtime.h"

static inline enum wake gosleep(struct g *gp, int64_t deadline)
{
    wait_begin(gp, WAIT_SLEEP);
    return gowait(gp, deadline);
}

static inline enum chan_result chansend(struct hchan *c, struct g *gp, void *elem, int64_t deadline)
{
    enum chan_result r = chansend_begin(c, gp, elem);
    return r == CHAN_PARK ? chansend_finish(c, gp, gowait(gp, deadline)) : r;
}

static inline enum chan_result chanrecv(struct hchan *c, struct g *gp, void **elem, int64_t deadline)
{
    enum chan_result r = chanrecv_begin(c, gp, elem);
    return r == CHAN_PARK ? chanrecv_finish(c, gp, gowait(gp, deadline), elem) : r;
}

static inline enum sync_result mutexlock(struct mutex *mu, struct g *gp, int64_t deadline)
{
    enum sync_result r = mutexlock_begin(mu, gp);
    while (r == SYNC_PARK)
        r = mutexlock_finish(mu, gp, gowait(gp, deadline));
    return r;
}

static inline enum sync_result rwlock(struct rwmutex *rw, struct g *gp, bool write, int64_t deadline)
{
    enum sync_result r = rwlock_begin(rw, gp, write);
    return r == SYNC_PARK ? rwlock_finish(rw, gp, write, gowait(gp, deadline)) : r;
}

static inline enum sync_result wgwait(struct waitgroup *wg, struct g *gp, int64_t deadline)
{
    enum sync_result r = wgwait_begin(wg, gp);
    return r == SYNC_PARK ? wgwait_finish(wg, gp, gowait(gp, deadline)) : r;
}

static inline enum wake goroutine_join(struct g *self, struct g *gp, int64_t deadline)
{
    if (!goroutine_join_begin(self, gp))
        return WAKE_OP;
    enum wake w = gowait(self, deadline);
    goroutine_join_finish(self, gp, w);
    return w;
}

#endif
