/* pyerror.c: raising, keeping and wording exceptions. */
#include "pyerror.h"

#include <errno.h>

struct hooks hooks;

PyObject *fetch_exception(void)
{
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyErr_NormalizeException(&type, &exc, &tb);
    if (tb)
        PyException_SetTraceback(exc, tb);
    Py_XDECREF(type);
    Py_XDECREF(tb);
    return exc;
}

void raise_exception(PyObject *exc)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    Py_DECREF(exc);
}

int type_error(const char *arg, const char *wanted, PyObject *got)
{
    PyErr_Format(PyExc_TypeError, "`%s` must be %s, got %.100s", arg, wanted, Py_TYPE(got)->tp_name);
    return -1;
}

bool check_nargs(const char *fn, Py_ssize_t nargs, Py_ssize_t wanted)
{
    if (likely(nargs == wanted))
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments but %zd %s given", fn, wanted, nargs,
                 nargs == 1 ? "was" : "were");
    return false;
}

PyObject *raise_errno(int err)
{
    errno = err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* tp_new of types without parameters: as object's, a subclass with an __init__ of its own may have some. */
PyObject *new_without_arguments(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if ((PyTuple_GET_SIZE(args) || (kwargs && PyDict_GET_SIZE(kwargs))) &&
        type->tp_init == PyBaseObject_Type.tp_init)
        return PyErr_Format(PyExc_TypeError, "%.100s() takes no arguments", type->tp_name);
    return type->tp_alloc(type, 0);
}
