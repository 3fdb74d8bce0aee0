/* pyasyncio.c: an awaitable as an asyncio task sees it: a future of its loop, by asyncio's own protocol
 * (_asyncio_future_blocking, get_loop, add_done_callback, cancel, result).
 *
 * Its operation begins when the task asks to be called back, for a G of kind GTASK. Whoever ends that wait, on whatever
 * thread and perhaps with a lock held, pushes the G onto its loop's queue and writes to an eventfd; the loop then
 * finishes the operation (drain). A task that is cancelled either leaves the queue it waits in, or, if a value is on
 * its way already, gives that back to the channel. All of this but host_wake_task() runs on the loop's thread.
 *
 * Nobody drains the queue of a loop that is closed. So a LoopQueue knows all waits that its tasks have begun and not
 * seen the end of, and whoever closes the loop (gopy/_asyncio.py) takes each off the queue that it waits in, or gives back
 * what it has been given: after queue_close() no waker can find one, on whatever thread it is. */
#include "pygopy.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What stands for an asyncio task. It refers to its awaitable, and is in `waits` of its loop's queue, until the task has
 * gone on or is given up; a value that was given back to a channel (chanunrecv) keeps it without either. */
struct taskwait {
    struct g g;
    struct gwait wait;
    PyAwait *a;
    struct loopqueue *queue;
    struct taskwait *next, **prev; /* in queue->waits; prev NULL: not there */
    bool ended;                    /* taken out of queue->ended by queue_close */
};

/* The waits of one event loop's tasks. */
typedef struct loopqueue {
    PyObject_HEAD
    int fd;           /* an eventfd that the loop watches; open as long as the queue lives */
    struct g *ended;  /* those that have ended, newest first: pushed from any thread, drained by the loop */
    PyObject *loop;   /* a weak reference */
    struct lock lock; /* guards what follows; a leaf */
    struct taskwait *waits; /* all, the last to begin first */
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

/* Let the loop call a's callback: it is ready. One with an `orphan` refers to its task until that goes on. */
static int call_soon(PyAwait *a)
{
    PyObject *callback = a->callback, *context = a->context;
    if (callback == NULL)
        return 0;
    a->callback = a->ops->orphan ? new_ref(callback) : NULL;
    a->context = NULL;
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

static void taskwait_begin(struct taskwait *tw, PyAwait *a, LoopQueue *q) /* steals q */
{
    tw->queue = q;
    tw->g = (struct g){.kind = GTASK, .epoch = sched.epoch, .wait = &tw->wait};
    tw->wait.sg.g = &tw->g;
    tw->a = (PyAwait *)new_ref((PyObject *)a);
    a->task = tw;
    lock(&q->lock);
    tw->next = q->waits;
    tw->prev = &q->waits;
    if (tw->next)
        tw->next->prev = &tw->next;
    q->waits = tw;
    unlock(&q->lock);
}

static bool unlink_locked(struct taskwait *tw)
{
    if (tw->prev == NULL)
        return false;
    *tw->prev = tw->next;
    if (tw->next)
        tw->next->prev = tw->prev;
    tw->prev = NULL;
    return true;
}

/* a, which waits no more, is resumed or given up. false: it was already. The caller has a reference. */
bool taskwait_end(PyAwait *a)
{
    struct taskwait *tw = a->task;
    if (tw->queue == NULL)
        return false;
    lock(&tw->queue->lock);
    bool first = unlink_locked(tw);
    unlock(&tw->queue->lock);
    if (first) {
        tw->a = NULL;
        Py_CLEAR(a->callback);
        Py_DECREF(a);
    }
    return first;
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
    taskwait_begin(tw, a, (LoopQueue *)queue);
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
        if (await_orphaned(a)) {
            PyErr_Clear();
            a->cancelled |= r == AWAIT_RAISED;
            if (taskwait_end(a))
                await_give_up(a);
        } else if (a->leaving && !PyErr_Occurred() &&
                   (a->cancelled || r == AWAIT_RAISED)) { /* left in the end */
            a->cancelled = true;
            Py_XSETREF(a->exc, new_ref(a->leaving));
        } else {
            await_keep(a, r);
        }
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

/* Whoever has claimed tw's wait is about to push it: wait for that. (In the child of a fork it has stayed behind.) */
static void wait_for_waker(LoopQueue *q, struct taskwait *tw)
{
    while (!tw->ended && tw->g.epoch == sched.epoch) {
        struct g *list = axchg(&q->ended, (struct g *)NULL);
        if (list == NULL) {
            Py_BEGIN_ALLOW_THREADS sched_yield();
            Py_END_ALLOW_THREADS
        }
        for (; list; list = list->schedlink)
            ((struct taskwait *)list)->ended = true;
    }
    tw->ended = false;
}

/* a's loop is closed: it waits no more, and nobody can wake it. It may have what it has waited for. */
static void stop_waiting(LoopQueue *q, PyAwait *a)
{
    struct taskwait *tw = a->task;
    Py_XSETREF(a->leaving, new_ref(Py_None));
    while (a->state == AWAIT_WAITING && !await_leave(a)) {
        wait_for_waker(q, tw);
        a->cancelled = await_finish(a, &tw->g, (enum wake)tw->g.wake) == AWAIT_RAISED;
        PyErr_Clear();
    }
    tw->a = NULL;
}

/* Take all waits out of q: a tuple of their awaitables, the last to begin first. */
static PyObject *take_waits(LoopQueue *q)
{
    Py_ssize_t n = 0;
    lock(&q->lock);
    for (struct taskwait *tw = q->waits; tw; tw = tw->next)
        n++;
    unlock(&q->lock);
    PyObject *all = PyTuple_New(n);
    for (Py_ssize_t i = 0; all && i < n; i++) { /* the loop does not run: there can only be fewer */
        lock(&q->lock);
        struct taskwait *tw = q->waits;
        if (tw)
            unlink_locked(tw);
        unlock(&q->lock);
        PyTuple_SET_ITEM(all, i, tw ? (PyObject *)tw->a : new_ref(Py_None));
    }
    return all;
}

/* The loop is closed. First nobody waits any more; then what they have is given back, the latest first, so that values
 * are in their channel in the order in which they were; and only then go the references that destroy tasks, whose code
 * may do anything. A coroutine that must not go on, not even to its end, without a lock that it has lost (`orphan`) is
 * kept for good. */
static PyObject *queue_close(PyObject *self, PyObject *noargs)
{
    LoopQueue *q = (LoopQueue *)self;
    (void)noargs;
    PyObject *all = take_waits(q);
    if (all == NULL)
        return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(all);
    while (n > 0 && PyTuple_GET_ITEM(all, n - 1) == Py_None)
        n--;
    for (Py_ssize_t i = 0; i < n; i++)
        stop_waiting(q, (PyAwait *)PyTuple_GET_ITEM(all, i));
    for (Py_ssize_t i = 0; i < n; i++)
        await_give_up((PyAwait *)PyTuple_GET_ITEM(all, i));
    for (Py_ssize_t i = 0; i < n; i++) {
        PyAwait *a = (PyAwait *)PyTuple_GET_ITEM(all, i);
        if (a->ops->orphan) {
            Py_INCREF(a);
            Py_CLEAR(a->task->queue); /* but not the loop's descriptor */
            continue;
        }
        Py_CLEAR(a->callback);
        Py_CLEAR(a->context);
    }
    Py_DECREF(all);
    Py_RETURN_NONE;
}

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
    {"close", queue_close, METH_NOARGS, NULL},
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
