/* pygoroutine.h: go(). */
#ifndef GOPY_PYGOROUTINE_H
#define GOPY_PYGOROUTINE_H

#include "pyobject.h"

PyObject *goroutine_go(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *group);
PyObject *goroutine_go_in(struct bubble *b, PyObject *fn);
extern PyMethodDef goroutine_functions[];

#endif
