/* pycall.c: calling what a goroutine runs, in its context, and what its end entails. Both kinds end here. */
#include "pycall.h"

#include "pyerror.h"
#include "pypanic.h"
#include "pyswitch.h"

static PyObject *builtins; /* the module */
static PyObject *below;    /* a Python function that calls its first argument with the others */

int call_init(void)
{
    PyObject *globals = PyDict_New(), *r = NULL;
    builtins = PyImport_ImportModule("builtins");
    PyObject *code = Py_CompileString("def goroutine(fn, /, *args, **kwargs):\n fn(*args, **kwargs)\n",
                                      "<gopy>", Py_file_input);
    if (globals && builtins && code && PyDict_SetItemString(globals, "__builtins__", builtins) == 0)
        r = PyEval_EvalCode(code, globals, globals);
    below = r ? Py_XNewRef(PyDict_GetItemString(globals, "goroutine")) : NULL;
    Py_XDECREF(r);
    Py_XDECREF(code);
    Py_XDECREF(globals);
    return below ? 0 : -1;
}

/* Take the helper's frame out of the traceback of the exception that is set. */
static void hide_below(void)
{
    PyObject *exc = fetch_exception();
    PyTracebackObject *tb = (PyTracebackObject *)PyException_GetTraceback(exc);
    if (tb)
        PyException_SetTraceback(exc, tb->tb_next ? (PyObject *)tb->tb_next : Py_None);
    Py_XDECREF(tb);
    raise_exception(exc);
}

/* exec, eval, globals and the like ask for the frame of who has called them. */
static bool wants_frame(PyObject *fn)
{
    return PyCFunction_CheckExact(fn) && PyCFunction_GET_SELF(fn) == builtins;
}

static PyObject *call_with_frame(Goroutine *go)
{
    Py_ssize_t n = go->kwnames ? PyTuple_GET_SIZE(go->args) : go->args != NULL;
    Py_ssize_t nkw = go->kwnames ? PyTuple_GET_SIZE(go->kwnames) : 0;
    PyObject *args = PyTuple_New(1 + n), *r = NULL;
    if (args) {
        PyTuple_SET_ITEM(args, 0, new_ref(go->fn));
        for (Py_ssize_t i = 0; i < n; i++)
            PyTuple_SET_ITEM(args, i + 1, new_ref(go->kwnames ? PyTuple_GET_ITEM(go->args, i) : go->args));
        r = PyObject_Vectorcall(below, &PyTuple_GET_ITEM(args, 0), (size_t)(1 + n - nkw),
                                nkw ? go->kwnames : NULL);
        Py_DECREF(args);
        if (r == NULL)
            hide_below();
    }
    return r;
}

PyObject *goroutine_call(Goroutine *go)
{
    PyObject *r;
    Py_ssize_t nkw = go->kwnames ? PyTuple_GET_SIZE(go->kwnames) : 0;
    if (unlikely(wants_frame(go->fn)))
        r = call_with_frame(go);
    else if (go->fn == Py_None) /* a system goroutine: what signals have asked for */
        r = PyErr_CheckSignals() < 0 ? NULL : new_ref(Py_None);
    else if (go->kwnames)
        r = PyObject_Vectorcall(go->fn, &PyTuple_GET_ITEM(go->args, 0),
                                (size_t)(PyTuple_GET_SIZE(go->args) - nkw), nkw ? go->kwnames : NULL);
    else
        r = PyObject_Vectorcall(go->fn, &go->args, go->args != NULL, NULL);
    return r;
}

/* The main goroutine of a forked child has ended, which was not the main one of the parent: that ends the process. The
 * exception that the goroutine ended with is set, if any. */
void end_of_forked_main(void)
{
    PyObject *exc = fetch_exception();
    /* Not Py_Exit, which goes back to a thread state that the fork has freed if this was not the main thread. */
    PyObject_CallOneArg(hooks.exit_forked, exc ? exc : Py_None);
    PyErr_Print();
    _exit(1);
}

void set_context(PyThreadState *ts, PyObject *context)
{
    PyObject *was = ts->context;
    if (was != context) {
        ts->context = context;
        ts->context_ver++;
        Py_XDECREF(was);
    }
}

/* go's function has returned r, or raised (NULL): the end of go. Drops the scheduler's reference to it. */
void goroutine_finish(struct m *mp, Goroutine *go, PyObject *r)
{
    if (unlikely(&go->g == sched.g1))
        end_of_forked_main();
    if (likely(r != NULL))
        Py_DECREF(r);
    else
        goroutine_failed(go);
    if (Py_REFCNT(go) > 1) /* somebody may ask for it when fn is gone */
        goroutine_keep_name(go);
    locals_drop(m_tstate(mp));
    set_context(m_tstate(mp), NULL);
    if (goroutine_clear(go) < 0)
        goroutine_failed(go);
    locals_drop(m_tstate(mp));
    go->worker = NULL;
    goroutine_end(mp, &go->g);
    Py_DECREF(go);
}
