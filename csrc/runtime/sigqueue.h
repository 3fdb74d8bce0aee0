/* sigqueue.h: signals on their way from the kernel to the thread that hands them on. After Go's sigqueue.go.
 *
 * signal_enable() installs a handler, which may run on any thread at any moment: it notes the signal and wakes
 * the one thread that sleeps in signal_recv(), the receiver. enable and disable: one caller at a time. */
#ifndef GOPY_SIGQUEUE_H
#define GOPY_SIGQUEUE_H

#include <pthread.h>

#include "runtime/lock.h"

#define MOST_SIGNALS 64 /* 1 to 64 */

/* Take the signal over and remember what happened to it before; again, if the program has changed that since.
 * false: it cannot be caught, errno says why. */
bool signal_enable(int sig);
/* What happened to sig before happens again, unless the program has changed that. */
void signal_disable(int sig);

/* Sleep until an enabled signal comes. It counts as delivered with the next call. 0: there was signal_quit(). */
int signal_recv(void);
void signal_quit(void);
bool signal_receiving(void); /* is the receiver at work? After signal_quit() it soon is not, for ever */

/* Are all delivered that have come? A disabled signal that is not among them has had its former effect. */
bool signal_idle(void);

/* To wait until those alone are delivered that have come before, also while others come without end: for each of the
 * two counts, 0 and 1, call signal_avoid() and wait for signal_handled(); then call signal_round(), and wait for
 * signal_delivered() of what it has returned. */
void signal_avoid(uint32_t count);
bool signal_handled(uint32_t count);
uint32_t signal_round(void);
bool signal_delivered(uint32_t since);

/* In the child of a fork, which has no receiver yet. */
void signal_fork_child(void);

/* Interrupt a thread by a SIGINT of the runtime's own: the former handler gets it even if SIGINT is enabled. */
void signal_poke(pthread_t thread);

#endif
