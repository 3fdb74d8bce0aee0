/* pysimplequeue.c: SimpleQueue, the standard library's queue without a bound, among goroutines: a channel that gets more room
 * instead of letting a sender wait.
 *
 * put() runs no Python between its look and its end, so it may come in the middle of another put() or get() of its thread,
 * as from a finalizer. One that is made in a bubble may be lent to threads (runtime/synctest.h), so nobody is
 * kept from it. */
#include "pysimplequeue.h"

#include "pyerror.h"

typedef struct {
    PyObject_HEAD
    struct hchan c;
    PyObject *weakrefs;
} SimpleQueue;

#define HCHAN(self) (&((SimpleQueue *)(self))->c)

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (type == &SimpleQueue_Type && ((PyTuple_GET_SIZE(args) || (kwargs && PyDict_GET_SIZE(kwargs))))) {
        PyErr_SetString(PyExc_TypeError, "SimpleQueue() takes no arguments");
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self && !chaninit(HCHAN(self), 8)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    if (self) {
        HCHAN(self)->bubble = lendable_tag();
        HCHAN(self)->flags = 0;
    }
    return self;
}

static int queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct hchan *c = HCHAN(self);
    for (size_t i = 0, at = c->recvx; i < c->count; i++) {
        Py_VISIT((PyObject *)c->buf[at]);
        at = at + 1 == c->size ? 0 : at + 1;
    }
    return 0;
}

static int queue_clear(PyObject *self)
{
    for (PyObject *item; (item = chandrop(HCHAN(self))) != NULL;)
        Py_DECREF(item);
    return 0;
}

static void queue_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, queue_dealloc) /* queues in queues may nest deeper than the C stack */
        if (((SimpleQueue *)self)->weakrefs) PyObject_ClearWeakRefs(self);
    queue_clear(self);
    chanfree(HCHAN(self));
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyObject *put(PyObject *self, PyObject *item)
{
    preempt_point();
    feeds(HCHAN(self)->bubble);
    Py_INCREF(item);
    while (unlikely(chansend_begin(HCHAN(self), NULL, item) != CHAN_OK))
        if (!changrow(HCHAN(self))) {
            Py_DECREF(item);
            return PyErr_NoMemory();
        }
    Py_RETURN_NONE;
}

static PyObject *queue_put(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"item", "block", "timeout", NULL};
    PyObject *item, *ignored[2];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:put", names, &item, &ignored[0], &ignored[1]))
        return NULL;
    return put(self, item);
}

/* ---- get ---- */

static enum op_result raise_empty(void)
{
    PyObject *module = PyImport_ImportModule("queue");
    PyObject *empty = module ? PyObject_GetAttrString(module, "Empty") : NULL;
    if (empty)
        PyErr_SetNone(empty);
    Py_XDECREF(module);
    Py_XDECREF(empty);
    return OP_RAISED;
}

static enum op_result get_begin(struct op *op, struct g *gp)
{
    void *item;
    if (chanrecv_begin(HCHAN(op->obj), gp, &item) != CHAN_OK)
        return OP_PARK;
    op->value = item;
    return OP_DONE;
}

static enum op_result get_finish(struct op *op, struct g *gp, enum wake w)
{
    void *item;
    if (chanrecv_finish(HCHAN(op->obj), gp, w, &item) != CHAN_OK)
        return w == WAKE_TIMEOUT ? raise_empty() : op_failed(w);
    op->value = item;
    return OP_DONE;
}

static const struct op_kind get_kind = {"SimpleQueue.get", get_begin, get_finish};

static PyObject *get(PyObject *self, int64_t deadline)
{
    struct op op = {.kind = &get_kind, .obj = self, .deadline = deadline};
    if (deadline != DEADLINE_PAST)
        return op_run(&op);
    preempt_point();
    if (get_begin(&op, NULL) == OP_PARK)
        raise_empty();
    return op.value;
}

/* -1: raised */
static int parse_get(PyObject *args, PyObject *kwargs, int64_t *deadline)
{
    static char *names[] = {"block", "timeout", NULL};
    int block = 1;
    PyObject *timeout = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:get", names, &block, &timeout))
        return -1;
    *deadline = block ? NEVER : DEADLINE_PAST;
    if (!block || timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds < 0.0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    return parse_lock_timeout(timeout, true, deadline);
}

static PyObject *queue_get(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    return parse_get(args, kwargs, &deadline) < 0 ? NULL : get(self, deadline);
}

static PyObject *queue_get_nowait(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return get(self, DEADLINE_PAST);
}

static PyObject *queue_empty(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(apeek(&HCHAN(self)->count) == 0);
}

static PyObject *queue_qsize(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyLong_FromSize_t(apeek(&HCHAN(self)->count));
}

#define KEYWORDS(f) (PyCFunction)(void (*)(void))(f), METH_VARARGS | METH_KEYWORDS

static PyMethodDef queue_methods[] = {
    {"put", KEYWORDS(queue_put),
     "put($self, /, item, block=True, timeout=None)\n--\n\n"
     "Put item at the end, without waiting. The rest is for compatibility with Queue."},
    {"put_nowait", put, METH_O, "put_nowait($self, item, /)\n--\n\nput(item)"},
    {"get", KEYWORDS(queue_get),
     "get($self, /, block=True, timeout=None)\n--\n\n"
     "Take the first; park until there is one, at most `timeout` seconds. queue.Empty if there is none."},
    {"get_nowait", queue_get_nowait, METH_NOARGS, "get_nowait($self, /)\n--\n\nget(False)"},
    {"empty", queue_empty, METH_NOARGS, "empty($self, /)\n--\n\nWhether there is nothing at this moment."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize($self, /)\n--\n\nHow many there are at this moment."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {0},
};

PyTypeObject SimpleQueue_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "queue.SimpleQueue",
    .tp_doc = "SimpleQueue()\n--\n\nA queue without a bound: queue.SimpleQueue once the program is patched.",
    .tp_basicsize = sizeof(SimpleQueue),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = queue_new,
    .tp_dealloc = queue_dealloc,
    .tp_traverse = queue_traverse,
    .tp_clear = queue_clear,
    .tp_weaklistoffset = offsetof(SimpleQueue, weakrefs),
    .tp_methods = queue_methods,
};
