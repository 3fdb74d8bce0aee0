/* pydump.c: what a dump of goroutines is written from, as it is at one moment.
 *
 * No other M resumes a suspended goroutine meanwhile, and no Python code runs on this thread: a signal handler or a
 * finalizer could wait for a goroutine. So nothing here calls anything of the user's; the text is Python's to write.
 *
 * The frames of a goroutine that runs on another thread come and go: they are looked at while the world is stopped, and
 * what is told of a frame does not refer to it, as afterwards even its code could not be asked for. */
#include "pydump.h"

#include "pycoroutine.h"
#include "pyerror.h"
#include "pyswitch.h"

/* Append (code, line, offset of the instruction, globals) to found. -> whether it could */
static bool tell_frame(PyObject *found, PyFrameObject *frame)
{
    PyObject *one = Py_BuildValue("(NiiN)", PyFrame_GetCode(frame), PyFrame_GetLineNumber(frame),
                                  PyFrame_GetLasti(frame), PyFrame_GetGlobals(frame));
    bool ok = one && PyList_Append(found, one) == 0;
    Py_XDECREF(one);
    return ok;
}

/* The frames of a goroutine from the newest, top, on; oldest first. */
static PyObject *frames_from(PyFrameObject *top)
{
    PyObject *found = PyList_New(0);
    PyFrameObject *frame = (PyFrameObject *)new_ref((PyObject *)top);
    while (found && frame) {
        if (!tell_frame(found, frame))
            Py_CLEAR(found);
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
        if (frame && !tell_frame(found, (PyFrameObject *)frame))
            Py_CLEAR(found);
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

/* The frames of the thread that go is on, which may have left it: then they are none of its. */
static PyObject *frames_on_thread(Goroutine *go)
{
    world_stop();
    struct m *mp = go->g.boundm;
    PyThreadState *ts = mp && goroutine_on_thread(go) ? m_tstate(mp) : NULL;
    PyFrameObject *top = ts ? PyThreadState_GetFrame(ts) : NULL;
    PyObject *found = top ? frames_from(top) : PyList_New(0);
    world_start();
    Py_XDECREF(top);
    return found;
}

static PyObject *frames_of(Goroutine *go, PyObject *here)
{
    if (here)
        return frames_from((PyFrameObject *)here);
    PyObject *coro = coroutine_of(go), *found = NULL;
    if (coro) {
        found = frames_awaiting(coro);
        Py_DECREF(coro);
        return found;
    }
    /* The thread may be in another greenlet, which the goroutine has made: then the newest frame is the thread's. */
    if (goroutine_on_thread(go))
        return frames_on_thread(go);
    PyObject *glet = goroutine_greenlet(go);
    PyObject *top = glet ? PyObject_GetAttrString(glet, "gr_frame") : NULL;
    if (top && PyFrame_Check(top))
        found = frames_from((PyFrameObject *)top);
    else if (!PyErr_Occurred())
        found = PyList_New(0);
    Py_XDECREF(glet);
    Py_XDECREF(top);
    return found;
}

/* (state or what it waits for, seconds waited, whether locked to its thread, [what tell_frame() tells, ...]) */
static PyObject *describe(Goroutine *go, PyObject *here)
{
    struct g *gp = &go->g;
    double waited = 0;
    if (aload(&gp->status) == Gwaiting && apeek(&gp->waitsince))
        waited = (double)(nanotime_coarse() - apeek(&gp->waitsince)) * 1e-9;
    PyObject *state = PyObject_GetAttrString((PyObject *)go, "state");
    PyObject *frames = state ? frames_of(go, here) : NULL;
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
    PyObject *wanted, *me, *here;
    if (!PyArg_ParseTuple(args, "O!OO!", &PyList_Type, &wanted, &me, &PyFrame_Type, &here))
        return NULL;
    PyObject *found = PyList_New(0);
    COLLECTIONS_PAUSE();
    freeze_switches();
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(wanted); i++) {
        PyObject *go = PyList_GET_ITEM(wanted, i);
        PyObject *one = describe((Goroutine *)go, go == me ? here : NULL);
        if (one == NULL || PyList_Append(found, one) < 0)
            Py_CLEAR(found);
        Py_XDECREF(one);
    }
    thaw_switches();
    COLLECTIONS_GO_ON();
    return found;
}

PyMethodDef dump_functions[] = {
    {"stacks", core_stacks, METH_VARARGS, NULL},
    {0},
};
