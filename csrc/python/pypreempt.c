/* pypreempt.c: how a goroutine that computes, and calls nothing of gopy's, comes to a preempt_point(): host_preempt().
 *
 * sysmon has raised the flag of its M. What is needed is that the M's thread calls preempt_here() at a bytecode boundary,
 * on its own stack. CPython has three doors, and none that is open everywhere:
 *   - with a GIL, the main thread: signals. PyErr_SetInterruptEx() marks a signal as arrived, and the thread calls
 *     its handler, core_preempt_signal. No signal is sent to the process. gopy/_preempt.py has chosen the number;
 *   - with a GIL on 3.11, any thread: a trace function, put into its thread state while sysmon holds the GIL, which
 *     takes itself out again when it is called first. The object that goes with the function, which is what
 *     sys.gettrace() returns, stays where it is: the program sees nothing of this;
 *   - without a GIL, any thread: the last reference to an object that was made by that thread, a token, is dropped
 *     by sysmon. CPython then has the owner deallocate it at a safe point, and the deallocator is called there.
 * With a GIL, from 3.12 on, threads other than the main one are out of reach. */
#include "pypreempt.h"

#include "pyargs.h"
#include "pyerror.h"
#include "pyswitch.h"
#include "pyversion.h"

#if !GOPY_THREADED

static int preempt_signum; /* 0: none has been chosen */

static PyObject *core_preempt_signal(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    preempt_here();
    Py_RETURN_NONE;
}

#if TRACES_OTHERS
#define TRACED 1

/* What was in the thread state of the one M that is to be traced at present. */
static struct {
    PyThreadState *ts;
    Py_tracefunc func;
} traced;

static int come_by(PyObject *obj, PyFrameObject *frame, int what, PyObject *arg)
{
    PyThreadState *ts = PyThreadState_Get();
    Py_tracefunc func = traced.func;
    traced.ts = NULL;
    ts->c_tracefunc = func;
    /* In preempt_here() other goroutines of this thread run. They may set another object, and are in no trace
     * function. */
    Py_XINCREF(obj);
    int tracing = ts->tracing;
    ts->tracing = 0;
    preempt_here();
    ts->tracing = tracing;
    int r = func ? func(obj, frame, what, arg) : 0;
    Py_XDECREF(obj);
    return r;
}

static void trace(PyThreadState *ts)
{
    if (ts->tracing || ts->c_tracefunc == come_by)
        return;
    /* The thread that was to be traced before has not run since: it gets back what it had. */
    if (traced.ts && traced.ts != ts && traced.ts->c_tracefunc == come_by)
        traced.ts->c_tracefunc = traced.func;
    traced.ts = ts;
    traced.func = ts->c_tracefunc;
    ts->c_tracefunc = come_by;
    ts->cframe->use_tracing = 255;
}
#else
#define TRACED 0
static void trace(PyThreadState *ts) { (void)ts; }
#endif

void host_preempt(struct m *mp)
{
    bool by_signal = mp == &sched.m0;
    if (by_signal ? real_load(&preempt_signum) == 0 : !TRACED)
        return;
    /* The main thread sees the signal when it takes the GIL back. */
    host_sysmon_enter();
    PyThreadState *ts = m_tstate(mp);
    if (ts && real_peek(&mp->preempt)) {
        if (by_signal)
            PyErr_SetInterruptEx(preempt_signum);
        else
            trace(ts);
    }
    host_sysmon_leave();
}

int preempt_init(void) { return 0; }
void preempt_adopt(void) {}

#else /* without a GIL */

static PyObject *core_preempt_signal(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    Py_RETURN_NONE;
}

/* The tokens that a thread has made are in its M, from where sysmon takes them. */
static PyTypeObject Token_Type;

int preempt_init(void) { return PyType_Ready(&Token_Type); }

/* Make the tokens of this thread that are missing. If there is no memory for one, it goes on missing. */
static void make_tokens(struct m *mp)
{
    for (int i = 0; i < PREEMPT_TOKENS; i++)
        if (real_load(&mp->tokens[i]) == NULL)
            real_store(&mp->tokens[i], (void *)PyObject_New(PyObject, &Token_Type));
    PyErr_Clear();
}

/* This thread has become an M's, whose tokens were another thread's before. */
void preempt_adopt(void)
{
    struct m *mp = getm();
    for (int i = 0; i < PREEMPT_TOKENS; i++)
        Py_XDECREF((PyObject *)real_xchg(&mp->tokens[i], (void *)NULL));
    make_tokens(mp);
}

void host_preempt(struct m *mp)
{
    void *token = NULL;
    for (int i = 0; i < PREEMPT_TOKENS && token == NULL; i++)
        token = real_xchg(&mp->tokens[i], (void *)NULL);
    if (token == NULL)
        return;
    host_sysmon_enter();
    Py_DECREF((PyObject *)token);
    host_sysmon_leave();
}

/* At a safe point of its owner's, or in a collection on any thread. */
static void token_dealloc(PyObject *self)
{
    PyObject_Free(self);
    struct m *mp = getm();
    if (mp == NULL || mp->curg == NULL || mp->host == NULL)
        return;
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    make_tokens(mp);
    preempt_here();
    PyErr_Restore(type, exc, tb);
}

static PyTypeObject Token_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core._Token",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = token_dealloc,
};
#endif

/* preempt_after(seconds or None, signum): signum is 0 where no handler has been installed. */
static PyObject *core_preempt_after(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    int64_t ns = 0;
    if (!check_nargs("preempt_after", nargs, 2))
        return NULL;
    long signum = PyLong_AsLong(args[1]);
    if (signum == -1 && PyErr_Occurred())
        return NULL;
    if (args[0] != Py_None) {
        if (parse_duration(args[0], "seconds", &ns) < 0)
            return NULL;
        if (ns == 0)
            return PyErr_Format(PyExc_ValueError, "`seconds` must be positive or None, got %R", args[0]);
    }
#if !GOPY_THREADED
    if (signum > 0)
        real_store(&preempt_signum, (int)signum);
#endif
    real_store(&sched.preempt_after, ns == NEVER ? 0 : ns);
    Py_RETURN_NONE;
}

static PyObject *core_preempt_point(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    Py_RETURN_NONE;
}

/* fn(arg), in the midst of which no time slice of this goroutine ends. For each __repr__ that calls what yields: logging
 * calls those while it holds a lock of threads, for which another goroutine of this one might then wait. */
static PyObject *core_unyielding(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "unyielding() takes 2 arguments (%zd given)", nargs);
    struct m *mp = getm(); /* the same afterwards: who is in the midst of a call cannot leave its thread */
    if (mp)
        mp->locks++;
    PyObject *r = PyObject_CallOneArg(args[0], args[1]);
    if (mp)
        mp->locks--;
    return r;
}

PyMethodDef preempt_functions[] = {
    {"unyielding", FAST(core_unyielding), NULL},
    {"preempt_after", FAST(core_preempt_after), NULL},
    {"preempt_signal", core_preempt_signal, METH_VARARGS, NULL},
    {"preempt_point", core_preempt_point, METH_NOARGS, NULL},
    {0},
};
