/* pyasyncio.c: an awaitable as an asyncio task sees it: a future of its loop, by asyncio's own protocol
 * (_asyncio_future_blocking, get_loop, add_done_callback, cancel, result).
 *
 * Its operation begins when the task asks to be called back, for a G of kind GTASK. Whoever ends that wait, on whatever
 * thread, pushes the G onto the queue of its loop and writes to an eventfd. The loop then finishes the operation
 * (drain), or, if the operation is `late`, has the task finish it as it goes on. A deadline is a timer of the loop's. A
 * task that is cancelled either leaves the queue it waits in, or undoes what it has been given. All of this but
 * host_wake_task() runs on the loop's thread.
 *
 * Nobody drains the queue of a loop that is closed. So a LoopQueue knows all waits that its tasks have begun and not
 * seen the end of. Whoever closes the loop (gopy/_asyncio.py) takes each of them off the queue that it waits in, or
 * gives back what it has been given. After queue_close() no waker on any thread finds one, and the eventfd is
 * closed. */
#include "pyasyncio.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pyerror.h"
#include "pyeventloop.h"
#include "pypanic.h"

/* What stands for an asyncio task. It refers to its awaitable, and is in `waits` of its loop's queue, until the task has
 * gone on or is given up. One that only keeps a value for a channel (value_keeper) has neither awaitable nor queue. */
struct taskwait {
    struct g g;                    /* the task's G; the first member, see host_wake_task */
    struct gwait wait;             /* what g waits with */
    PyAwait *a;                    /* the awaitable; NULL: a keeper, or its task has gone on or is given up */
    struct loopqueue *queue;       /* its loop's, with a reference, or NULL */
    struct taskwait *next, **prev; /* in queue->waits; prev NULL: not there */
    bool ended;                    /* wait_for_waker() has found it in queue->ended */
    PyObject *callback, *context;  /* the task's: what the loop is to call when the wait is over, or NULL */
    PyObject *timer;               /* the loop's, of the deadline, or NULL */
};

/* The waits of one event loop's tasks. */
typedef struct loopqueue {
    PyObject_HEAD
    int fd;                 /* an eventfd that the loop watches; -1: closed, see stop_waking */
    uint32_t wakers;        /* threads that are about to push to `ended`, or to write to fd after that */
    uint32_t epoch;         /* the fork generation that it was made in */
    struct g *ended;        /* Gs whose waits have ended, newest first: any thread pushes, the loop drains */
    PyObject *loop;         /* a weak reference */
    struct lock lock;       /* guards what follows; a leaf */
    struct taskwait *waits; /* all, the last to begin first */
} LoopQueue;

void taskwait_clear(struct taskwait *tw)
{
    Py_CLEAR(tw->callback);
    Py_CLEAR(tw->context);
    Py_CLEAR(tw->timer);
}

void taskwait_free(struct taskwait *tw)
{
    if (tw) {
        taskwait_clear(tw);
        Py_XDECREF(tw->queue);
    }
    PyMem_RawFree(tw);
}

int taskwait_traverse(struct taskwait *tw, visitproc visit, void *arg)
{
    Py_VISIT(tw->callback);
    Py_VISIT(tw->context);
    Py_VISIT(tw->timer);
    return 0;
}

/* Nobody waits with this G: host_wake_task() frees it when the value is taken. */
struct g *value_keeper(void)
{
    struct taskwait *tw = PyMem_RawCalloc(1, sizeof(*tw));
    if (tw == NULL)
        return NULL;
    tw->g = (struct g){.kind = GTASK, .epoch = sched.epoch, .wait = &tw->wait};
    return &tw->g;
}

void value_keeper_free(struct g *gp) { PyMem_RawFree(gp); }

/* a's wait is over: let the loop call its callback. If its kind has an `orphan`, a keeps the callback, and so the task,
 * until the task goes on. */
static int call_soon(PyAwait *a)
{
    struct taskwait *tw = a->task;
    PyObject *callback = tw->callback, *context = tw->context;
    if (callback == NULL)
        return 0;
    tw->callback = a->op->kind->orphan ? new_ref(callback) : NULL;
    tw->context = NULL;
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
    return running_loop();
}

static void taskwait_begin(struct taskwait *tw, PyAwait *a, LoopQueue *q) /* steals q */
{
    tw->queue = q;
    tw->g = (struct g){.kind = GTASK, .epoch = sched.epoch, .wait = &tw->wait};
    tw->wait.sg.g = &tw->g;
    tw->a = (PyAwait *)new_ref((PyObject *)a);
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
        Py_CLEAR(tw->callback);
        Py_DECREF(a);
    }
    return first;
}

/* Let the loop call _expire at the deadline. */
static int start_timer(PyAwait *a)
{
    if (a->op->deadline == NEVER)
        return 0;
    int64_t left = a->op->deadline - nanotime_here();
    PyObject *loop = await_get_loop((PyObject *)a, NULL),
             *expire = PyObject_GetAttrString((PyObject *)a, "_expire");
    if (loop && expire)
        a->task->timer =
            PyObject_CallMethod(loop, "call_later", "dO", left < 0 ? 0.0 : (double)left * 1e-9, expire);
    Py_XDECREF(loop);
    Py_XDECREF(expire);
    return a->task->timer ? 0 : -1;
}

/* The wait is over. An exception may be set, and stays set. */
static void stop_timer(struct taskwait *tw)
{
    PyObject *type, *exc, *tb, *timer = tw->timer;
    if (likely(timer == NULL))
        return;
    tw->timer = NULL;
    PyErr_Fetch(&type, &exc, &tb);
    PyObject *r = PyObject_CallMethod(timer, "cancel", NULL);
    if (r == NULL)
        PyErr_WriteUnraisable(timer);
    Py_XDECREF(r);
    Py_DECREF(timer);
    PyErr_Restore(type, exc, tb);
}

/* A begin or finish of a has said `did`: let the loop watch the deadline, or let the task go on. */
static int went(PyAwait *a, enum op_result did)
{
    if (did == OP_PARK)
        return start_timer(a);
    if (did == OP_YIELD) {
        a->task->g.wake = WAKE_OP;
        a->state = AWAIT_WOKEN;
    } else {
        await_keep(a, did);
    }
    return call_soon(a);
}

/* a's wait has ended, as its G says: finish the operation. */
enum op_result taskwait_finish(PyAwait *a)
{
    return await_finish(a, &a->task->g, (enum wake)a->task->g.wake);
}

/* From here on a stands for a task: put its wait into the queue of the task's loop, and begin the operation. A loop
 * whose queue cannot be made, for want of a descriptor, has the task go on with that error. add_done_callback() may not
 * raise it, as asyncio takes a for pending then. */
static enum op_result begin(PyAwait *a)
{
    PyObject *queue = PyObject_CallNoArgs(hooks.loop_queue);
    if (queue == NULL) {
        a->state = AWAIT_READY;
        return OP_RAISED;
    }
    taskwait_begin(a->task, a, (LoopQueue *)queue);
    return await_begin(a, &a->task->g);
}

PyObject *await_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fn", "context", NULL};
    PyAwait *a = (PyAwait *)self;
    PyObject *callback, *context = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O", names, &callback, &context))
        return NULL;
    /* A finish that the task called as it went on has queued its G once more. */
    bool again = a->state == AWAIT_WAITING && a->task;
    if ((!again && a->state != AWAIT_YIELDED) || (a->task && a->task->callback)) {
        PyErr_SetString(PyExc_RuntimeError, "gopy: this awaitable is awaited already");
        return NULL;
    }
    if (!again && !await_claim(a)) {
        await_misused();
        return NULL;
    }
    if (!again && (a->task = PyMem_RawCalloc(1, sizeof(*a->task))) == NULL) {
        a->state = AWAIT_YIELDED;
        return PyErr_NoMemory();
    }
    a->task->callback = new_ref(callback);
    a->task->context = context && context != Py_None ? new_ref(context) : NULL;
    if (went(a, again ? OP_PARK : begin(a)) < 0)
        return NULL;
    Py_RETURN_NONE;
}

void host_wake_task(struct g *gp)
{
    struct taskwait *tw = (struct taskwait *)gp;
    if (tw->a == NULL) { /* a keeper, whose value has been taken */
        PyMem_RawFree(tw);
        return;
    }
    LoopQueue *q = tw->queue; /* from the push on only `wakers` keeps q alive */
    struct g *head;
    aadd(&q->wakers, 1);
    do {
        head = aload(&q->ended);
        gp->schedlink = head;
    } while (!acas(&q->ended, head, gp));
    uint64_t one = 1;
    if (head == NULL && write(q->fd, &one, sizeof(one)) < 0) {
        /* full: it has been woken often enough */
    }
    aadd(&q->wakers, -1);
}

/* Somebody has ended a's wait. */
static int ended(PyAwait *a)
{
    struct taskwait *tw = a->task;
    stop_timer(tw);
    if (a->op->kind->late && !a->leaving) {
        a->state = AWAIT_WOKEN;
        return call_soon(a);
    }
    enum op_result did = taskwait_finish(a);
    Py_INCREF(a);
    int failed = 0;
    if (did == OP_PARK && !(a->leaving && await_leave(a))) {
        failed = start_timer(a);
    } else {
        if (await_orphaned(a)) {
            PyErr_Clear();
            a->cancelled |= did == OP_RAISED;
            if (taskwait_end(a))
                await_give_up(a);
        } else if (a->leaving && !PyErr_Occurred() && (a->cancelled || did == OP_RAISED)) {
            a->cancelled = true; /* the task could not leave earlier */
            Py_XSETREF(a->exc, new_ref(a->leaving));
        } else {
            await_keep(a, did);
        }
        failed = call_soon(a);
    }
    Py_DECREF(a);
    return failed;
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
        fifo = fifo->schedlink;
        failed |= ended(tw->a) < 0;
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

/* End a's wait for its task. false: it does not wait, or the wake-up is on its way, or it cannot end yet. */
bool await_leave(PyAwait *a)
{
    struct taskwait *tw = a->task;
    if (a->state == AWAIT_YIELDED)
        a->state = AWAIT_USED;
    if (tw == NULL)
        return false;
    if (a->state == AWAIT_WOKEN) {
        if (a->op->leaving == STAYS)
            a->op->leaving = LEAVES;
        taskwait_finish(a);
    } else if (a->state != AWAIT_WAITING || !wait_claim(&tw->g)) {
        return false;
    } else {
        stop_timer(tw);
        /* A Cond's wait cannot end before L is locked again. */
        if (await_finish(a, &tw->g, WAKE_CANCEL) == OP_PARK)
            return false;
    }
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
        await_leaves(a, exc);
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
    return PyBool_FromLong(((PyAwait *)self)->state >= AWAIT_WOKEN);
}

PyObject *await_cancelled(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyBool_FromLong(((PyAwait *)self)->cancelled);
}

/* The loop's timer: the deadline of the wait has passed. */
PyObject *await_expire(PyObject *self, PyObject *noargs)
{
    PyAwait *a = (PyAwait *)self;
    (void)noargs;
    struct taskwait *tw = a->task;
    if (tw == NULL || a->state != AWAIT_WAITING || !wait_claim(&tw->g))
        Py_RETURN_NONE;
    Py_CLEAR(tw->timer);
    tw->g.wake = WAKE_TIMEOUT;
    if (ended(a) < 0)
        return NULL;
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

/* Whoever has claimed tw's wait is about to push its G: wait for that. (In the child of a fork there is no such
 * thread.) */
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

/* a's loop is closed: end a's wait, after which nobody can wake it. a may have got what it waited for. */
static void stop_waiting(LoopQueue *q, PyAwait *a)
{
    struct taskwait *tw = a->task;
    await_leaves(a, new_ref(Py_None));
    while ((a->state == AWAIT_WAITING || a->state == AWAIT_WOKEN) && !await_leave(a)) {
        wait_for_waker(q, tw);
        a->cancelled = taskwait_finish(a) == OP_RAISED;
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
    /* The loop does not run, so there may be fewer waits by now, but not more. */
    for (Py_ssize_t i = 0; all && i < n; i++) {
        lock(&q->lock);
        struct taskwait *tw = q->waits;
        if (tw)
            unlink_locked(tw);
        unlock(&q->lock);
        PyTuple_SET_ITEM(all, i, tw ? (PyObject *)tw->a : new_ref(Py_None));
    }
    return all;
}

/* No wait of q's can be claimed any more, and each G whose wait had been claimed has been pushed, by a thread that had
 * counted itself in `wakers` before. So once that is 0 no thread touches q or its descriptor again. (In the child of a
 * fork some of the threads that were counted may not exist.) */
static void stop_waking(LoopQueue *q)
{
    while (q->epoch == sched.epoch && aload_sc(&q->wakers))
        sched_yield();
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
}

/* The loop is closed. First all waits are ended. Then what the awaitables have got is given back, the latest first, so
 * that values are in their channel in the order in which they were. Only then are references dropped that destroy
 * tasks, whose code may do anything. An awaitable whose kind has an `orphan` is kept for good, with its coroutine,
 * which must not go on, not even to its end, without the lock that it has lost. */
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
    if (q->epoch == sched.epoch) /* else its descriptor lives as long as q */
        stop_waking(q);
    for (Py_ssize_t i = 0; i < n; i++)
        await_give_up((PyAwait *)PyTuple_GET_ITEM(all, i));
    for (Py_ssize_t i = 0; i < n; i++) {
        PyAwait *a = (PyAwait *)PyTuple_GET_ITEM(all, i);
        if (a->op->kind->orphan) {
            Py_INCREF(a);
            Py_CLEAR(a->task->queue); /* the loop's descriptor is not kept */
            continue;
        }
        taskwait_clear(a->task);
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
    q->epoch = sched.epoch;
    return (PyObject *)q;
}

static void queue_dealloc(PyObject *self)
{
    LoopQueue *q = (LoopQueue *)self;
    stop_waking(q);
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
