/* switch_often(other, times): switch to the greenlet `other` so many times, in a C loop.
 *
 * The floor under gosched: nothing but PyGreenlet_Switch happens between two switches.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <greenlet.h>

static PyObject *
switch_often(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *other;
    Py_ssize_t times;
    if (!PyArg_ParseTuple(args, "O!n", &PyGreenlet_Type, &other, &times)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < times; i++) {
        PyObject *result = PyGreenlet_Switch((PyGreenlet *)other, NULL, NULL);
        if (result == NULL) {
            return NULL;
        }
        Py_DECREF(result);
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"switch_often", switch_often, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "greenlet_switch", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit_greenlet_switch(void)
{
    PyGreenlet_Import();
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *created = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (created != NULL) {
        PyUnstable_Module_SetGIL(created, Py_MOD_GIL_NOT_USED);
    }
#endif
    return created;
}
