/* pyhost.h: CPython as a host of the runtime. */
#ifndef GOPY_PYHOST_H
#define GOPY_PYHOST_H

#include "pyobject.h"

int host_init(unsigned long main_ident);
/* Threads that have been started attach for the first time; none may at a fork, or at the program's end. */
void pyhost_wait_for_threads(void);
/* For a thread that attaches only now and then: its state, detached, which it keeps. NULL: the program ends. */
PyThreadState *own_state(void);
void pyhost_fork_child(void);
extern PyObject *start_due_functions; /* the work of SYSTEM_TIMERS */

#endif
