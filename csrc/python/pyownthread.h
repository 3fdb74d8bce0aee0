/* pyownthread.h: the threads that gopy starts: Ms, those of blocking(), sysmon, the one that receives signals, and the
 * one that reports hogs.
 *
 * 1. Such a thread has the signal mask of whoever needed it: what its goroutines start, other programs included, is to
 *    get signals as if a thread of the program's own had started that. Sysmon and the receiver block all signals, for
 *    these are for the program's threads. So what they start gets the mask of who started them.
 * 2. As the program ends, no thread of gopy's is on its way through CPython. A thread that waits there for a lock may
 *    be given the lock, and then not be let in any more: without a GIL the interpreter hangs who attaches once it
 *    finalizes. So a thread works, or rests. It rests where it waits for work, detached, and while it is in a call of
 *    the program's. It does not leave its rest once the program exits, and the end waits for those that work. */
#ifndef GOPY_PYOWNTHREAD_H
#define GOPY_PYOWNTHREAD_H

#include "pyobject.h"

/* A thread that attaches for the first time while the interpreter ends may find half of it gone. So once the program
 * exits no thread is started, and sysmon does not attach; threads that have been started are waited for
 * (pyhost_wait_for_threads). Each thread is counted or marked before it is looked whether the program exits. */
bool may_start(void);

/* Start one that runs Python by own_thread(). false: cannot, or the program ends. */
bool start_thread(void (*run)(void *), void *arg);
void own_thread(void (*run)(void *), void *arg); /* its life, attached in run() */

/* Start one that blocks all signals, and attaches only now and then: with the state that own_state() has given it. */
bool start_detached_thread(void (*run)(void));

/* The state, detached. The thread keeps it, as there may be no memory for another when it needs to attach. NULL: the
 * program ends. */
PyThreadState *own_state(void);
bool own_state_making(void); /* is a thread in own_state()? */

/* The program exits: wait until all others of gopy's threads rest, or for as long as they come to rest one by one.
 * Those in which a goroutine computes, or blocks in C, do not. */
void wait_for_rest(void);
void ownthread_fork_child(void);

#endif
