/* pycoroutine.h: coroutines and generators: what they are made of, and resuming them. */
#ifndef GOPY_PYCOROUTINE_H
#define GOPY_PYCOROUTINE_H

#include "pyawait.h"

bool is_coroutine(PyObject *o);
PySendResult coroutine_throw(PyObject *coro, PyObject **result); /* the exception that is set */
PySendResult coroutine_answer(PyObject *coro, PyAwait *a, PyObject **result);

/* Resume coro with the outcome of a; with None if a is NULL. An awaitable that has been iterated is asked for its outcome
 * by the coroutine. */
static inline PySendResult coroutine_resume(PyObject *coro, PyAwait *a, PyObject **result)
{
    return a && !a->iterated ? coroutine_answer(coro, a, result) : PyIter_Send(coro, Py_None, result);
}

PyObject *coroutine_frame(PyObject *coro, PyObject **awaits);
PyAwait *coroutine_yielded(PyObject *yielded, enum op_result *did);
enum fn_kind { FN_PLAIN, FN_GENERATOR, FN_COROUTINE };
int kind_of(PyObject *fn, Py_ssize_t n, const char *name);

extern PyMethodDef coroutine_functions[];

#endif
