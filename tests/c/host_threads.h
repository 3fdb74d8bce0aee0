/* host_threads.h: what a test needs of host_threads.c. */
#ifndef HOST_THREADS_H
#define HOST_THREADS_H

#include "runtime/runtime.h"

struct thread;

struct goroutine {
    struct g g; /* first */
    struct gwait wait;
    struct thread *thread; /* while it runs or is parked */
    struct m *starts_on;
    void (*fn)(void *);
    void *arg;
};

void host_start(int gomaxprocs);
void go(struct goroutine *go, void (*fn)(void *),
        void *arg); /* *go: zeroed, and kept to the end of the test */
bool go_locked(struct goroutine *go, void (*fn)(void *), void *arg); /* false: there is no thread to be had */

#endif
