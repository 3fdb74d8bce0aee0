/* pyworker.c: workers: the greenlets that goroutines run in, and the Python function that such a greenlet runs.
 *
 * The function does nothing but call the worker's loop. Between its instructions no goroutine runs on the thread: a
 * signal handler, a finalizer or a pending call that ran there would find none to park. So the interpreter must not
 * look for such work there. The function's first instruction is made one that does not look, as in a generator that is
 * resumed within `yield from`. The loop is called by an operator, after which the interpreter does not look, as it
 * would after a call. */
#include "pyworker.h"

#include <opcode.h>

#define RESUME_WITHOUT_LOOKING 2 /* the argument of RESUME */

PyCodeObject *worker_code;

static PyObject *worker_args; /* of its greenlet */
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
    PyObject *function = r ? PyDict_GetItemString(globals, "goroutine") : NULL;
    worker_code = function ? (PyCodeObject *)code_without_looking(function) : NULL;
    if (worker_code == NULL || PyObject_SetAttrString(function, "__code__", (PyObject *)worker_code) < 0 ||
        (worker_args = PyTuple_Pack(1, function)) == NULL)
        return -1;
    Py_DECREF(r);
    Py_DECREF(module);
    Py_DECREF(globals);
    Py_DECREF(runs);
    return 0;
}

struct worker *pop_idle(struct hostm *hm)
{
    struct worker *w = hm->idle;
    if (w) {
        hm->idle = w->next;
        if (--hm->nidle < hm->idle_low)
            hm->idle_low = hm->nidle;
    }
    return w;
}

void free_worker(struct worker *w)
{
    frames_remove(&w->frames);
    Py_DECREF(w->glet);
    free(w);
}

void free_dead(struct hostm *hm)
{
    struct worker *w = hm->dead;
    hm->dead = NULL;
    if (w)
        free_worker(w);
}

struct worker *new_worker(void)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (w == NULL || (w->glet = greenlet_new(worker_args)) == NULL) {
        free(w);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    w->at = w->glet;
    frames_add(&w->frames);
    return w;
}
