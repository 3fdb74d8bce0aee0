/* pyasyncio.c: an awaitable as an asyncio task sees it: a future of its loop, by asyncio's own protocol
 * (_asyncio_future_blocking, get_loop, add_done_callback, cancel, result).
 *
 * Its operation begins when the task asks to be called back, for a G of kind GTASK. Whoever ends that wait, on whatever
 * thread and perhaps with a lock held, pushes the G onto its loop's queue and writes to an eventfd; the loop then
 * finishes the operation (drain). A task that is cancelled either leaves the queue it waits in, or, if a value is on
 * its way already, gives that back to the channel. All of this but host_wake_task() runs on the loop's thread. */
#include "pygopy.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* What stands for an asyncio task. The queue it waits in refers to it, and it to its awaitable, until it is drained
 * or cancelled; a value that was given back to a channel (chanunrecv) keeps it without one. */
struct taskwait {
    struct g g;
    struct gwait wait;
    PyAwait *a;
    struct loopqueue *queue;
};

/* The waits of one event loop's tasks that have ended. Pushed from any thread, drained by the loop. */
typedef struct loopqueue {
    PyObject_HEAD
    int fd;          /* an eventfd that the loop watches; open as long as the queue lives */
    struct g *ended; /* newest first */
    PyObject *loop;  /* a weak reference */
} LoopQueue;

void taskwait_free(struct taskwait *tw)
{
    if (tw)
        Py_XDECREF(tw->queue);
    PyMem_RawFree(tw);
}

void await_give_back(PyAwait *a, struct hchan *c)
{
    if (c->timed && a->value) {
        time_give_back(c, a->value);
        a->value = NULL;
        return;
    }
    struct taskwait *tw = a->task ? a->task : PyMem_RawCalloc(1, sizeof(*tw));
    PyObject *value = a->value;
    if (tw == NULL || value == NULL)
        return; /* out of memory: the value is lost with its receiver */
    a->value = NULL;
    a->task = NULL;
    Py_CLEAR(tw->queue);
    tw->g = (struct g){.kind = GTASK, .epoch = sched.epoch, .wait = &tw->wait};
    if (!chanunrecv(c, &tw->g, value))
        PyMem_RawFree(tw);
}

/* Let the loop call a's callback: it is ready. */
static int call_soon(PyAwait *a)
{
    PyObject *callback = a->callback, *context = a->context;
    a->callback = a->context = NULL;
    if (callback == NULL)
        return 0;
    PyObject *loop = PyObject_CallMethod((PyObject *)a, "get_loop", NULL);
    PyObject *method = loop ? PyObject_GetAttrString(loop, "call_soon") : NULL;
    PyObject *args = PyTuple_Pack(2, callback, a), *kwargs = PyDict_New(), *handle = NULL;
    if (method && args && kwargs &&
        (context == NULL || PyDict_SetItemString(kwargs, "context", context) == 0))
        handle = PyObject_Call(method, args, kwargs);
    Py_XDECREF(loop);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_DECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(handle);
    return handle ? 0 : -1;
}

PyObject *await_get_loop(PyObject *self, PyObject *noargs)
{
    PyAwait *a = (PyAwait *)self;
    (void)noargs;
    if (a->task && a->task->queue) {
        PyObject *loop = PyObject_CallNoArgs(a->task->queue->loop);
        if (loop == NULL || loop != Py_None)
            return loop;
        Py_DECREF(loop);
    }
    PyObject *queue = PyObject_CallNoArgs(hooks.loop_queue);
    PyObject *loop = queue ? PyObject_CallNoArgs(((LoopQueue *)queue)->loop) : NULL;
    Py_XDECREF(queue);
    return loop;
}

/* The wait has ended and everything that can wake it has let go: drop what it refers to. */
static void end_taskwait(PyAwait *a)
{
    struct taskwait *tw = a->task;
    if (tw && tw->a) {
        tw->a = NULL;
        Py_DECREF(a);
    }
}

/* A sleep: let the loop call _fire when it is time. */
static PyObject *start_timer(PyAwait *a)
{
    int64_t left = a->when - nanotime();
    if (a->when == NEVER)
        Py_RETURN_NONE;
    PyObject *loop = await_get_loop((PyObject *)a, NULL),
             *fire = PyObject_GetAttrString((PyObject *)a, "_fire");
    if (loop && fire)
        a->data = PyObject_CallMethod(loop, "call_later", "dO", left < 0 ? 0.0 : (double)left * 1e-9, fire);
    Py_XDECREF(loop);
    Py_XDECREF(fire);
    if (a->data == NULL)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *await_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fn", "context", NULL};
    PyAwait *a = (PyAwait *)self;
    PyObject *callback, *context = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O", names, &callback, &context))
        return NULL;
    if (a->state != AWAIT_YIELDED || a->callback) {
        PyErr_SetString(PyExc_RuntimeError, "gopy: this awaitable is awaited already");
        return NULL;
    }
    struct taskwait *tw = PyMem_RawCalloc(1, sizeof(*tw));
    PyObject *queue = tw ? PyObject_CallNoArgs(hooks.loop_queue) : PyErr_NoMemory();
    if (queue == NULL) {
        PyMem_RawFree(tw);
        return NULL;
    }
    tw->queue = (LoopQueue *)queue;
    tw->g.kind = GTASK;
    tw->g.epoch = sched.epoch;
    tw->g.wait = &tw->wait;
    tw->wait.sg.g = &tw->g;
    tw->a = (PyAwait *)new_ref(self);
    a->task = tw;
    a->callback = new_ref(callback);
    a->context = context && context != Py_None ? new_ref(context) : NULL;
    if (a->ops == &sleep_await) { /* the loop has timers of its own */
        wait_begin(&tw->g, WAIT_SLEEP);
        a->state = AWAIT_WAITING;
        return start_timer(a);
    }
    enum await_result r = await_begin(a, &tw->g);
    if (r == AWAIT_PARK)
        Py_RETURN_NONE;
    await_keep(a, r);
    end_taskwait(a);
    if (call_soon(a) < 0)
        return NULL;
    Py_RETURN_NONE;
}

void host_wake_task(struct g *gp)
{
    struct taskwait *tw = (struct taskwait *)gp;
    if (tw->a == NULL) { /* what it had given back is taken */
        PyMem_RawFree(tw);
        return;
    }
    LoopQueue *q = tw->queue;
    struct g *head;
    do {
        head = aload(&q->ended);
        gp->schedlink = head;
    } while (!acas(&q->ended, head, gp));
    uint64_t one = 1;
    if (head == NULL && write(q->fd, &one, sizeof(one)) < 0) {
        /* only if the loop has closed it: then nobody waits */
    }
}

/* Called by the loop: go on with the tasks whose waits have ended. */
static PyObject *drain(PyObject *self, PyObject *noargs)
{
    LoopQueue *q = (LoopQueue *)self;
    (void)noargs;
    uint64_t count;
    if (read(q->fd, &count, sizeof(count)) < 0) {
        /* woken for nothing */
    }
    struct g *list = axchg(&q->ended, (struct g *)NULL), *fifo = NULL;
    while (list) {
        struct g *gp = list;
        list = gp->schedlink;
        gp->schedlink = fifo;
        fifo = gp;
    }
    int failed = 0;
    while (fifo) {
        struct taskwait *tw = (struct taskwait *)fifo;
        PyAwait *a = tw->a;
        fifo = fifo->schedlink;
        enum await_result r = await_finish(a, &tw->g, (enum wake)tw->g.wake);
        Py_INCREF(a);
        if (r == AWAIT_PARK && !(a->leaving && await_leave(a))) {
            Py_DECREF(a);
            continue;
        }
        if (a->leaving && !PyErr_Occurred() && (a->cancelled || r == AWAIT_RAISED)) { /* left in the end */
            a->cancelled = true;
            Py_XSETREF(a->exc, new_ref(a->leaving));
        } else {
            await_keep(a, r);
        }
        end_taskwait(a);
        failed |= call_soon(a) < 0;
        Py_DECREF(a);
    }
    if (failed)
        return NULL;
    struct m *mp = getm();
    if (mp && mp->curg && mp->loopfd == q->fd) {
        loop_turn(mp);
        if (getm()->curg == sched.g1 && host_interrupt_pending()) {
            raise_main_exception();
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

/* Take a task's awaitable off its queue. false: it is not waiting, or the wake-up is on its way. */
bool await_leave(PyAwait *a)
{
    struct taskwait *tw = a->task;
    if (a->state == AWAIT_YIELDED)
        a->state = AWAIT_USED;
    if (tw == NULL || a->state != AWAIT_WAITING || !wait_claim(&tw->g))
        return false;
    if (a->ops != &sleep_await) {
        if (a->ops->finish(a, &tw->g, WAKE_CANCEL) == AWAIT_PARK) /* not before it has its lock again */
            return false;
    } else if (a->data) {
        PyObject *timer = a->data, *r = PyObject_CallMethod(timer, "cancel", NULL);
        a->data = NULL;
        Py_XDECREF(r);
        Py_DECREF(timer);
    }
    a->state = AWAIT_READY;
    a->cancelled = true;
    PyErr_Clear();
    Py_INCREF(a);
    end_taskwait(a);
    Py_DECREF(a); /* not the last: the caller has one */
    return true;
}

PyObject *await_cancel(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"msg", NULL};
    PyAwait *a = (PyAwait *)self;
    PyObject *msg = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &msg))
        return NULL;
    PyObject *module = PyImport_ImportModule("asyncio");
    PyObject *exc =
        module ? PyObject_CallMethod(module, "CancelledError", msg == Py_None ? NULL : "O", msg) : NULL;
    Py_XDECREF(module);
    if (exc == NULL)
        return NULL;
    if (!await_leave(a)) {
        Py_XSETREF(a->leaving, exc);
        Py_RETURN_FALSE;
    }
    Py_XSETREF(a->exc, exc);
    if (call_soon(a) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

PyObject *await_result_method(PyObject *self, PyObject *noargs)
{
    PyAwait *a = (PyAwait *)self;
    (void)noargs;
    if (a->cancelled && a->exc) {
        PyErr_SetObject((PyObject *)Py_TYPE(a->exc), a->exc);
        return NULL;
    }
    Py_RETURN_NONE; /* the value comes when the coroutine is resumed */
}

PyObject *await_done(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyBool_FromLong(((PyAwait *)self)->state >= AWAIT_READY);
}

PyObject *await_cancelled(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyBool_FromLong(((PyAwait *)self)->cancelled);
}

/* A sleep in a loop is over. */
PyObject *await_fire(PyObject *self, PyObject *noargs)
{
    PyAwait *a = (PyAwait *)self;
    (void)noargs;
    PyObject *timer = a->data;
    a->data = NULL;
    Py_XDECREF(timer);
    if (a->task && a->state == AWAIT_WAITING && wait_claim(&a->task->g)) {
        a->value = new_ref(Py_None);
        a->state = AWAIT_READY;
        end_taskwait(a);
        if (call_soon(a) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

/* asyncio's: None unless a task is to treat this as a future. */
PyObject *await_get_blocking(PyObject *self, void *closure)
{
    PyAwait *a = (PyAwait *)self;
    (void)closure;
    if (a->state != AWAIT_YIELDED && a->state != AWAIT_WAITING)
        Py_RETURN_NONE;
    return PyBool_FromLong(a->blocking);
}

int await_set_blocking(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    ((PyAwait *)self)->blocking = value && PyObject_IsTrue(value) > 0;
    return 0;
}

/* ---- the queue of an event loop ---- */

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *loop;
    if (kwargs || !PyArg_ParseTuple(args, "O", &loop))
        return NULL;
    LoopQueue *q = (LoopQueue *)type->tp_alloc(type, 0);
    if (q == NULL)
        return NULL;
    if ((q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(q);
        return NULL;
    }
    q->loop = new_ref(loop);
    return (PyObject *)q;
}

static void queue_dealloc(PyObject *self)
{
    LoopQueue *q = (LoopQueue *)self;
    if (q->fd >= 0)
        close(q->fd);
    Py_XDECREF(q->loop);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *queue_fileno(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyLong_FromLong(((LoopQueue *)self)->fd);
}

static PyMethodDef queue_methods[] = {
    {"drain", drain, METH_NOARGS, NULL},
    {"fileno", queue_fileno, METH_NOARGS, NULL},
    {0},
};

PyTypeObject LoopQueue_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core.LoopQueue",
    .tp_basicsize = sizeof(LoopQueue),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = queue_new,
    .tp_dealloc = queue_dealloc,
    .tp_methods = queue_methods,
};
