/* pywaitgroup.c: WaitGroup. */
#include "pywaitgroup.h"

#include "pyawait.h"
#include "pyerror.h"
#include "pyg.h"
#include "pygoroutine.h"
#include "pylock.h"
#include "pyversion.h"

typedef struct {
    PyObject_HEAD
    struct waitgroup wg;
    PyObject *weakrefs;
} SyncWaitGroup;

static PyObject *group_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (self)
        ((SyncWaitGroup *)self)->wg.bubble = bubble_tag(bubble_here());
    return self;
}

static void group_dealloc(PyObject *self)
{
    if (((SyncWaitGroup *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static struct waitgroup *waitgroup_of(PyObject *self) { return &((SyncWaitGroup *)self)->wg; }

static int too_many(void)
{
    PyErr_SetString(PyExc_ValueError, "`delta` is out of range");
    return -1;
}

static int group_add(PyObject *self, int32_t delta)
{
    struct waitgroup *wg = &((SyncWaitGroup *)self)->wg;
    if (likely(wgadd_fast(wg, delta)))
        return 0;
    switch (wgadd(wg, delta)) {
    case SYNC_OK:
        return 0;
    case SYNC_NEGATIVE:
        PyErr_SetString(hooks.Panic, "sync: negative WaitGroup counter");
        return -1;
    default:
        return too_many();
    }
}

static int waitgroup_done(PyObject *group) { return group_add(group, -1); }

void waitgroup_init(void) { group_done = waitgroup_done; }

static int parse_delta(PyObject *o, int32_t *delta)
{
    if (likely(small_int(o, delta)))
        return 0;
    if (unlikely(!PyIndex_Check(o)))
        return type_error("delta", "an int", o);
    Py_ssize_t n = PyNumber_AsSsize_t(o, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    if (n > INT32_MAX || n < -INT32_MAX || PyErr_Occurred()) {
        PyErr_Clear();
        return too_many();
    }
    *delta = (int32_t)n;
    return 0;
}

static PyObject *waitgroup_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    preempt_point();
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    int32_t delta = 1;
    if (unlikely(n > 1))
        return PyErr_Format(PyExc_TypeError, "add() takes at most 1 argument (%zd given)", n);
    if (unlikely(kwnames && n == 1) &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "delta") != 0)
        return PyErr_Format(PyExc_TypeError, "add() got an unexpected keyword argument '%U'",
                            PyTuple_GET_ITEM(kwnames, 0));
    if ((n == 1 && parse_delta(args[0], &delta) < 0) || group_add(self, delta) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *waitgroup_done_(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    if (unlikely(group_add(self, -1) < 0))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *waitgroup_go(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (group_add(self, 1) < 0)
        return NULL;
    PyObject *go = goroutine_go(args, nargs, kwnames, self);
    if (go) {
        Py_DECREF(go);
        Py_RETURN_NONE;
    }
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    if (group_add(self, -1) < 0)
        PyErr_Clear();
    PyErr_Restore(type, exc, tb);
    return NULL;
}

static enum op_result wait_op_begin(struct op *op, struct g *gp)
{
    return sync_result(op, wgwait_begin(waitgroup_of(op->obj), gp), WAKE_OP);
}

static enum op_result wait_op_finish(struct op *op, struct g *gp, enum wake w)
{
    return sync_result(op, wgwait_finish(waitgroup_of(op->obj), gp, w), w);
}

static const struct op_kind wait_kind = {
    .name = "WaitGroup.await_", .begin = wait_op_begin, .finish = wait_op_finish};

static PyObject *waitgroup_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct op op = {.kind = &wait_kind, .obj = self, .deadline = NEVER};
    if (unlikely(nargs != 0 || kwnames) &&
        parse_timeout_kw(args, nargs, 0, kwnames, "wait", &op.deadline) < 0)
        return NULL;
    preempt_point();
    /* Most often all are done already, which an operation would take a third longer to find. */
    if (likely(wgwait_begin(waitgroup_of(self), NULL) == SYNC_OK))
        Py_RETURN_NONE;
    return op_run(&op);
}

static PyObject *waitgroup_await_(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) && parse_timeout_kw(args, nargs, 0, kwnames, "await_", &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(&wait_kind, self, NULL, deadline);
}

static PyObject *waitgroup_repr(PyObject *self)
{
    uint64_t s = aload(&((SyncWaitGroup *)self)->wg.state);
    return PyUnicode_FromFormat("<%s %p counter=%d>", Py_TYPE(self)->tp_name, self, (int)WG_COUNT(s));
}

static PyMethodDef waitgroup_methods[] = {
    {"add", FASTKW(waitgroup_add),
     "add($self, delta=1)\n--\n\n"
     "Add delta, which may be negative, to the counter. At zero all who wait are woken.\n\n"
     "Panic if the counter would become negative, ValueError if it would pass 2**31-1; it is then unchanged."},
    {"done", waitgroup_done_, METH_NOARGS, "done($self)\n--\n\nadd(-1)"},
    {"go", FASTKW(waitgroup_go),
     "go($self, fn, /, *args, **kwargs)\n--\n\n"
     "add(1), then start fn(*args, **kwargs) as a goroutine; done() when it has ended, however that was.\n\n"
     "Takes whatever gopy.go() takes. A panic of fn has been reported before the counter falls."},
    {"await_", FASTKW(waitgroup_await_),
     "await_($self, *, timeout=None)\n--\n\nAn awaitable: wait() for `async def` and generator goroutines, and asyncio."},
    {"wait", FASTKW(waitgroup_wait),
     "wait($self, *, timeout=None)\n--\n\n"
     "Park until the counter is zero.\n\n"
     "TimeoutError after `timeout` seconds. Panic if the WaitGroup was in use again already by the time that\n"
     "this call went on: a new round may begin only after all waits of the last have returned."},
    {0},
};

PyTypeObject WaitGroup_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.WaitGroup",
    .tp_doc = "WaitGroup()\n--\n\nWaits for a number of goroutines to finish, as in Go.",
    .tp_basicsize = sizeof(SyncWaitGroup),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = group_new,
    .tp_dealloc = group_dealloc,
    .tp_repr = waitgroup_repr,
    .tp_weaklistoffset = offsetof(SyncWaitGroup, weakrefs),
    .tp_methods = waitgroup_methods,
};
