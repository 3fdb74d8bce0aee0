/* pyobject.h: Python.h, which is included here and nowhere else, and small things for any object. */
#ifndef GOPY_PYOBJECT_H
#define GOPY_PYOBJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#include "runtime/runtime.h"

static inline PyObject *new_ref(PyObject *o)
{
    Py_INCREF(o);
    return o;
}

/* Around what another thread may do to the same object at the same time; with a GIL, nothing. */
#if GOPY_THREADED
#define BEGIN_EXCLUSIVE(o) Py_BEGIN_CRITICAL_SECTION(o)
#define END_EXCLUSIVE() Py_END_CRITICAL_SECTION()
#else
#define BEGIN_EXCLUSIVE(o) {
#define END_EXCLUSIVE() }
#endif

/* For tables of methods. */
#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL
#define FASTKW(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

#endif
