/* pysynctest.c: bubbles, see runtime/synctest.h: what gopy/testing/_synctest.py is made of.
 *
 * The struct bubble has memory of its own, since its goroutines refer to it without counting. When the object goes while
 * there are some, because whoever waited for them was interrupted, that memory stays. */
#include "pysynctest.h"

#include <stdlib.h>

#include "pyawait.h"
#include "pychan.h"
#include "pyerror.h"
#include "pyg.h"
#include "pygoroutine.h"
#include "pytimerfunc.h"

typedef struct {
    PyObject_HEAD
    struct bubble *b; /* NULL: it is closed */
} Bubble;

static PyObject *bubble_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"seed", NULL};
    PyObject *seed = Py_None;
    preempt_point();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Bubble", names, &seed))
        return NULL;
    uint64_t number = 0;
    if (seed != Py_None) {
        if (!PyIndex_Check(seed)) {
            type_error("seed", "an int or None", seed);
            return NULL;
        }
        PyObject *index = PyNumber_Index(seed);
        number = index ? PyLong_AsUnsignedLongLongMask(index) : 0;
        Py_XDECREF(index);
        if (PyErr_Occurred())
            return NULL;
    }
    if (bubble_here()) {
        PyErr_SetString(PyExc_RuntimeError, "synctest called from within a synctest bubble");
        return NULL;
    }
    Bubble *self = (Bubble *)type->tp_alloc(type, 0);
    struct bubble *b = self ? malloc(sizeof(*b)) : NULL;
    if (b == NULL) {
        Py_XDECREF(self);
        return PyErr_NoMemory();
    }
    if (!bubble_init(b, seed != Py_None, number)) {
        free(b);
        Py_DECREF(self);
        PyErr_SetString(PyExc_RuntimeError, "too many synctest bubbles at once");
        return NULL;
    }
    b->host = self;
    self->b = b;
    return (PyObject *)self;
}

/* Drop what its timers hold, and end it, if there is no goroutine of it any more. */
static void close_bubble(Bubble *self)
{
    struct bubble *b = self->b;
    if (b == NULL)
        return;
    self->b = NULL;
    if (!bubble_over(b)) {
        b->host = NULL;
        return;
    }
    for (struct timer *t; (t = bubble_take_timer(b)) != NULL;)
        functimer_abandon(t);
    bubble_end(b);
    free(b);
}

static void bubble_dealloc(PyObject *self)
{
    close_bubble((Bubble *)self);
    Py_TYPE(self)->tp_free(self);
}

static bool is_open(Bubble *self)
{
    if (likely(self->b != NULL))
        return true;
    PyErr_SetString(PyExc_RuntimeError, "the bubble is closed");
    return false;
}

static PyObject *bubble_go(PyObject *self, PyObject *fn)
{
    return is_open((Bubble *)self) ? goroutine_go_in(((Bubble *)self)->b, fn) : NULL;
}

static PyObject *bubble_close(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    close_bubble((Bubble *)self);
    Py_RETURN_NONE;
}

static PyObject *bubble_kill_(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (!is_open((Bubble *)self))
        return NULL;
    bubble_kill(((Bubble *)self)->b);
    Py_RETURN_NONE;
}

static PyObject *bubble_returned_(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (!is_open((Bubble *)self))
        return NULL;
    bubble_returned(((Bubble *)self)->b);
    Py_RETURN_NONE;
}

static enum op_result join_begin(struct op *op, struct g *gp)
{
    return bubble_join_begin(((Bubble *)op->obj)->b, gp) ? OP_PARK : op_none(op);
}

static enum op_result join_finish(struct op *op, struct g *gp, enum wake w)
{
    bubble_join_finish(((Bubble *)op->obj)->b, gp, w);
    return w == WAKE_OP ? op_none(op) : op_failed(w);
}

static const struct op_kind join_kind = {.name = "Bubble.join", .begin = join_begin, .finish = join_finish};

/* -> whether it is over; else nothing in it can happen any more. */
static PyObject *bubble_join(PyObject *self, PyObject *timeout)
{
    struct op op = {.kind = &join_kind, .obj = self};
    if (!is_open((Bubble *)self) || parse_timeout(timeout, "timeout", &op.deadline) < 0)
        return NULL;
    PyObject *r = op_run(&op);
    if (r == NULL)
        return NULL;
    Py_DECREF(r);
    return PyBool_FromLong(bubble_over(((Bubble *)self)->b));
}

/* The goroutines of the bubble with that tag: [(goroutine, whether it waits durably)]. */
static PyObject *goroutines_of(uint16_t tag)
{
    PyObject *all = PyObject_CallMethod(PyImport_AddModule("gopy._core"), "goroutines", NULL);
    PyObject *found = all ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(all); i++) {
        struct g *gp = &((Goroutine *)PyList_GET_ITEM(all, i))->g;
        struct allg *s = &sched.allg[gp->id % ALLG_SHARDS];
        lock(&s->lock); /* a live goroutine's bubble is there */
        bool dead = apeek(&gp->status) == Gdead;
        bool in = !dead && bubble_tag(bubble_of(gp)) == tag;
        bool durable = in && apeek(&gp->status) == Gwaiting && (gp->reason & WAIT_DURABLE) &&
                       !((gp->reason & WAIT_LENDABLE) && apeek(&gp->bubble->lent));
        unlock(&s->lock);
        PyObject *pair = in ? PyTuple_Pack(2, PyList_GET_ITEM(all, i), durable ? Py_True : Py_False) : NULL;
        if (in && (pair == NULL || PyList_Append(found, pair) < 0))
            Py_CLEAR(found);
        Py_XDECREF(pair);
    }
    Py_XDECREF(all);
    return found;
}

static PyObject *bubble_goroutines(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return is_open((Bubble *)self) ? goroutines_of(((Bubble *)self)->b->tag) : NULL;
}

static PyObject *core_bubble_goroutines(PyObject *self, PyObject *arg)
{
    (void)self;
    long tag = PyLong_AsLong(arg);
    return tag == -1 && PyErr_Occurred() ? NULL : goroutines_of((uint16_t)tag);
}

/* ---- in a bubble ---- */

static enum op_result wait_begin_(struct op *op, struct g *gp)
{
    (void)op;
    if (gp == NULL || bubble_wait_begin(gp->bubble, gp))
        return OP_PARK;
    PyErr_SetString(hooks.Panic, "wait already in progress");
    return OP_RAISED;
}

static enum op_result wait_finish(struct op *op, struct g *gp, enum wake w)
{
    bubble_wait_finish(gp->bubble, gp);
    return w == WAKE_OP ? op_none(op) : op_failed(w);
}

static const struct op_kind wait_kind = {.name = "await_", .begin = wait_begin_, .finish = wait_finish};

static bool in_bubble(void)
{
    if (bubble_here())
        return true;
    PyErr_SetString(PyExc_RuntimeError, "goroutine is not in a bubble");
    return false;
}

static PyObject *core_wait(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct op op = {.kind = &wait_kind, .deadline = NEVER};
    return in_bubble() ? op_run(&op) : NULL;
}

static PyObject *core_await_(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return in_bubble() ? (PyObject *)await_new(&wait_kind, NULL, NULL, NEVER) : NULL;
}

static PyObject *core_in_bubble(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyBool_FromLong(bubble_here() != NULL);
}

/* The Bubble that a live goroutine is in, or None. */
static PyObject *core_bubble_of(PyObject *self, PyObject *goroutine)
{
    (void)self;
    struct bubble *b = bubble_of(&((Goroutine *)goroutine)->g);
    return new_ref(b && b->host ? (PyObject *)b->host : Py_None);
}

/* For gopy.monkey: whoever calls has to do with a thread. */
static PyObject *core_bubble_lends(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    bubble_lend(bubble_here());
    Py_RETURN_NONE;
}

/* ---- for contexts, which may be made in a bubble, used in another and ended by anybody ---- */

static PyObject *core_bubble_tag(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyLong_FromLong(bubble_tag(bubble_here()));
}

static PyObject *core_bubble_chan(PyObject *self, PyObject *tag)
{
    (void)self;
    long bubble = PyLong_AsLong(tag);
    PyChan *ch =
        bubble == -1 && PyErr_Occurred() ? NULL : (PyChan *)PyObject_CallNoArgs((PyObject *)&Chan_Type);
    if (ch) {
        ch->own.bubble = (uint16_t)bubble;
        ch->own.flags = bubble ? CHAN_BUBBLED : 0;
    }
    return (PyObject *)ch;
}

static PyObject *core_bubble_close(PyObject *self, PyObject *ch)
{
    (void)self;
    closechan(((PyChan *)ch)->c);
    Py_RETURN_NONE;
}

/* ---- the clocks of module time, for gopy.monkey ---- */

#define BIRTH 946684800000000000 /* 2000-01-01 in UTC, when every bubble begins, as Go's do */

static int64_t walltime(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t wall_here(void)
{
    struct bubble *b = bubble_here();
    return likely(b == NULL) ? walltime() : BIRTH + bubble_now(b) - BUBBLE_START;
}

/* A loop of asyncio's waits in real time. */
static int64_t steady_here(void)
{
    struct bubble *b = bubble_here();
    if (unlikely(b != NULL) && PyThreadState_Get()->async_gen_firstiter != NULL)
        b = NULL;
    return bubble_now(b) - bubble_epoch(b);
}

static PyObject *clock_time(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyFloat_FromDouble(timechan_seconds(wall_here()));
}

static PyObject *clock_time_ns(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyLong_FromLongLong(wall_here());
}

static PyObject *clock_monotonic(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyFloat_FromDouble(timechan_seconds(steady_here()));
}

static PyObject *clock_monotonic_ns(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyLong_FromLongLong(steady_here());
}

/* For the loops of modules threading and queue, which wait for what is left of a timeout. */
static PyObject *clock_waits(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct bubble *b = bubble_here();
    return PyFloat_FromDouble(timechan_seconds(bubble_waits_now(b) - bubble_epoch(b)));
}

void host_bubble_stuck(uint32_t tag)
{
    PyObject *module = PyImport_ImportModule("gopy.testing._synctest");
    PyObject *r = module ? PyObject_CallMethod(module, "stuck", "I", tag) : NULL;
    if (r == NULL)
        PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(r);
}

static PyMethodDef bubble_methods[] = {
    {"go", bubble_go, METH_O, NULL},
    {"join", bubble_join, METH_O, NULL},
    {"returned", bubble_returned_, METH_NOARGS, NULL},
    {"kill", bubble_kill_, METH_NOARGS, NULL},
    {"close", bubble_close, METH_NOARGS, NULL},
    {"goroutines", bubble_goroutines, METH_NOARGS, NULL},
    {0},
};

PyTypeObject Bubble_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core.Bubble",
    .tp_basicsize = sizeof(Bubble),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = bubble_new,
    .tp_dealloc = bubble_dealloc,
    .tp_methods = bubble_methods,
};

PyMethodDef synctest_functions[] = {
    {"synctest_wait", core_wait, METH_NOARGS,
     "wait($module, /)\n--\n\n"
     "Park until every other goroutine of this bubble waits durably or has ended.\n\n"
     "RuntimeError outside a bubble. Panic: another goroutine of the bubble is in wait() already."},
    {"synctest_await", core_await_, METH_NOARGS,
     "await_($module, /)\n--\n\nAn awaitable: wait() for `async def` and generator goroutines."},
    {"time", clock_time, METH_NOARGS, "time.time(), of the bubble that calls, if any."},
    {"time_ns", clock_time_ns, METH_NOARGS, "time.time_ns(), likewise."},
    {"monotonic", clock_monotonic, METH_NOARGS, "time.monotonic(), likewise."},
    {"monotonic_ns", clock_monotonic_ns, METH_NOARGS, "time.monotonic_ns(), likewise."},
    {"monotonic_of_waits", clock_waits, METH_NOARGS,
     "monotonic(), on which every wait of this goroutine's takes time."},
    {"bubble_lends", core_bubble_lends, METH_NOARGS,
     "This bubble's locks, if any, are threads' as well from here on."},
    {"in_bubble", core_in_bubble, METH_NOARGS, NULL},
    {"bubble_of", core_bubble_of, METH_O, NULL},
    {"bubble_tag", core_bubble_tag, METH_NOARGS, "That of the bubble that calls, or 0."},
    {"bubble_chan", core_bubble_chan, METH_O,
     "bubble_chan($module, tag, /)\n--\n\nA Chan of the bubble with that tag."},
    {"bubble_close", core_bubble_close, METH_O,
     "bubble_close($module, ch, /)\n--\n\nClose a Chan, of whatever bubble, unless it is closed."},
    {"bubble_goroutines", core_bubble_goroutines, METH_O, NULL},
    {0},
};
