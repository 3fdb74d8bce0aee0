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
    PyObject *fn, *args; /* args: a tuple, or NULL: none */
    PyObject *context;   /* of the caller of after_func, or NULL */
    uint16_t bubble;     /* the tag of that one's bubble; 0: none */
} FuncTimer;

static PyTypeObject FuncTimer_Type;
static PyObject *go_function;

/* Start a goroutine that runs ft's function, in a copy of its context. -1: raised. */
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
    ft->tf.bubble = bubble_here();
    ft->bubble = bubble_tag(ft->tf.bubble);
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
    {"after_func", FAST(core_after_func),
     "after_func($module, seconds, fn, /, *args)\n--\n\n"
     "Run fn(*args) in a goroutine of its own `seconds` from now. -> a Timer without a channel.\n\n"
     "Until then there is no goroutine. The timer stays alive until it has fired or was stopped, whether or\n"
     "not anybody refers to it. In the child of a fork the parent's pending functions do not run.\n"
     "TypeError: seconds is no number, or go() would not take fn."},
    {0},
};
