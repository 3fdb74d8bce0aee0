/* pyeventloop.h: what a goroutine that runs an event loop has in its thread state. */
#ifndef GOPY_PYEVENTLOOP_H
#define GOPY_PYEVENTLOOP_H

#include "pyobject.h"

struct eventloop {
    PyObject *firstiter, *finalizer; /* sys.set_asyncgen_hooks() */
    PyObject *loop, *task;           /* asyncio's running loop and current task, or NULL */
    int fd;                          /* the M's loopfd */
};
PyObject *running_loop(void);
void eventloop_leave(PyThreadState *ts, struct eventloop *had);
void eventloop_enter(PyThreadState *ts, struct eventloop *had);
void eventloop_forget(PyThreadState *ts);

/* Is there anything to leave? */
static inline bool eventloop_here(PyThreadState *ts)
{
    return ts->async_gen_firstiter != NULL || ts->async_gen_finalizer != NULL;
}

extern PyMethodDef eventloop_functions[];

#endif
