/* host.h: the seam. What an embedding supplies to the runtime: CPython in ../python, a fake in tests/c.
 *
 * The runtime calls these and nothing else of the embedding. "Attached" means that the calling thread may
 * touch the embedding's objects (with a GIL: holds it). They are called attached unless they say otherwise, and none
 * while a runtime lock is held. */
#ifndef GOPY_HOST_H
#define GOPY_HOST_H

#include "runtime/gmp.h"

/* Continue gp on this M, whose running goroutine `from` has just parked. Returns when another goroutine of
 * this M parks and `from` is next. gp may be new: the host then starts it. */
void host_resume(struct m *mp, struct g *from, struct g *gp);

/* mp has nothing to run: the host may tidy up for a few milliseconds. -> true: it has, look for work again;
 * false: sleep, but not past *until, which it may bring forward to be asked again. */
bool host_tidy(struct m *mp, int64_t *until);

/* Detach and attach this thread around a sleep; enter(), which is called detached, is given what leave() returned. */
void *host_leave(void);
void host_enter(void *left);

/* The same for a thread of the runtime's own that rests: the program's end does not wait for it, and once the program
 * exits, back() does not return. */
void *host_rest(void);
void host_back(void *left);

/* A thread of the runtime's own rests also, attached, while it is in a call of the program's. Once the program exits,
 * ended() does not return. */
void host_call_begins(void);
void host_call_ended(void);

/* Whether mp's thread runs the embedding's code at this moment, as far as can be told without stopping it. Called
 * attached or not. */
bool host_attached(struct m *mp);

/* Start an OS thread that calls host code ending in a loop of findrunnable() for mp. false: cannot. */
bool host_newthread(struct m *mp);

/* mp's goroutine computes and calls nothing of the runtime's: bring it to a preempt_point() if there is a way. Called by
 * sysmon, detached. */
void host_preempt(struct m *mp);

/* Start an OS thread that attaches and calls offload_thread(). false: cannot. */
bool host_newoffload(void);

struct offload;
/* In the child of a fork that o->run, which has returned, has made: end the process as the end of the program. */
void host_offload_forked(struct offload *o) __attribute__((noreturn));

/* Start the OS thread that runs sysmon(). */
bool host_newsysmon(void);
void host_sysmon_enter(void); /* called detached: attach; once the program exits it does not return */
void host_sysmon_leave(void);
bool host_sysmon_tick(int64_t now); /* detached; -> whether it must be called again soon */

/* gp is of kind GTASK. Its wait has ended: tell its event loop. Or the value that it was given for chanunrecv() has
 * been taken: free it. */
void host_wake_task(struct g *gp);

/* A fresh goroutine of kind GSYSTEM. NULL: out of memory. */
enum systemwork {
    SYSTEM_DEADLOCK, /* look whether the program is deadlocked and, if so, interrupt the main goroutine */
    SYSTEM_SIGNALS,  /* run what a signal has asked for */
    SYSTEM_TIMERS,   /* start a goroutine for each that timerfunc_next() returns */
};
struct g *host_newsystem(enum systemwork work);

/* Asked by the main goroutine whenever it waits: does an exception wait to be raised in it? */
bool host_interrupt_pending(void);

/* Called on the main thread when it first needs the scheduler: the thread becomes that of sched.m0, on which sched.g1
 * runs. false: out of memory. */
bool host_adopt_main(void);
bool host_is_main_thread(void);

/* The G that stands for this thread, on which gopy does not run. NULL: out of memory. */
struct g *host_foreign_g(void);

/* A bubble of that tag has made no progress for a while: say what it waits for. Called by sysmon, attached. */
void host_bubble_stuck(uint32_t tag);
/* For traces: the number of where gp was started and of what it runs, of where it parks, and of where this
 * thread is. 0: unknown. */
uint32_t host_trace_made(struct g *gp);
uint32_t host_trace_parks(struct g *gp);
uint32_t host_trace_here(void);

/* For profiles, of the kinds that sched.profiling says: gp has waited since gp->waitsince. PROFILE_BLOCK: it goes on, on
 * this thread. PROFILE_MUTEX: the goroutine of this thread has let go of what gp waits for. */
enum profile { PROFILE_BLOCK = 1, PROFILE_MUTEX = 2 };
void host_profile_wait(struct g *gp, enum profile kind);

/* Stop this thread for good: the process is about to end. Called attached or not. */
void host_hang(void) __attribute__((noreturn));

#endif
