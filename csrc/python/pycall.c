/* pycall.c: calling what a goroutine runs, in its context, and what its end entails. Both kinds end here. */
#include "pycall.h"

#include "pyerror.h"
#include "pypanic.h"
#include "pyswitch.h"

PyObject *goroutine_call(Goroutine *go)
{
    PyObject *r;
    Py_ssize_t nkw = go->kwnames ? PyTuple_GET_SIZE(go->kwnames) : 0;
    if (go->fn == Py_None) /* a system goroutine: what signals have asked for */
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
