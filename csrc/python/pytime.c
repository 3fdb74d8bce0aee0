/* pytime.c: Timer, Ticker, after, tick, after_func.
 *
 * A Timer or Ticker is little more than a reference to its channel, which holds all that the timer is
 * (runtime/timechan.h): so the channel alone, from after() or in the hands of a parked receiver, keeps it going,
 * and when nobody refers to that any more it is gone. The Timer of an after_func() has a function instead, and
 * the runtime holds a reference to it while it is pending or due. */
#include "pytime.h"

#include "pyargs.h"
#include "pychan.h"
#include "pycoroutine.h"
#include "pyerror.h"
#include "pygoroutine.h"
#include "pyhost.h"

/* A channel with a timer. In front it is a PyChan, whose `own` is the hchan in `tc`. */
typedef struct {
    PyObject_HEAD
    struct hchan *c;
    PyChan *owner;
    PyObject *zero, *weakrefs;
    struct timechan tc;
} TimeChan;

_Static_assert(offsetof(TimeChan, tc) == offsetof(PyChan, own), "TimeChan must begin as PyChan does");

typedef struct {
    PyObject_HEAD
    PyObject *c; /* a TimeChan; of an after_func, the nil channel */
    PyObject *weakrefs;
} Timer;

typedef struct {
    Timer timer;
    struct timerfunc tf;
    PyObject *fn, *args; /* args: a tuple, or NULL: none */
    PyObject *context;   /* of the caller of after_func, or NULL */
} FuncTimer;

static PyTypeObject TimeChan_Type, FuncTimer_Type;
static PyObject *nil_recv; /* nilchan's receiving side */
static PyObject *go_function;

static int64_t from_now(int64_t ns) { return ns == NEVER ? NEVER : nanotime() + ns; }

static PyObject *core_now(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    return PyFloat_FromDouble(timechan_seconds(nanotime()));
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

/* Nothing that it refers to can refer back; its buffer holds no object. */
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

/* ---- functions ---- */

/* Runs in a goroutine of the runtime's own: give each function that is due a goroutine. */
static int start_function(FuncTimer *ft)
{
    PyObject *call, *r = NULL, *context = NULL;
    Py_ssize_t n = ft->args ? PyTuple_GET_SIZE(ft->args) : 0;
    if ((call = PyTuple_New(n + 1)) == NULL)
        return -1;
    PyTuple_SET_ITEM(call, 0, new_ref(ft->fn));
    for (Py_ssize_t i = 0; i < n; i++)
        PyTuple_SET_ITEM(call, i + 1, new_ref(PyTuple_GET_ITEM(ft->args, i)));
    if (ft->context == NULL)
        r = PyObject_Call(go_function, call, NULL);
    else if ((context = PyContext_Copy(ft->context)) != NULL && PyContext_Enter(context) == 0) {
        r = PyObject_Call(go_function, call, NULL);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(r);
    }
    Py_XDECREF(context);
    Py_DECREF(call);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static PyObject *start_due(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    uint32_t n;
    PyObject *type = NULL, *exc = NULL, *tb = NULL; /* of the first that could not be started: its panic */
    for (struct timerfunc *tf; (tf = timerfunc_next(&n)) != NULL;)
        for (FuncTimer *ft = (FuncTimer *)((char *)tf - offsetof(FuncTimer, tf)); n > 0; n--) {
            if (unlikely(start_function(ft) < 0)) {
                if (type == NULL)
                    PyErr_Fetch(&type, &exc, &tb);
                PyErr_Clear();
            }
            Py_DECREF(ft);
        }
    if (unlikely(type != NULL)) {
        PyErr_Restore(type, exc, tb);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The runtime's reference to a pending timer comes with the heap's, and goes on to the queue of those due. */
static bool functimer_start(FuncTimer *ft, int64_t when)
{
    Py_INCREF(ft);
    bool ok = timerfunc_start(&ft->tf, when);
    if (!ok)
        Py_DECREF(ft);
    return ok;
}

static bool functimer_stop(FuncTimer *ft)
{
    bool was = timerfunc_stop(&ft->tf);
    if (was)
        Py_DECREF(ft); /* not the last: the caller has one */
    return was;
}

static PyObject *core_after_func(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    int64_t ns;
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "after_func() takes `seconds` and `fn`, got %zd argument%s", nargs,
                     nargs == 1 ? "" : "s");
        return NULL;
    }
    if (parse_duration(args[0], "seconds", &ns) < 0)
        return NULL;
    if (kind_of(args[1], nargs - 2, "fn") < 0)
        return NULL;
    if (unlikely(getm() == NULL) && calling_g() == NULL) /* the main thread joins with its first timer */
        return PyErr_NoMemory();
    FuncTimer *ft = (FuncTimer *)FuncTimer_Type.tp_alloc(&FuncTimer_Type, 0);
    if (ft == NULL)
        return NULL;
    ft->timer.c = new_ref(nil_recv);
    ft->fn = new_ref(args[1]);
    if (nargs > 2) {
        if ((ft->args = PyTuple_New(nargs - 2)) == NULL)
            goto fail;
        for (Py_ssize_t i = 2; i < nargs; i++)
            PyTuple_SET_ITEM(ft->args, i - 2, new_ref(args[i]));
    }
    if (PyThreadState_Get()->context && (ft->context = PyContext_CopyCurrent()) == NULL)
        goto fail;
    if (functimer_start(ft, from_now(ns)))
        return (PyObject *)ft;
    PyErr_NoMemory();
fail:
    Py_DECREF(ft);
    return NULL;
}

static int functimer_traverse(PyObject *self, visitproc visit, void *arg)
{
    FuncTimer *ft = (FuncTimer *)self;
    Py_VISIT(ft->timer.c);
    Py_VISIT(ft->fn);
    Py_VISIT(ft->args);
    Py_VISIT(ft->context);
    return 0;
}

static int functimer_clear(PyObject *self)
{
    FuncTimer *ft = (FuncTimer *)self;
    Py_CLEAR(ft->fn);
    Py_CLEAR(ft->args);
    Py_CLEAR(ft->context);
    return 0;
}

static void functimer_dealloc(PyObject *self)
{
    FuncTimer *ft = (FuncTimer *)self;
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, functimer_dealloc) /* its function may refer to another timer, and so on */
        if (ft->timer.weakrefs) PyObject_ClearWeakRefs(self);
    functimer_clear(self);
    Py_DECREF(ft->timer.c);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
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

static struct timechan *timechan_in(PyObject *self) { return &((TimeChan *)((Timer *)self)->c)->tc; }

static PyObject *timer_stop(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    if (Py_TYPE(self) != &FuncTimer_Type)
        return PyBool_FromLong(timechan_stop(timechan_in(self)));
    FuncTimer *ft = (FuncTimer *)self;
    bool was;
    BEGIN_EXCLUSIVE(self);
    was = functimer_stop(ft);
    END_EXCLUSIVE();
    return PyBool_FromLong(was);
}

static PyObject *timer_reset(PyObject *self, PyObject *seconds)
{
    preempt_point();
    int64_t ns;
    bool was, ok;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    if (Py_TYPE(self) != &FuncTimer_Type) {
        ok = timechan_reset(timechan_in(self), from_now(ns), 0, &was);
    } else {
        FuncTimer *ft = (FuncTimer *)self;
        BEGIN_EXCLUSIVE(self);
        was = functimer_stop(ft);
        ok = functimer_start(ft, from_now(ns));
        END_EXCLUSIVE();
    }
    return ok ? PyBool_FromLong(was) : PyErr_NoMemory();
}

static PyObject *ticker_stop(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    timechan_stop(timechan_in(self));
    Py_RETURN_NONE;
}

static PyObject *ticker_reset(PyObject *self, PyObject *seconds)
{
    preempt_point();
    int64_t ns;
    bool was;
    if (parse_duration(seconds, "seconds", &ns) < 0 || positive(ns, "Ticker.Reset") < 0)
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

#define NUMBERS "TypeError unless a number, ValueError for nan."

static PyMethodDef timer_methods[] = {
    {"stop", timer_stop, METH_NOARGS,
     "stop($self)\n--\n\nPrevent the timer from firing. -> True if it had not fired and not been stopped.\n\n"
     "After it, nothing is received from `c`: a timer whose value nobody has taken counts as not fired. For\n"
     "after_func(), False means that the function has been started, or soon will be; it may still run."},
    {"reset", timer_reset, METH_O,
     "reset($self, seconds, /)\n--\n\nHave it fire `seconds` from now. -> what stop() would have "
     "returned.\n\n"
     "After it, nothing of the time before is received from `c`. A function that was started may run beside\n"
     "the one that this starts. " NUMBERS},
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

static PyTypeObject FuncTimer_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.time.Timer",
    .tp_doc = "What after_func() returns.",
    .tp_basicsize = sizeof(FuncTimer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_base = &Timer_Type,
    .tp_traverse = functimer_traverse,
    .tp_clear = functimer_clear,
    .tp_dealloc = functimer_dealloc,
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
    static PyMethodDef due = {"start_due", start_due, METH_NOARGS, NULL};
    start_due_functions = PyCFunction_New(&due, NULL);
    go_function = PyCFunction_New(goroutine_functions, NULL);
    if (start_due_functions == NULL || go_function == NULL || PyType_Ready(&Timer_Type) < 0 ||
        PyType_Ready(&FuncTimer_Type) < 0 || PyType_Ready(&TimeChan_Type) < 0)
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
    {"after_func", FAST(core_after_func),
     "after_func($module, seconds, fn, /, *args)\n--\n\n"
     "Run fn(*args) in a goroutine of its own `seconds` from now. -> a Timer without a channel.\n\n"
     "Until then there is no goroutine. The timer stays alive until it has fired or was stopped, whether or\n"
     "not anybody refers to it. In the child of a fork the parent's pending functions do not run.\n"
     "TypeError: seconds is no number, or go() would not take fn."},
    {0},
};
