/* pyhost.h: CPython as a host of the runtime. */
#ifndef GOPY_PYHOST_H
#define GOPY_PYHOST_H

#include "pyobject.h"

int host_init(unsigned long main_ident);
/* Wait until all threads that have been started have attached: none may do so for the first time during a fork, or at
 * the program's end. */
void pyhost_wait_for_threads(void);
void pyhost_fork_child(void);
extern PyObject *start_due_functions; /* the work of SYSTEM_TIMERS */

#endif
