/* pycall.h: calling what a goroutine runs, and its end. */
#ifndef GOPY_PYCALL_H
#define GOPY_PYCALL_H

#include "pyg.h"

int call_init(void);                     /* -1: raised */
PyObject *goroutine_call(Goroutine *go); /* what its function returns */
void goroutine_finish(struct m *mp, Goroutine *go, PyObject *r);
void set_context(PyThreadState *ts, PyObject *context);           /* steals context */
static inline void take_context(PyThreadState *ts, Goroutine *go) /* go's becomes the thread's */
{
    set_context(ts, go->context);
    go->context = NULL;
}
void end_of_forked_main(void) __attribute__((noreturn));

#endif
