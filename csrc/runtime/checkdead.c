/* checkdead.c: what an idle program has to look for: whether it is deadlocked, and whether a signal came.
 *
 * It is deadlocked if every goroutine is parked and there is no timer, no descriptor that one waits for, no call
 * outside (nexternal) and no plain thread that could ready one. That nothing runs is asked of the scheduler here; the
 * rest needs the embedding, so a system goroutine on the main thread does it. */
#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"

#define DEADCHECK_FIRST 10000000 /* ns of nothing at all before the first look for a deadlock */
#define DEADCHECK_MOST 2000000000
#define LOOK_FIRST 1000000 /* ns, see signal_look */
#define LOOK_MOST 1000000000
#define LOOK_TICKS 2 /* scheduling decisions: for the look, and for nothing after it */

int64_t first_timer(void)
{
    int64_t first = NEVER;
    for (int i = 0; i < (GOPY_THREADED ? sched.nprocs : 1); i++) {
        int64_t t = real_peek(&ptimers(sched.allp[i])->first);
        if (t < first)
            first = t;
    }
    return first;
}

uint64_t total_ticks(void)
{
    uint64_t n = 0;
    for (int i = 0; i < aload(&sched.nprocs); i++)
        n += real_peek(&sched.allp[i]->schedtick);
    return n;
}

/* Is it time to ask whether the program is deadlocked? The caller's M counts as idle already. If it will be time later,
 * *until becomes that time. */
bool deadcheck_locked(int64_t *until)
{
    assert_held(&sched.lock);
    if (sched.nmidle != sched.nm || !aload(&sched.main_adopted) || aload(&sched.nexternal) ||
        netpollwaiters() || first_timer() != NEVER)
        return false;
    int64_t now = nanotime();
    uint64_t ticks = total_ticks();
    /* More has happened than the last check itself: begin anew. */
    if (ticks - sched.deadcheck_tick > 8) {
        sched.deadcheck_delay = DEADCHECK_FIRST;
        sched.deadcheck_at = now + sched.deadcheck_delay;
        sched.deadcheck_tick = ticks;
    }
    if (now < sched.deadcheck_at) {
        *until = sched.deadcheck_at;
        return false;
    }
    if (sched.deadcheck_delay < DEADCHECK_MOST)
        sched.deadcheck_delay *= 2;
    sched.deadcheck_at = now + sched.deadcheck_delay;
    sched.deadcheck_tick = ticks;
    return true;
}

/* M0 is about to sleep. It knows nothing of a signal that came after its last bytecode, and a signal that the kernel
 * gave to another thread does not wake it. So it looks for signals after 1 ms, 2 ms, and so on up to a second.
 * -> when to look next. */
int64_t signal_look(void)
{
    uint64_t passed = total_ticks() - sched.look_tick;
    if (passed > LOOK_TICKS)
        sched.look_delay = LOOK_FIRST;
    else { /* only the last look */
        sched.deadcheck_tick += passed;
        if (sched.look_delay < LOOK_MOST)
            sched.look_delay *= 2;
    }
    sched.look_tick = (uint64_t)-1000;
    return nanotime() + sched.look_delay;
}

/* Has any M something to run, or will it by a timer, a descriptor or a call outside? */
static bool something_to_run_locked(void)
{
    assert_held(&sched.lock);
    struct m *mp = &sched.m0;
    struct p *pp = mp->p;
    return sched.globq.n || aload(&sched.nexternal) || netpollwaiters() || first_timer() != NEVER ||
           mp->lockq.head || mp->yieldq.head || aload(&mp->remote) || !aload(&sched.g1->armed) ||
           pp == NULL || apeek(&pp->runnext) || runqlen(&pp->runq);
}

/* For the system goroutine that looks for a deadlock, on the main thread. */
enum others what_else_runs(void)
{
    lock(&sched.lock);
    enum others found = OTHERS_IDLE;
    if (something_to_run_locked())
        found = OTHERS_RUN;
    else if (sched.nmidle != sched.nm - 1 || sched.npidle != sched.gomaxprocs - 1)
        found = OTHERS_AWAKE;
    unlock(&sched.lock);
    return found;
}
