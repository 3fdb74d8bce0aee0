/* offload.c: the pool of plain threads behind blocking calls.
 *
 * It grows by one thread whenever a call comes and none is idle, up to a limit; beyond that calls queue, first
 * come first served. The thread that went idle last is used first, so that those which are not needed any more
 * stay idle for KEEPALIVE and end.
 *
 * Calls may wait for each other. So below the limit there is, for each queued call, a thread that has just been started
 * and is about to look at the queue; whether there is one is seen under the same hold of pool.lock under which the call
 * is queued.
 *
 * A call is Oqueued (in the queue) -> Orunning -> Odone, and its caller's again only in the last. Whoever gives up a
 * queued call takes it off the queue; a running one that is given up becomes Oabandoned and the pool's. pool.lock
 * guards the state of every call, its waiter, the queue and the idle threads. From begin to its end a call counts in
 * sched.nexternal: it may still ready a goroutine, so there is no deadlock. An idle thread readies nobody.
 *
 * An idle thread is handed its call directly, and then woken: it may not end before that wake-up has come, for
 * its note is on its stack. */
#include "runtime/offload.h"

#include <string.h>

#include "runtime/host.h"
#include "runtime/sudog.h"

#define KEEPALIVE 3000000000 /* ns that a thread stays idle before it ends */

enum { Oqueued, Orunning, Odone, Oabandoned };

struct offthread {
    struct offthread *idlenext;
    struct offload *call; /* handed over with the wake-up */
    struct note note;
};

static struct {
    struct lock lock;
    struct offload *first, **last;
    struct offthread *idle;
    uint32_t nthreads, most;
    uint32_t nqueued;
    uint32_t nstarting; /* threads that have not looked at the queue yet; read without the lock, too */
} pool = {.lock = LOCK_INIT(RANK_OFFLOAD), .last = &pool.first, .most = 512};

static __thread bool tls_offload;

void offload_limit(uint32_t most) { pool.most = most; }

bool offload_here(void) { return tls_offload; }

bool offload_starting(void) { return real_load(&pool.nstarting) != 0; }

static void queue_put_locked(struct offload *o)
{
    assert_held(&pool.lock);
    o->next = NULL;
    o->at = pool.last;
    *pool.last = o;
    pool.last = &o->next;
    pool.nqueued++;
}

static void queue_del_locked(struct offload *o)
{
    assert_held(&pool.lock);
    rt_assert(o->state == Oqueued);
    *o->at = o->next;
    if (o->next)
        o->next->at = o->at;
    else
        pool.last = o->at;
    pool.nqueued--;
}

/* Take the idle thread t off the list. -> whether it was there. */
static bool unidle_locked(struct offthread *t)
{
    assert_held(&pool.lock);
    for (struct offthread **at = &pool.idle; *at; at = &(*at)->idlenext)
        if (*at == t) {
            *at = t->idlenext;
            return true;
        }
    return false;
}

static bool must_grow_locked(void)
{
    assert_held(&pool.lock);
    return pool.idle == NULL && pool.nthreads < pool.most && pool.nstarting <= pool.nqueued;
}

/* Start one more thread, without the lock, which is held before and after. */
static bool grow_locked(void)
{
    pool.nthreads++;
    real_add(&pool.nstarting, 1);
    unlock(&pool.lock);
    bool ok = host_newoffload();
    lock(&pool.lock);
    if (!ok) {
        pool.nthreads--;
        real_add(&pool.nstarting, -1);
    }
    return ok;
}

enum offload_result offload_begin(struct offload *o, struct g *gp)
{
    assert_none_held("offload_begin");
    lock(&pool.lock);
    /* While a thread was started others may have taken it, or one that was idle. */
    while (must_grow_locked())
        if (!grow_locked()) {
            if (pool.nthreads > pool.nstarting)
                break; /* there is one, and calls take turns */
            unlock(&pool.lock);
            return OFFLOAD_NOTHREAD;
        }
    o->epoch = sched.epoch;
    o->waiter = (struct waitq){0};
    aadd(&sched.nexternal, 1);
    wait_begin(gp, WAIT_BLOCKING);
    enqueue(&o->waiter, &gp->wait->sg);
    struct offthread *t = pool.idle;
    if (t) {
        pool.idle = t->idlenext;
        t->call = o;
        o->state = Orunning;
    } else {
        queue_put_locked(o);
        o->state = Oqueued;
    }
    unlock(&pool.lock);
    if (t)
        note_wakeup(&t->note);
    return OFFLOAD_PARK;
}

enum offload_result offload_finish(struct offload *o, struct g *gp, enum wake w)
{
    if (likely(w == WAKE_OP))
        return OFFLOAD_DONE;
    lock(&pool.lock);
    uint8_t was = o->state;
    dequeue_sudog(&o->waiter, &gp->wait->sg);
    if (was == Oqueued)
        queue_del_locked(o);
    else if (was == Orunning)
        o->state = Oabandoned;
    unlock(&pool.lock);
    if (was == Oqueued)
        aadd(&sched.nexternal, -1);
    if (was != Orunning)
        o->drop(o);
    return OFFLOAD_ENDED;
}

/* ---- the threads ---- */

static void complete(struct offload *o)
{
    lock(&pool.lock);
    bool abandoned = o->state == Oabandoned;
    struct sudog *sg = dequeue(&o->waiter);
    /* Once the lock is released o may be gone, unless it was abandoned. */
    o->state = Odone;
    unlock(&pool.lock);
    if (sg)
        goready(sg->g);
    if (abandoned)
        o->drop(o);
    aadd(&sched.nexternal, -1);
}

/* Idle t until it is handed a call. NULL: none came, and it has left the pool. */
static struct offload *wait_for_call(struct offthread *t)
{
    int64_t until = nanotime() + KEEPALIVE;
    for (;;) {
        enum note_result r = NOTE_INTERRUPTED;
        void *left = host_rest();
        while (r == NOTE_INTERRUPTED)
            r = note_sleep(&t->note, until);
        host_back(left);
        if (r == NOTE_WOKEN)
            return t->call;
        lock(&pool.lock);
        bool ends = unidle_locked(t);
        pool.nthreads -= ends;
        unlock(&pool.lock);
        if (ends)
            return NULL;
        /* A call has been handed over: the wake-up is on its way. */
        until = NEVER;
    }
}

void offload_thread(void)
{
    struct offthread self = {0};
    tls_offload = true;
    uint32_t starting = 1;
    for (struct offload *o;; complete(o)) {
        lock(&pool.lock);
        real_add(&pool.nstarting, -starting);
        starting = 0;
        o = pool.first;
        if (o) {
            queue_del_locked(o);
            o->state = Orunning;
        } else {
            note_clear(&self.note);
            self.idlenext = pool.idle;
            pool.idle = &self;
        }
        unlock(&pool.lock);
        if (o == NULL && (o = wait_for_call(&self)) == NULL)
            return;
        host_call_begins();
        o->run(o);
        /* The call has forked, and this is the child, which has no pool. */
        if (unlikely(o->epoch != sched.epoch))
            host_offload_forked(o);
        host_call_ended();
        o->clear(o);
    }
}

/* In the child there are none of the threads, and nobody waits for the calls. */
void offload_fork_child(void)
{
    uint32_t most = pool.most;
    memset(&pool, 0, sizeof(pool));
    lock_init(&pool.lock, RANK_OFFLOAD);
    pool.last = &pool.first;
    pool.most = most;
    tls_offload = false;
}
