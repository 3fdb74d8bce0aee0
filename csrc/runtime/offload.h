/* offload.h: calls that block their OS thread, made on plain threads outside the scheduler, while the goroutine
 * that asked for one is parked. The caller supplies a struct offload that outlives its own stack frame:
 *
 *     o->run, o->clear         what to call on the pool's thread, and then, before the goroutine goes on
 *     o->drop                  how to get rid of o
 *     offload_begin(o, gp)     queues the call and says PARK, or NOTHREAD: o is still the caller's
 *     gowait(gp, deadline)
 *     offload_finish(o, gp, w) DONE: o->run has returned, o is the caller's again. Else the wait was given up:
 *                              o->drop is called, at once or, if it runs already, when o->run has returned */
#ifndef GOPY_OFFLOAD_H
#define GOPY_OFFLOAD_H

#include "runtime/wait.h"

struct offload {
    void (*run)(struct offload *o);
    void (*clear)(struct offload *o);
    void (*drop)(struct offload *o);
    /* the pool's */
    struct offload *next, **at; /* queued: at is what points to this one */
    struct waitq waiter;
    uint32_t epoch;
    uint8_t state;
};

enum offload_result { OFFLOAD_DONE, OFFLOAD_PARK, OFFLOAD_NOTHREAD, OFFLOAD_ENDED };

enum offload_result offload_begin(struct offload *o, struct g *gp);
enum offload_result offload_finish(struct offload *o, struct g *gp, enum wake w);

void offload_limit(uint32_t most); /* how many threads there may be */
bool offload_here(void);           /* is this a thread of the pool? */
bool offload_starting(void);       /* has a thread been started that has not attached yet? */
void offload_thread(void);         /* the life of a thread of the pool; attached */
void offload_fork_child(void);

#endif
