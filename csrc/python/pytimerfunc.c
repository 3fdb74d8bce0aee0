/* pytimerfunc.c: after_func: a Timer that has a function instead of a channel.
 *
 * The runtime (runtime/timerfunc.c) holds a reference to the timer while it is pending or due. */
#include "pytimerfunc.h"

#include "pycoroutine.h"
#include "pyerror.h"
#include "pygoroutine.h"
#include "pyhost.h"
#include "pytime.h"

typedef struct {
    Timer timer;
    struct timerfunc tf;
    PyObject *call;    /* a tuple: the function, its arguments */
    PyObject *kwnames; /* names of the last ones of those, or NULL */
    PyObject *context; /* of the caller of after_func, or NULL */
    uint16_t bubble;   /* the tag of that one's bubble; 0: none */
} FuncTimer;

static PyTypeObject FuncTimer_Type;
static PyObject *go_function;

static PyObject *go_call(FuncTimer *ft)
{
    Py_ssize_t named = ft->kwnames ? PyTuple_GET_SIZE(ft->kwnames) : 0;
    size_t n = (size_t)(PyTuple_GET_SIZE(ft->call) - named);
    return PyObject_Vectorcall(go_function, &PyTuple_GET_ITEM(ft->call, 0), n, ft->kwnames);
}

/* Start a goroutine that runs ft's function, in a copy of its context. -1: raised. */
static int start_function(FuncTimer *ft)
{
    PyObject *r = NULL, *context = NULL;
    if (ft->context == NULL)
        r = go_call(ft);
    else if ((context = PyContext_Copy(ft->context)) != NULL && PyContext_Enter(context) == 0) {
        r = go_call(ft);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(r);
    }
    Py_XDECREF(context);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

/* Runs in a goroutine of the runtime's own: give each function that is due a goroutine. */
static PyObject *start_due(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    uint32_t n;
    /* The exception of the first function that could not be started is this goroutine's panic. */
    PyObject *type = NULL, *exc = NULL, *tb = NULL;
    for (struct timerfunc *tf; (tf = timerfunc_next(&n)) != NULL;)
        for (FuncTimer *ft = (FuncTimer *)((char *)tf - offsetof(FuncTimer, tf)); n > 0; n--) {
            struct bubble *b = ft->tf.bubble;
            getm()->curg->bubble = b; /* go() passes it on */
            if (unlikely(start_function(ft) < 0)) {
                if (type == NULL)
                    PyErr_Fetch(&type, &exc, &tb);
                PyErr_Clear();
            }
            getm()->curg->bubble = NULL;
            Py_DECREF(ft);
            if (unlikely(b != NULL))
                bubble_release(b);
        }
    if (unlikely(type != NULL)) {
        PyErr_Restore(type, exc, tb);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The runtime gets a reference to the timer as it enters the heap. From there the reference goes on to the queue of
 * those that are due. */
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

void functimer_abandon(struct timer *t)
{
    struct timerfunc *tf = timerfunc_of(t);
    if (tf) {
        t->when = 0;
        Py_DECREF((FuncTimer *)((char *)tf - offsetof(FuncTimer, tf)));
    }
}

static PyObject *core_after_func(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    int64_t ns;
    Py_ssize_t all = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "after_func() takes `seconds` and `fn`, got %zd argument%s", nargs,
                     nargs == 1 ? "" : "s");
        return NULL;
    }
    if (parse_duration(args[0], "seconds", &ns) < 0)
        return NULL;
    if (kind_of(args[1], all - 2, "fn") < 0)
        return NULL;
    if (unlikely(getm() == NULL) && calling_g() == NULL) /* the main thread joins with its first timer */
        return PyErr_NoMemory();
    FuncTimer *ft = (FuncTimer *)FuncTimer_Type.tp_alloc(&FuncTimer_Type, 0);
    if (ft == NULL)
        return NULL;
    ft->timer.c = new_ref(nil_recv);
    ft->tf.bubble = bubble_here();
    ft->bubble = bubble_tag(ft->tf.bubble);
    ft->kwnames = kwnames ? new_ref(kwnames) : NULL;
    if ((ft->call = PyTuple_New(all - 1)) == NULL)
        goto fail;
    for (Py_ssize_t i = 1; i < all; i++)
        PyTuple_SET_ITEM(ft->call, i - 1, new_ref(args[i]));
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
    Py_VISIT(ft->call);
    Py_VISIT(ft->context);
    return 0;
}

static int functimer_clear(PyObject *self)
{
    FuncTimer *ft = (FuncTimer *)self;
    Py_CLEAR(ft->call);
    Py_CLEAR(ft->kwnames);
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

static PyObject *functimer_stop_method(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    bool was;
    BEGIN_EXCLUSIVE(self);
    was = functimer_stop((FuncTimer *)self);
    END_EXCLUSIVE();
    return PyBool_FromLong(was);
}

static PyObject *functimer_reset_method(PyObject *self, PyObject *seconds)
{
    preempt_point();
    int64_t ns;
    bool was, ok;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    uint16_t bubble = ((FuncTimer *)self)->bubble;
    if (unlikely(bubble != 0) && bubble != bubble_tag(bubble_here())) {
        PyErr_SetString(hooks.Panic, "reset of synctest timer from outside bubble");
        return NULL;
    }
    BEGIN_EXCLUSIVE(self);
    was = functimer_stop((FuncTimer *)self);
    ok = functimer_start((FuncTimer *)self, from_now(ns));
    END_EXCLUSIVE();
    return ok ? PyBool_FromLong(was) : PyErr_NoMemory();
}

static PyMethodDef functimer_methods[] = {
    {"stop", functimer_stop_method, METH_NOARGS, TIMER_STOP_DOC},
    {"reset", functimer_reset_method, METH_O, TIMER_RESET_DOC},
    {0},
};

static PyTypeObject FuncTimer_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.time.Timer",
    .tp_doc = "What after_func() returns.",
    .tp_basicsize = sizeof(FuncTimer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_base = &Timer_Type,
    .tp_methods = functimer_methods,
    .tp_traverse = functimer_traverse,
    .tp_clear = functimer_clear,
    .tp_dealloc = functimer_dealloc,
};

int timerfunc_init(void)
{
    static PyMethodDef due = {"start_due", start_due, METH_NOARGS, NULL};
    start_due_functions = PyCFunction_New(&due, NULL);
    go_function = PyCFunction_New(goroutine_functions, NULL);
    return start_due_functions && go_function ? PyType_Ready(&FuncTimer_Type) : -1;
}

PyMethodDef timerfunc_functions[] = {
    {"after_func", FASTKW(core_after_func),
     "after_func($module, seconds, fn, /, *args, **kwargs)\n--\n\n"
     "Run fn(*args, **kwargs) in a goroutine of its own `seconds` from now. -> a Timer without a channel.\n\n"
     "Until then there is no goroutine. The timer stays alive until it has fired or was stopped, whether or\n"
     "not anybody refers to it. In the child of a fork the parent's pending functions do not run.\n"
     "TypeError: seconds is no number, or go() would not take fn."},
    {0},
};
