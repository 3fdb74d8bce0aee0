/* pyargs.c: numbers of seconds, and what calls do with a `timeout`. */
#include "pyargs.h"

#include <math.h>

#include "pyerror.h"

int parse_duration(PyObject *o, const char *name, int64_t *ns)
{
    PyNumberMethods *nb = Py_TYPE(o)->tp_as_number;
    if (nb == NULL || (nb->nb_float == NULL && nb->nb_index == NULL))
        return type_error(name,
                          strcmp(name, "timeout") ? "a number of seconds" : "a number of seconds or None", o);
    double s = PyFloat_AsDouble(o);
    if (s == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear(); /* an int beyond any float */
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero ? PyObject_RichCompareBool(o, zero, Py_LT) : -1;
        Py_XDECREF(zero);
        if (negative < 0)
            return -1;
        s = negative ? -1.0 : INFINITY;
    }
    if (isnan(s)) {
        PyErr_Format(PyExc_ValueError, "`%s` must be a number of seconds, got nan", name);
        return -1;
    }
    *ns = s <= 0.0 ? 0 : s < 4e9 ? (int64_t)ceil(s * 1e9) : NEVER;
    return 0;
}

int64_t deadline_after(int64_t ns)
{
    return ns == 0 ? DEADLINE_PAST : ns == NEVER ? NEVER : nanotime_here() + ns;
}

/* NEVER for None and infinity, DEADLINE_PAST for zero and less. */
int parse_timeout(PyObject *o, const char *name, int64_t *deadline)
{
    int64_t ns = NEVER;
    if (o != Py_None && parse_duration(o, name, &ns) < 0)
        return -1;
    *deadline = deadline_after(ns);
    return 0;
}

int parse_timeout_kw(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t most, PyObject *kwnames,
                     const char *fn, int64_t *deadline)
{
    *deadline = NEVER;
    if (unlikely(nargs != most)) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional argument%s but %zd %s given", fn, most,
                     most == 1 ? "" : "s", nargs, nargs == 1 ? "was" : "were");
        return -1;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(key, "timeout") != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", fn, key);
            return -1;
        }
        if (parse_timeout(args[nargs + i], "timeout", deadline) < 0)
            return -1;
    }
    return 0;
}
