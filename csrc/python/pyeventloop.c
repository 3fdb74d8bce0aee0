/* pyeventloop.c: a goroutine that runs an event loop: asyncio's, uvloop's, trio's.
 *
 * CPython keeps for a thread what belongs to the loop that runs there: the hooks for async generators, asyncio's running
 * loop and, from 3.14 on, asyncio's current task (older ones keep tasks by loop). Here all of it is the goroutine's that
 * runs the loop. Invariant: the thread state holds what the goroutine that runs on it has set, and nothing of another's.
 *
 * A loop sets its hooks before it is the running one and takes them back afterwards. So a goroutine that has no hooks
 * runs no loop, and a switch of goroutines costs a look at two pointers of the thread state (eventloop_here).
 *
 * No Python code runs in here: asyncio's functions are called in C, and what they drop has other references. */
#include "pyeventloop.h"

#include <unistd.h>

#include "pyattach.h"
#include "pyversion.h"

#define MOST_NOMEM 1000 /* one a millisecond */

static PyObject *get_loop, *set_loop, *swap_task; /* of asyncio's C half; NULL until that is imported */

static PyObject *function_of(PyObject *module, const char *name)
{
    PyObject *fn = PyObject_GetAttrString(module, name);
    if (fn && !PyCFunction_Check(fn))
        Py_CLEAR(fn);
    return fn;
}

/* Are asyncio's functions known? No exception is set either way. */
static bool asyncio_known(void)
{
    if (likely(aload(&set_loop) != NULL))
        return true;
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "_asyncio");
    PyObject *get = module ? function_of(module, "_get_running_loop") : NULL;
    PyObject *set = get ? function_of(module, "_set_running_loop") : NULL;
#if TASK_IN_THREAD_STATE
    PyObject *swap = set ? function_of(module, "_swap_current_task") : NULL;
#else
    PyObject *swap = set ? new_ref(set) : NULL; /* not used */
#endif
    PyErr_Clear();
    if (swap == NULL) {
        Py_XDECREF(get);
        Py_XDECREF(set);
        return false;
    }
    /* Should two threads come here, they store the same. Whoever sees set_loop sees the others. */
    apoke(&get_loop, get);
    apoke(&swap_task, swap);
    astore(&set_loop, set);
    return true;
}

/* What asyncio's function returns, or NULL for None and for a failure. */
static PyObject *ask(PyObject *fn, PyObject *a, PyObject *b)
{
    PyObject *r = PyObject_CallFunctionObjArgs(fn, a, b, NULL);
    if (r == NULL)
        PyErr_Clear();
    if (r == Py_None)
        Py_CLEAR(r);
    return r;
}

/* loop is the thread's running one from here on; None: none is. */
static bool set_running(PyObject *loop)
{
    PyObject *r = PyObject_CallOneArg(set_loop, loop);
    if (r == NULL)
        PyErr_Clear();
    Py_XDECREF(r);
    return r != NULL;
}

static void asyncio_leave(struct eventloop *had)
{
    had->loop = ask(get_loop, NULL, NULL);
    if (had->loop == NULL)
        return;
#if TASK_IN_THREAD_STATE
    had->task = ask(swap_task, had->loop, Py_None);
#endif
    set_running(Py_None);
}

static void asyncio_enter(struct eventloop *had)
{
    for (int tries = 0; unlikely(!set_running(had->loop)); tries++) {
        if (tries == MOST_NOMEM)
            Py_FatalError("gopy: out of memory while switching goroutines");
        void *left = host_leave();
        usleep(1000);
        host_enter(left);
    }
#if TASK_IN_THREAD_STATE
    if (had->task)
        Py_XDECREF(ask(swap_task, had->loop, had->task));
#endif
    Py_XDECREF(had->task);
    Py_DECREF(had->loop);
}

/* asyncio's running loop, a new reference; NULL: raised. */
PyObject *running_loop(void)
{
    PyObject *loop = asyncio_known() ? PyObject_CallNoArgs(get_loop) : new_ref(Py_None);
    if (loop == Py_None) {
        Py_CLEAR(loop);
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
    }
    return loop;
}

/* The running goroutine, which has hooks, is about to be switched from: take what is its own out of the thread state. */
void eventloop_leave(PyThreadState *ts, struct eventloop *had)
{
    *had = (struct eventloop){.firstiter = ts->async_gen_firstiter, .finalizer = ts->async_gen_finalizer};
    ts->async_gen_firstiter = ts->async_gen_finalizer = NULL;
    struct m *mp = getm();
    if (unlikely(mp->loopfd)) {
        had->fd = mp->loopfd;
        loop_set(mp, 0);
    }
    /* Without the other hook the finalizer is the one that stackless_step() lends, and no loop runs. */
    if (had->firstiter == NULL)
        return;
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    if (asyncio_known())
        asyncio_leave(had);
    PyErr_Restore(type, exc, tb);
}

/* The goroutine that had *had runs again. */
void eventloop_enter(PyThreadState *ts, struct eventloop *had)
{
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    /* A goroutine may have ended with hooks of its own. */
    Py_XDECREF(ts->async_gen_firstiter);
    Py_XDECREF(ts->async_gen_finalizer);
    ts->async_gen_firstiter = had->firstiter;
    ts->async_gen_finalizer = had->finalizer;
    if (had->loop)
        asyncio_enter(had);
    if (had->fd) /* gopark() sees to the rest */
        astore_sc(&getm()->loopfd, had->fd);
    PyErr_Restore(type, exc, tb);
}

/* The dict of ts, which the running goroutine has of its own, is about to be dropped: asyncio must not remember what it
 * holds. So it is given something else to remember, which stays. */
void eventloop_forget(PyThreadState *ts)
{
#if LOOP_IS_REMEMBERED
    static PyObject *stays;
    if (ts->dict == NULL || !asyncio_known() ||
        PyDict_GetItemString(ts->dict, "__asyncio_running_event_loop__") == NULL)
        return;
    PyObject *had = ts->dict;
    if (stays == NULL && (stays = PyDict_New()) == NULL) {
        PyErr_Clear();
        return;
    }
    ts->dict = stays;
    set_running(Py_None);
    ts->dict = had;
#else
    (void)ts;
#endif
}

/* This goroutine begins to run a loop that does not park, and that fd wakes. 0: the loop has ended. */
static PyObject *core_loop_set(PyObject *self, PyObject *arg)
{
    (void)self;
    struct m *mp = getm();
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (mp && mp->curg)
        loop_set(mp, (int)fd);
    Py_RETURN_NONE;
}

/* Whether the thread may sleep in a system call: False if a goroutine runs here and others, or timers or descriptors that
 * somebody waits for, would have to do without the thread or its P. Once the program ends none of them runs. */
static PyObject *core_may_block(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct m *mp = getm();
    bool may = mp == NULL || mp->curg == NULL || real_load(&sched.exiting) ||
               (num_goroutine() <= 1 && first_timer() == NEVER && !netpollwaiters());
    return PyBool_FromLong(may);
}

PyMethodDef eventloop_functions[] = {
    {"loop_set", core_loop_set, METH_O, NULL},
    {"may_block", core_may_block, METH_NOARGS, NULL},
    {0},
};
