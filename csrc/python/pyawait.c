/* pyawait.c: the awaitable that every a-prefixed call returns, whoever awaits it: an operation (pyop.h) on its way.
 *
 * An awaitable does nothing until it is awaited. Then it first tries its operation; if that has to wait, it yields
 * itself to whoever drives the coroutine:
 *   - a stackless goroutine's driver (pystackless.c) begins the operation for that goroutine;
 *   - an asyncio task treats it as a future of its loop (pyasyncio.c).
 * So nobody has to ask who drives. A generator may also yield an awaitable to the driver without iterating it: then the
 * driver tries the operation first. Either way, an operation is begun with a G only after a try has said that it has to
 * wait.
 *
 * state          what holds                                              what comes next
 *   NEW          nobody has awaited it                                   YIELDED, or USED if it need not wait
 *   YIELDED      it has been tried, has to wait, and is with the driver  WAITING, or READY
 *   WAITING      its G is queued, or on its way back                     READY, WOKEN, or USED: given up
 *   WOKEN        the wait has ended; finish comes as the task goes on    USED, or WAITING again
 *   READY        the operation is over: op->value or exc is the outcome  USED
 *   USED         its coroutine has gone on, or never will                nothing
 * Only the driver of its coroutine changes the state. But two coroutines that await the same awaitable may both find it
 * in NEW, or in YIELDED, so those two states are left by compare-and-swap. */
#include "pyasyncio.h"

#include "pyerror.h"
#include "runtime/host.h"

#if !GOPY_THREADED
#define MOST_SPARE 256
static PyAwait *spare[MOST_SPARE];
static int nspare;
#endif

/* Borrows obj and value. NULL: raised. */
PyAwait *await_new(const struct op_kind *kind, PyObject *obj, PyObject *value, int64_t deadline)
{
    PyAwait *a;
#if !GOPY_THREADED
    if (nspare > 0) {
        a = spare[--nspare]; /* has its type still */
        Py_SET_REFCNT((PyObject *)a, 1);
    } else
#endif
        if ((a = PyObject_GC_New(PyAwait, &Awaitable_Type)) == NULL)
        return NULL;
    a->small = (struct op){.kind = kind, .obj = obj, .value = value, .deadline = deadline};
    a->op = &a->small;
    if (unlikely(kind->size != 0)) {
        if ((a->op = PyMem_RawCalloc(1, kind->size)) == NULL) {
            PyObject_GC_Del(a);
            PyErr_NoMemory();
            return NULL;
        }
        *a->op = a->small;
    }
    Py_XINCREF(obj);
    Py_XINCREF(value);
    a->exc = a->leaving = NULL;
    a->task = NULL;
    a->state = AWAIT_NEW;
    a->site = unlikely(real_peek(&sched.tracing)) ? host_trace_here() : 0;
    a->iterated = a->cancelled = a->blocking = false;
    a->wait.sg = (struct sudog){0};
    a->wait.timer.heap = NULL;
    PyObject_GC_Track(a);
    return a;
}

static int await_traverse(PyObject *self, visitproc visit, void *arg)
{
    PyAwait *a = (PyAwait *)self;
    Py_VISIT(a->op->obj);
    Py_VISIT(a->op->value);
    Py_VISIT(a->exc);
    Py_VISIT(a->leaving);
    int r = a->task ? taskwait_traverse(a->task, visit, arg) : 0;
    return r == 0 && a->op->kind->traverse ? a->op->kind->traverse(a->op, visit, arg) : r;
}

static int await_clear(PyObject *self)
{
    PyAwait *a = (PyAwait *)self;
    Py_CLEAR(a->op->value);
    Py_CLEAR(a->exc);
    Py_CLEAR(a->leaving);
    if (a->task)
        taskwait_clear(a->task);
    return 0;
}

/* Nobody takes a's result, if it has one: undo the operation. */
void await_give_up(PyAwait *a)
{
    bool ready = a->state == AWAIT_READY, done = ready && a->exc == NULL && !a->cancelled;
    a->state = AWAIT_USED;
    if (ready && a->op->kind->orphan && await_orphaned(a))
        a->op->kind->orphan(a->op);
    else if (done && a->op->kind->undo)
        a->op->kind->undo(a->op);
}

/* a's coroutine goes on without the result. */
static void undo(PyAwait *a)
{
    /* If a still waits for a task, its wake-up is on its way to drain(), which will undo it. */
    if (a->task && a->state == AWAIT_WAITING)
        await_leaves(a, new_ref(Py_None));
    else if (a->task == NULL || taskwait_end(a))
        await_give_up(a);
}

static void await_dealloc(PyObject *self)
{
    PyAwait *a = (PyAwait *)self;
    PyObject_GC_UnTrack(self);
    /* a's task was destroyed with the result on its way. */
    if (unlikely(a->state == AWAIT_READY))
        undo(a);
    await_clear(self);
    if (unlikely(a->op != &a->small) && a->op->kind->clear)
        a->op->kind->clear(a->op);
    taskwait_free(a->task);
    Py_CLEAR(a->op->obj);
    if (unlikely(a->op != &a->small))
        PyMem_RawFree(a->op);
#if !GOPY_THREADED
    if (nspare < MOST_SPARE) {
        spare[nspare++] = a;
        return;
    }
#endif
    PyObject_GC_Del(a);
}

/* ---- for those who drive ---- */

/* The first thing done with an awaitable: try its operation. *did is what that has said. false: a is not new. */
bool await_try(PyAwait *a, enum op_result *did)
{
    if (!acas(&a->state, AWAIT_NEW, AWAIT_USED))
        return false;
    preempt_point();
    *did = a->op->kind->begin(a->op, NULL);
    if (*did == OP_PARK && a->op->deadline == DEADLINE_PAST)
        *did = op_failed(WAKE_TIMEOUT);
    a->state = *did == OP_PARK ? AWAIT_YIELDED : AWAIT_READY;
    return true;
}

/* A begin or finish of a with a G has said `did`. */
static enum op_result went(PyAwait *a, enum op_result did)
{
    a->state = did == OP_PARK || did == OP_YIELD ? AWAIT_WAITING : AWAIT_READY;
    return did;
}

/* true: the caller is to begin a's wait. false: a has not just been tried, or another caller begins its wait. */
bool await_claim(PyAwait *a) { return acas(&a->state, AWAIT_YIELDED, AWAIT_WAITING); }

enum op_result await_begin(PyAwait *a, struct g *gp) { return went(a, a->op->kind->begin(a->op, gp)); }

enum op_result await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    return went(a, a->op->kind->finish(a->op, gp, w));
}

/* Whoever waits for a does not want the result any more. exc is the exception that it goes on with, or None: it never
 * goes on. Steals exc. */
void await_leaves(PyAwait *a, PyObject *exc)
{
    Py_XSETREF(a->leaving, exc);
    a->op->leaving = exc == Py_None ? ORPHANED : LEAVES;
}

static void used(PyAwait *a)
{
    a->state = AWAIT_USED;
    if (unlikely(a->task != NULL))
        taskwait_end(a);
}

PyObject *await_take(PyAwait *a)
{
    used(a);
    PyObject *value = a->op->value;
    a->op->value = NULL;
    return value;
}

/* A begin or finish of a has said `did`. a's coroutine is resumed with the outcome later: op->value has the value
 * already, an exception is taken out of the thread state. */
void await_keep(PyAwait *a, enum op_result did)
{
    if (did == OP_RAISED)
        Py_XSETREF(a->exc, fetch_exception());
}

/* ---- being awaited ---- */

void await_misused(void)
{
    PyErr_SetString(PyExc_RuntimeError, "gopy: an awaitable is good for one `await`: call again for another");
}

/* The operation has said `did`: return its value, raise its exception, or, if it has to wait, yield a to the driver. */
static PySendResult go_on(PyAwait *a, enum op_result did, PyObject **result)
{
    switch (did) {
    case OP_DONE:
        *result = await_take(a);
        return PYGEN_RETURN;
    case OP_RAISED:
        used(a);
        return PYGEN_ERROR;
    default:
        a->iterated = a->blocking = true;
        *result = new_ref((PyObject *)a);
        return PYGEN_NEXT;
    }
}

static PySendResult await_send(PyObject *self, PyObject *arg, PyObject **result)
{
    PyAwait *a = (PyAwait *)self;
    enum op_result did;
    (void)arg;
    *result = NULL;
    switch (a->state) {
    case AWAIT_NEW:
        if (await_try(a, &did))
            return go_on(a, did, result);
        break;
    case AWAIT_WOKEN:
        return go_on(a, taskwait_finish(a), result);
    case AWAIT_READY:
        if (a->exc == NULL)
            return go_on(a, OP_DONE, result);
        PyErr_SetObject((PyObject *)Py_TYPE(a->exc), a->exc);
        Py_CLEAR(a->exc);
        return go_on(a, OP_RAISED, result);
    case AWAIT_YIELDED:
        PyErr_SetString(
            PyExc_RuntimeError,
            "gopy: resumed before its wait has begun; only a goroutine (`go`) or an asyncio task can "
            "await it");
        return PYGEN_ERROR;
    }
    await_misused();
    return PYGEN_ERROR;
}

static PyObject *await_next(PyObject *self)
{
    PyObject *result;
    if (await_send(self, Py_None, &result) != PYGEN_RETURN)
        return result;
    if (result != Py_None) { /* without a value, StopIteration need not be set */
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    Py_DECREF(result);
    return NULL;
}

static PyObject *await_send_method(PyObject *self, PyObject *arg)
{
    (void)arg;
    PyObject *r = await_next(self);
    if (r == NULL && !PyErr_Occurred())
        PyErr_SetNone(PyExc_StopIteration);
    return r;
}

/* Something is thrown into the coroutine at this await. */
static PyObject *await_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyAwait *a = (PyAwait *)self;
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "throw() takes 1 to 3 positional arguments but %zd were given", nargs);
        return NULL;
    }
    await_leave(a);
    undo(a);
    PyObject *type = args[0], *value = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else if (PyExceptionClass_Check(type))
        PyErr_SetObject(type, value);
    else
        type_error("type", "an exception or an exception class", type);
    return NULL;
}

static PyObject *await_close(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    await_leave((PyAwait *)self);
    undo((PyAwait *)self);
    Py_RETURN_NONE;
}

static PyObject *await_repr(PyObject *self)
{
    PyAwait *a = (PyAwait *)self;
    static const char *const states[] = {"not awaited", "awaited", "waiting", "woken", "ready", "used"};
    return PyUnicode_FromFormat("<gopy awaitable %s [%s]>", a->op->kind->name, states[a->state]);
}

static PyMethodDef await_methods[] = {
    {"send", await_send_method, METH_O, NULL},
    {"throw", FAST(await_throw), NULL},
    {"close", await_close, METH_NOARGS, NULL},
    {"get_loop", await_get_loop, METH_NOARGS, NULL},
    {"add_done_callback", (PyCFunction)(void (*)(void))await_add_done_callback, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"cancel", (PyCFunction)(void (*)(void))await_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"result", await_result_method, METH_NOARGS, NULL},
    {"done", await_done, METH_NOARGS, NULL},
    {"cancelled", await_cancelled, METH_NOARGS, NULL},
    {"_expire", await_expire, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type checkers."},
    {0},
};

static PyGetSetDef await_getset[] = {
    {"_asyncio_future_blocking", await_get_blocking, await_set_blocking, NULL, NULL},
    {0},
};

static PyAsyncMethods await_async = {.am_await = PyObject_SelfIter, .am_send = await_send};

PyTypeObject Awaitable_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core.Awaitable",
    .tp_doc = "What the a-prefixed calls return: to be awaited once, in a goroutine or in an asyncio task.",
    .tp_basicsize = sizeof(PyAwait),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = await_dealloc,
    .tp_traverse = await_traverse,
    .tp_clear = await_clear,
    .tp_repr = await_repr,
    .tp_as_async = &await_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = await_next,
    .tp_methods = await_methods,
    .tp_getset = await_getset,
};
