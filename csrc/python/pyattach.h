/* pyattach.h: detaching from Python and attaching again: host_leave and host_enter, and what is made of them. */
#ifndef GOPY_PYATTACH_H
#define GOPY_PYATTACH_H

#include "pyobject.h"

void nap(int i); /* detached: for who waits in a loop for another thread, before the i-th look */
void wait_for_memory(struct m *mp);
void stop_for_good(void) __attribute__((noreturn)); /* this thread, attached: the program is ending */
uintptr_t sections_leave(PyThreadState *ts);
void sections_enter(PyThreadState *ts, uintptr_t sections);

#endif
