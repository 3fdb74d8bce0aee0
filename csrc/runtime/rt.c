/* rt.c: the runtime's beginning, and its second beginning in the child of a fork. */
#include <string.h>

#include "runtime/host.h"
#include "runtime/netpoll.h"
#include "runtime/sched.h"
#include "runtime/trace.h"

void rt_start(int gomaxprocs)
{
    lock_init(&sched.lock, RANK_SCHED);
    lock_init(&sched.duelock, RANK_DUE);
    for (int i = 0; i < ALLG_SHARDS; i++)
        lock_init(&sched.allg[i].lock, RANK_ALLG);
    sched.keep_until = NEVER;
    sched.nbegun = 1;                       /* this thread */
    sched.deadcheck_tick = (uint64_t)-1000; /* as if much had happened since the last check */
    sched.look_tick = (uint64_t)-1000;
    sched.goidgen = 1; /* 1 is the main goroutine's */
    procresize(gomaxprocs);
}

/* In the child there is only the thread that forked, and of the goroutines only `self`, which becomes the
 * main one. Everything else is left where it lies: its threads are gone, its stacks will not be touched. Old
 * waiters on channels have another epoch, by which dequeue() knows them. What the program has set stays set. self is
 * NULL when the forking thread was not gopy's. */
void rt_fork_child(struct g *self)
{
    int n = sched.gomaxprocs;
    int64_t preempt_after = sched.preempt_after;
    uint32_t epoch = sched.epoch + 1;
    struct m *mp = getm();
    void *host = self ? mp->host : NULL;
    memset(&sched, 0, sizeof(sched));
    timers_forget();
    trace_forget();
    netpollfork();
    sched.epoch = epoch;
    sched.preempt_after = preempt_after;
    rt_start(n);
    bubble_fork_child(self);
    if (self == NULL)
        return;
    struct m *m0 = &sched.m0;
    m0->host = host;
    m0->curg = self;
    m0->nbound = 1;
    m0->nlocked = self->lockcount > 0;
    tls_m = m0;
    self->boundm = m0;
    self->id = 1;
    self->epoch = epoch;
    sched.g1 = self;
    allg_add(self);
    sched.main_adopted = 1;
    m_init(m0);
}
