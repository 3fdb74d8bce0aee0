/* pyawait.c: the awaitable that every a-prefixed call returns, whoever awaits it.
 *
 * An awaitable does nothing until it is awaited. Then it first tries its operation; if that has to wait, it yields
 * itself to whoever drives the coroutine:
 *   - a stackless goroutine's driver (pystackless.c) begins the operation for that goroutine;
 *   - an asyncio task treats it as a future of its loop (pyasyncio.c).
 * So nobody has to ask who drives. A generator may also yield an awaitable to the driver without iterating it: then the
 * driver tries it first. So an operation is begun with a G only if it has been tried and has to wait.
 *
 * An operation (struct await_ops) supplies
 *   begin(a, gp)      do it if that can be done now: AWAIT_DONE with the result in a->value, AWAIT_RAISED with an
 *                     exception set, or AWAIT_PARK: gp is queued, and may be resumed on another thread before begin
 *                     returns. gp NULL: AWAIT_PARK queues nothing, it only says that it would have to wait.
 *   finish(a, gp, w)  the wait has ended with w: the same answers. WAKE_CANCEL: only leave the queue (AWAIT_RAISED).
 *   undo(a)           it is done, and whoever awaited it was cancelled before it could take the result.
 *   orphan(a)         instead of undo, if its coroutine is neither resumed nor closed any more (and must not be).
 *
 * Values: while it waits, the sudog owns what is sent; a->value is only what begin has not moved, or the result. */
#include "pygopy.h"

#if !GOPY_THREADED
#define MOST_SPARE 256
static PyAwait *spare[MOST_SPARE];
static int nspare;
#endif

PyAwait *await_new(const struct await_ops *ops, PyObject *obj, PyObject *value) /* borrows obj and value */
{
    PyAwait *a;
#if !GOPY_THREADED
    if (nspare > 0) {
        a = spare[--nspare];
        PyObject_Init((PyObject *)a, &Awaitable_Type);
    } else
#endif
        if ((a = PyObject_GC_New(PyAwait, &Awaitable_Type)) == NULL)
        return NULL;
    a->ops = ops;
    a->obj = obj;
    Py_XINCREF(obj);
    a->value = value;
    Py_XINCREF(value);
    a->exc = a->callback = a->context = a->leaving = NULL;
    a->data = NULL;
    a->task = NULL;
    a->state = AWAIT_NEW;
    a->iterated = a->cancelled = a->blocking = false;
    a->wait.sg = (struct sudog){0};
    a->wait.timer.heap = NULL;
    PyObject_GC_Track(a);
    return a;
}

static int await_traverse(PyObject *self, visitproc visit, void *arg)
{
    PyAwait *a = (PyAwait *)self;
    Py_VISIT(a->obj);
    Py_VISIT(a->value);
    Py_VISIT(a->exc);
    Py_VISIT(a->callback);
    Py_VISIT(a->context);
    Py_VISIT(a->leaving);
    return a->ops->traverse ? a->ops->traverse(a, visit, arg) : 0;
}

static int await_clear(PyObject *self)
{
    PyAwait *a = (PyAwait *)self;
    Py_CLEAR(a->value);
    Py_CLEAR(a->exc);
    Py_CLEAR(a->callback);
    Py_CLEAR(a->context);
    Py_CLEAR(a->leaving);
    return 0;
}

/* Nobody takes its result. */
void await_give_up(PyAwait *a)
{
    bool ready = a->state == AWAIT_READY, done = ready && a->exc == NULL && !a->cancelled;
    a->state = AWAIT_USED;
    if (ready && a->ops->orphan && await_orphaned(a))
        a->ops->orphan(a);
    else if (done && a->ops->undo)
        a->ops->undo(a);
}

/* Its coroutine goes on without the result. */
static void undo(PyAwait *a)
{
    if (a->task && a->state == AWAIT_WAITING) /* the wake-up is on its way, and undoes it (drain) */
        Py_XSETREF(a->leaving, new_ref(Py_None));
    else if (a->task == NULL || taskwait_end(a))
        await_give_up(a);
}

static void await_dealloc(PyObject *self)
{
    PyAwait *a = (PyAwait *)self;
    PyObject_GC_UnTrack(self);
    if (unlikely(a->state == AWAIT_READY)) /* its task was destroyed with the result on its way */
        undo(a);
    await_clear(self);
    if (a->ops->free)
        a->ops->free(a);
    taskwait_free(a->task);
    Py_CLEAR(a->obj);
#if !GOPY_THREADED
    if (nspare < MOST_SPARE) {
        spare[nspare++] = a;
        return;
    }
#endif
    PyObject_GC_Del(a);
}

/* ---- for those who drive ---- */

/* The first thing done with an awaitable: its operation, unless that has to wait. */
enum await_result await_try(PyAwait *a)
{
    if (!acas(&a->state, AWAIT_NEW, AWAIT_USED)) /* only one of two that await the same one */
        return AWAIT_MISUSED;
    preempt_point();
    enum await_result r = a->ops->begin(a, NULL);
    a->state = r == AWAIT_PARK ? AWAIT_YIELDED : AWAIT_READY;
    return r;
}

enum await_result await_begin(PyAwait *a, struct g *gp)
{
    if (!acas(&a->state, AWAIT_YIELDED, AWAIT_WAITING)) /* before it can be resumed elsewhere */
        return AWAIT_MISUSED;
    enum await_result r = a->ops->begin(a, gp);
    if (r != AWAIT_PARK)
        a->state = AWAIT_READY;
    return r;
}

enum await_result await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    enum await_result r = a->ops->finish(a, gp, w);
    if (r != AWAIT_PARK)
        a->state = AWAIT_READY;
    return r;
}

/* For a finish: how a wait ended that did not end well. */
enum await_result await_failed(enum wake w)
{
    if (w == WAKE_INTERRUPT)
        raise_main_exception();
    else if (w != WAKE_CANCEL)
        PyErr_NoMemory();
    return AWAIT_RAISED;
}

/* The exception that is set: keep it until a is resumed. */
static void keep_exception(PyAwait *a)
{
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyErr_NormalizeException(&type, &exc, &tb);
    if (tb)
        PyException_SetTraceback(exc, tb);
    Py_XDECREF(type);
    Py_XDECREF(tb);
    Py_XSETREF(a->exc, exc);
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
    PyObject *value = a->value;
    a->value = NULL;
    return value;
}

/* Whoever drives a's coroutine resumes it when await_begin or await_finish has said so. */
void await_keep(PyAwait *a, enum await_result r)
{
    if (r == AWAIT_RAISED)
        keep_exception(a);
}

/* ---- being awaited ---- */

void await_misused(void)
{
    PyErr_SetString(PyExc_RuntimeError, "gopy: an awaitable is good for one `await`: call again for another");
}

static PySendResult await_send(PyObject *self, PyObject *arg, PyObject **result)
{
    PyAwait *a = (PyAwait *)self;
    (void)arg;
    *result = NULL;
    switch (a->state) {
    case AWAIT_NEW:
        switch (await_try(a)) {
        case AWAIT_DONE:
            *result = await_take(a);
            return PYGEN_RETURN;
        case AWAIT_RAISED:
            a->state = AWAIT_USED;
            return PYGEN_ERROR;
        case AWAIT_PARK:
            a->iterated = a->blocking = true;
            *result = new_ref(self);
            return PYGEN_NEXT;
        default:
            break;
        }
        break;
    case AWAIT_READY:
        if (a->exc) {
            PyObject *exc = a->exc;
            a->exc = NULL;
            used(a);
            PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
            Py_DECREF(exc);
            return PYGEN_ERROR;
        }
        *result = await_take(a);
        return PYGEN_RETURN;
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
    static const char *const states[] = {"not awaited", "awaited", "waiting", "ready", "used"};
    return PyUnicode_FromFormat("<gopy awaitable %s [%s]>", a->ops->name, states[a->state]);
}

static PyMethodDef await_methods[] = {
    {"send", await_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))await_throw, METH_FASTCALL, NULL},
    {"close", await_close, METH_NOARGS, NULL},
    {"get_loop", await_get_loop, METH_NOARGS, NULL},
    {"add_done_callback", (PyCFunction)(void (*)(void))await_add_done_callback, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"cancel", (PyCFunction)(void (*)(void))await_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"result", await_result_method, METH_NOARGS, NULL},
    {"done", await_done, METH_NOARGS, NULL},
    {"cancelled", await_cancelled, METH_NOARGS, NULL},
    {"_fire", await_fire, METH_NOARGS, NULL},
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
