/* pyerror.h: raising, keeping and wording exceptions; what the Python half of the package supplies. */
#ifndef GOPY_PYERROR_H
#define GOPY_PYERROR_H

#include "pyobject.h"

/* What the Python half of the package supplies (gopy/_panic.py), by core_start. */
extern struct hooks {
    PyObject *panic;       /* (goroutine, exception): it left the goroutine's function */
    PyObject *deadlock;    /* (): nothing runs; raise in the main goroutine if nothing ever will */
    PyObject *adopt;       /* (): the main thread has joined */
    PyObject *exit_forked; /* (exception or None): the end of a child forked by another goroutine than main */
    PyObject *loop_queue;  /* (): the LoopQueue of the running asyncio loop (gopy/_asyncio.py) */
    PyObject *once_ado;    /* (Once, fn): the coroutine of Once.ado() (gopy/_asyncio.py) */
    PyObject *close_asyncgen; /* (async generator): a stackless goroutine has left it unfinished */
    PyObject *Panic, *ClosedChannelError, *Goexit;
} hooks;

PyObject *fetch_exception(void);     /* the exception that is set, which is set no more */
void raise_exception(PyObject *exc); /* steals exc */
PyObject *raise_errno(int err);      /* NULL, with the OSError */
int type_error(const char *arg, const char *wanted, PyObject *got);    /* -1, with the TypeError */
bool check_nargs(const char *fn, Py_ssize_t nargs, Py_ssize_t wanted); /* false: raised */
PyObject *new_without_arguments(PyTypeObject *type, PyObject *args, PyObject *kwargs); /* a tp_new */

#endif
