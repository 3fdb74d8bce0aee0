/* pydump.c: what a dump of goroutines is written from, as it is at one moment.
 *
 * No other M resumes a suspended goroutine meanwhile, and no Python code runs on this thread: a signal handler or a
 * finalizer could wait for a goroutine. So nothing here calls anything of the user's; the text is Python's to write. */
#include "pydump.h"

#include "pycoroutine.h"
#include "pyerror.h"
#include "pyworker.h"

/* The frames of a goroutine from the newest, top, up to its worker's, which is not one of them; oldest first. */
static PyObject *frames_above_worker(PyFrameObject *top)
{
    PyObject *found = PyList_New(0);
    PyFrameObject *frame = (PyFrameObject *)new_ref((PyObject *)top);
    while (found && frame) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        bool outside = code == worker_code;
        Py_DECREF(code);
        if (outside)
            break;
        PyObject *pair = Py_BuildValue("(Oi)", frame, PyFrame_GetLineNumber(frame));
        if (pair == NULL || PyList_Append(found, pair) < 0)
            Py_CLEAR(found);
        Py_XDECREF(pair);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    if (found && PyList_Reverse(found) < 0)
        Py_CLEAR(found);
    return found;
}

/* The frames of a suspended coroutine or generator, and of what it awaits, oldest first. */
static PyObject *frames_awaiting(PyObject *coro)
{
    PyObject *found = PyList_New(0), *at = new_ref(coro);
    while (found && at) {
        PyObject *next, *frame = coroutine_frame(at, &next);
        if (frame) {
            PyObject *pair = Py_BuildValue("(Oi)", frame, PyFrame_GetLineNumber((PyFrameObject *)frame));
            if (pair == NULL || PyList_Append(found, pair) < 0)
                Py_CLEAR(found);
            Py_XDECREF(pair);
        }
        Py_XDECREF(frame);
        Py_DECREF(at);
        at = next;
    }
    Py_XDECREF(at);
    return found;
}

/* The coroutine or generator of a stackless goroutine that is between two steps, or NULL. */
static PyObject *coroutine_of(Goroutine *go)
{
    PyObject *coro = NULL;
    BEGIN_EXCLUSIVE(go);
    if (go->g.kind == GSTACKLESS && go->worker == NULL)
        coro = go->fn;
    Py_XINCREF(coro);
    END_EXCLUSIVE();
    return coro;
}

/* The newest frame of go, from its greenlet if that is suspended, else from `running`, which has the newest frame of
 * each thread by the thread's identifier. NULL: there is none, or an exception is set. */
static PyObject *top_frame(Goroutine *go, PyObject *running)
{
    PyObject *glet = goroutine_greenlet(go);
    if (glet == NULL)
        return NULL;
    /* The thread may be in another greenlet, which the goroutine has made: then the newest frame is the thread's. */
    PyObject *top = goroutine_on_thread(go) ? new_ref(Py_None) : PyObject_GetAttrString(glet, "gr_frame");
    Py_DECREF(glet);
    struct m *mp = go->g.boundm;
    if (top == Py_None && mp) {
        Py_DECREF(top);
        PyObject *ident = PyLong_FromUnsignedLong(m_thread_ident(mp));
        top = ident ? PyDict_GetItemWithError(running, ident) : NULL;
        Py_XINCREF(top);
        Py_XDECREF(ident);
    }
    return top;
}

static PyObject *frames_of(Goroutine *go, PyObject *here, PyObject *running)
{
    if (here)
        return frames_above_worker((PyFrameObject *)here);
    PyObject *coro = coroutine_of(go), *found = NULL;
    PyObject *top = coro ? NULL : top_frame(go, running);
    if (coro)
        found = frames_awaiting(coro);
    else if (top && PyFrame_Check(top))
        found = frames_above_worker((PyFrameObject *)top);
    else if (!PyErr_Occurred())
        found = PyList_New(0);
    Py_XDECREF(coro);
    Py_XDECREF(top);
    return found;
}

/* (state or what it waits for, seconds waited, whether locked to its thread, [(frame, line), ...]) */
static PyObject *describe(Goroutine *go, PyObject *here, PyObject *running)
{
    struct g *gp = &go->g;
    double waited = 0;
    if (aload(&gp->status) == Gwaiting && apeek(&gp->waitsince))
        waited = (double)(nanotime_coarse() - apeek(&gp->waitsince)) * 1e-9;
    PyObject *state = PyObject_GetAttrString((PyObject *)go, "state");
    PyObject *frames = state ? frames_of(go, here, running) : NULL;
    if (frames == NULL) {
        Py_XDECREF(state);
        return NULL;
    }
    return Py_BuildValue("(NdNN)", state, waited < 0 ? 0.0 : waited, PyBool_FromLong(gp->lockcount > 0),
                         frames);
}

static PyObject *core_stacks(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *wanted, *me, *here, *running;
    if (!PyArg_ParseTuple(args, "O!OO!O!", &PyList_Type, &wanted, &me, &PyFrame_Type, &here, &PyDict_Type,
                          &running))
        return NULL;
    PyObject *found = PyList_New(0);
    int gc = PyGC_Disable();
    freeze_switches();
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(wanted); i++) {
        PyObject *go = PyList_GET_ITEM(wanted, i);
        PyObject *one = describe((Goroutine *)go, go == me ? here : NULL, running);
        if (one == NULL || PyList_Append(found, one) < 0)
            Py_CLEAR(found);
        Py_XDECREF(one);
    }
    thaw_switches();
    if (gc)
        PyGC_Enable();
    return found;
}

PyMethodDef dump_functions[] = {
    {"stacks", core_stacks, METH_VARARGS, NULL},
    {0},
};
