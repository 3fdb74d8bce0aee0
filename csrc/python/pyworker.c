/* pyworker.c: the Python function that a worker greenlet runs, see pystackful.c.
 *
 * It does nothing but call the worker's loop. Between its instructions no goroutine runs on its thread: a signal handler,
 * a finalizer or a pending call would find none to park. So the interpreter must not look for any there: its first
 * instruction is made one that does not, as in a generator that is resumed within `yield from`; and the loop is called by
 * an operator, after which, unlike a call, it does not look either. */
#include "pygopy.h"

#include <opcode.h>

#define RESUME_WITHOUT_LOOKING 2 /* the argument of RESUME */

PyObject *worker_function;
PyCodeObject *worker_code;

static PyNumberMethods run_number;

static PyTypeObject Run_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._Run",
    .tp_doc = "Its negation is a worker's loop.",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_number = &run_number,
};

/* fn's code with another RESUME. */
static PyObject *code_without_looking(PyObject *fn)
{
    PyObject *code = PyFunction_GetCode(fn), *bytes = PyObject_GetAttrString(code, "co_code"),
             *changed = NULL;
    PyObject *copy =
        bytes ? PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)) : NULL;
    for (Py_ssize_t i = 0; copy && i < PyBytes_GET_SIZE(copy); i += 2)
        if ((unsigned char)PyBytes_AS_STRING(copy)[i] == RESUME)
            PyBytes_AS_STRING(copy)[i + 1] = RESUME_WITHOUT_LOOKING;
    PyObject *replace = copy ? PyObject_GetAttrString(code, "replace") : NULL;
    PyObject *kwargs = replace ? Py_BuildValue("{sO}", "co_code", copy) : NULL, *args = PyTuple_New(0);
    if (kwargs && args)
        changed = PyObject_Call(replace, args, kwargs);
    Py_XDECREF(bytes);
    Py_XDECREF(copy);
    Py_XDECREF(replace);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    return changed;
}

int worker_init(unaryfunc run)
{
    run_number.nb_negative = run;
    if (PyType_Ready(&Run_Type) < 0)
        return -1;
    PyObject *globals = PyDict_New(), *runs = (PyObject *)PyObject_New(PyObject, &Run_Type);
    /* A C function that runs as a goroutine finds its globals here, and imports with these builtins. */
    if (globals == NULL || runs == NULL || PyDict_SetItemString(globals, "run", runs) < 0 ||
        PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) < 0)
        return -1;
    PyObject *module = Py_CompileString("def goroutine():\n -run\n", "<gopy>", Py_file_input);
    PyObject *r = module ? PyEval_EvalCode(module, globals, globals) : NULL;
    worker_function = r ? new_ref(PyDict_GetItemString(globals, "goroutine")) : NULL;
    worker_code = worker_function ? (PyCodeObject *)code_without_looking(worker_function) : NULL;
    if (worker_code == NULL ||
        PyObject_SetAttrString(worker_function, "__code__", (PyObject *)worker_code) < 0)
        return -1;
    Py_DECREF(r);
    Py_DECREF(module);
    Py_DECREF(globals);
    Py_DECREF(runs);
    return 0;
}
