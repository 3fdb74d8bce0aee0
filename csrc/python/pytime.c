/* pytime.c: Timer, Ticker, after, tick: timers with a channel. Those with a function are in pytimerfunc.c.
 *
 * A Timer or Ticker is little more than a reference to its channel, which holds all that the timer is
 * (runtime/timechan.h). So the channel alone, from after() or in the hands of a parked receiver, keeps the timer going,
 * and when nobody refers to the channel any more the timer is gone. */
#include "pytime.h"

#include "pychan.h"
#include "pyerror.h"

/* A channel with a timer. In front it is a PyChan, whose `own` is the hchan in `tc`. */
typedef struct {
    PyObject_HEAD
    struct hchan *c;
    PyChan *owner;
    PyObject *zero, *weakrefs;
    struct timechan tc;
} TimeChan;

_Static_assert(offsetof(TimeChan, tc) == offsetof(PyChan, own), "TimeChan must begin as PyChan does");

static PyTypeObject TimeChan_Type;
PyObject *nil_recv;

static PyObject *core_now(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    struct bubble *b = bubble_here();
    return PyFloat_FromDouble(timechan_seconds(bubble_now(b) - bubble_epoch(b)));
}

/* ---- the channel ---- */

static PyObject *timechan_new(int64_t when, int64_t period)
{
    TimeChan *tc = (TimeChan *)TimeChan_Type.tp_alloc(&TimeChan_Type, 0);
    if (tc == NULL)
        return NULL;
    tc->c = &tc->tc.c;
    tc->owner = (PyChan *)tc;
    tc->zero = new_ref(Py_None);
    timechan_init(&tc->tc, when, period);
    return (PyObject *)tc;
}

/* The buffer holds no object, so there is no more than this, and no cycle to break. */
static int timechan_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((TimeChan *)self)->zero);
    return 0;
}

static int timechan_clear(PyObject *self)
{
    (void)self;
    return 0;
}

static void timechan_dealloc(PyObject *self)
{
    TimeChan *tc = (TimeChan *)self;
    PyObject_GC_UnTrack(self);
    if (tc->weakrefs)
        PyObject_ClearWeakRefs(self);
    timechan_end(&tc->tc);
    Py_DECREF(tc->zero);
    Py_TYPE(self)->tp_free(self);
}

/* ---- Timer and Ticker ---- */

static int one_duration(const char *fn, PyObject *args, PyObject *kwargs, int64_t *ns)
{
    static char *names[] = {"seconds", NULL};
    PyObject *seconds;
    char format[16];
    snprintf(format, sizeof(format), "O:%s", fn);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &seconds))
        return -1;
    return parse_duration(seconds, "seconds", ns);
}

static PyObject *timer_of(PyTypeObject *type, int64_t ns, int64_t period)
{
    PyObject *c = timechan_new(from_now(ns), period);
    Timer *t = c ? (Timer *)type->tp_alloc(type, 0) : NULL;
    if (t)
        t->c = c;
    else
        Py_XDECREF(c);
    return (PyObject *)t;
}

static PyObject *timer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int64_t ns;
    return one_duration("Timer", args, kwargs, &ns) < 0 ? NULL : timer_of(type, ns, 0);
}

static int positive(int64_t ns, const char *fn)
{
    if (ns > 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "non-positive interval for %s", fn);
    return -1;
}

static PyObject *ticker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int64_t ns;
    if (one_duration("Ticker", args, kwargs, &ns) < 0 || positive(ns, "NewTicker") < 0)
        return NULL;
    return timer_of(type, ns, ns);
}

/* May the caller stop or reset the timer? Not one of another bubble. */
static bool may_change(PyObject *self, const char *what)
{
    if (likely(!chan_foreign(((TimeChan *)((Timer *)self)->c)->c, NULL)))
        return true;
    PyErr_Format(hooks.Panic, "%s of synctest timer from outside bubble", what);
    return false;
}

static struct timechan *timechan_in(PyObject *self) { return &((TimeChan *)((Timer *)self)->c)->tc; }

/* Is it a timer with a function? That has methods of its own, but Timer.stop(t) comes here all the same. */
static bool is_functimer(PyObject *self) { return unlikely(Py_TYPE(self) != &Timer_Type); }

static PyObject *timer_stop(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (is_functimer(self))
        return PyObject_CallMethod(self, "stop", NULL);
    preempt_point();
    if (!may_change(self, "stop"))
        return NULL;
    return PyBool_FromLong(timechan_stop(timechan_in(self)));
}

static PyObject *timer_reset(PyObject *self, PyObject *seconds)
{
    if (is_functimer(self))
        return PyObject_CallMethod(self, "reset", "O", seconds);
    preempt_point();
    int64_t ns;
    bool was;
    if (parse_duration(seconds, "seconds", &ns) < 0 || !may_change(self, "reset"))
        return NULL;
    if (!timechan_reset(timechan_in(self), from_now(ns), 0, &was))
        return PyErr_NoMemory();
    return PyBool_FromLong(was);
}

static PyObject *ticker_stop(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    if (!may_change(self, "stop"))
        return NULL;
    timechan_stop(timechan_in(self));
    Py_RETURN_NONE;
}

static PyObject *ticker_reset(PyObject *self, PyObject *seconds)
{
    preempt_point();
    int64_t ns;
    bool was;
    if (parse_duration(seconds, "seconds", &ns) < 0 || positive(ns, "Ticker.Reset") < 0 ||
        !may_change(self, "reset"))
        return NULL;
    if (!timechan_reset(timechan_in(self), from_now(ns), ns, &was))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *timer_c(PyObject *self, void *closure)
{
    (void)closure;
    return new_ref(((Timer *)self)->c);
}

static int timer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Timer *)self)->c);
    return 0;
}

static void timer_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (((Timer *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    Py_DECREF(((Timer *)self)->c);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *core_after(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t ns;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    return timechan_new(from_now(ns), 0);
}

static PyObject *core_tick(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t ns;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    return ns == 0 ? new_ref(nil_recv) : timechan_new(from_now(ns), ns);
}

static PyGetSetDef timer_getset[] = {
    {"c", timer_c, NULL,
     "The channel that receives the time, on now()'s clock, at which this was due; nil for after_func().",
     NULL},
    {0},
};

static PyMethodDef timer_methods[] = {
    {"stop", timer_stop, METH_NOARGS, TIMER_STOP_DOC},
    {"reset", timer_reset, METH_O, TIMER_RESET_DOC},
    {0},
};

static PyMethodDef ticker_methods[] = {
    {"stop", ticker_stop, METH_NOARGS,
     "stop($self)\n--\n\nNo more ticks, the one in `c` included. Does not close `c`; reset() starts it again."},
    {"reset", ticker_reset, METH_O,
     "reset($self, seconds, /)\n--\n\nTick every `seconds` from now on, the first time after that "
     "time.\n\n"
     "ValueError unless positive, TypeError unless a number."},
    {0},
};

PyTypeObject Timer_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.time.Timer",
    .tp_doc = "Timer(seconds)\n--\n\nSends the time on its channel `c`, once, `seconds` from now.\n\n"
              "Zero and less: at once. `c` acts as an unbuffered channel, which is ready once the timer has "
              "fired.\n"
              "A Timer that nobody refers to goes away although pending; a goroutine that waits on `c` "
              "refers to it.\n" NUMBERS,
    .tp_basicsize = sizeof(Timer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = timer_traverse,
    .tp_dealloc = timer_dealloc,
    .tp_weaklistoffset = offsetof(Timer, weakrefs),
    .tp_methods = timer_methods,
    .tp_getset = timer_getset,
    .tp_new = timer_new,
};

PyTypeObject Ticker_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.time.Ticker",
    .tp_doc =
        "Ticker(seconds)\n--\n\nSends the time on its channel `c` every `seconds`.\n\n"
        "Slow receivers lose ticks: one is kept, the others are dropped. The next is due a period after the\n"
        "last was, however late that was received. Goes away like a Timer.\n"
        "ValueError unless positive, TypeError unless a number.",
    .tp_basicsize = sizeof(Timer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = timer_traverse,
    .tp_dealloc = timer_dealloc,
    .tp_weaklistoffset = offsetof(Timer, weakrefs),
    .tp_methods = ticker_methods,
    .tp_getset = timer_getset,
    .tp_new = ticker_new,
};

static PyTypeObject TimeChan_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.RecvChan",
    .tp_doc = "The receiving side of a timer's channel.",
    .tp_basicsize = sizeof(TimeChan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_base = &RecvChan_Type,
    .tp_traverse = timechan_traverse,
    .tp_clear = timechan_clear,
    .tp_dealloc = timechan_dealloc,
};

int time_init(PyObject *nilchan)
{
    if (PyType_Ready(&Timer_Type) < 0 || PyType_Ready(&TimeChan_Type) < 0)
        return -1;
    nil_recv = PyObject_CallMethod(nilchan, "recv_only", NULL);
    return nil_recv ? 0 : -1;
}

PyMethodDef time_functions[] = {
    {"now", core_now, METH_NOARGS,
     "now($module, /)\n--\n\nThe time in seconds on the clock of every timer here; it is "
     "time.monotonic()'s."},
    {"after", core_after, METH_O,
     "after($module, seconds, /)\n--\n\nThe channel of a new Timer, which lives as long as the channel "
     "does.\n\n" NUMBERS},
    {"tick", core_tick, METH_O,
     "tick($module, seconds, /)\n--\n\nThe channel of a new Ticker, which lives as long as the channel does; "
     "the nil channel\nunless `seconds` is positive.\n\n" NUMBERS},
    {0},
};
