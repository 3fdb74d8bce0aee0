/* pyruntime.c: the scheduler seen from a program: what gopy/runtime.py is made of. */
#include "pyruntime.h"

#include <stdlib.h>

#include "pyattach.h"
#include "pyerror.h"
#include "pyg.h"
#include "pyhogs.h"
#include "pyhost.h"
#include "pyop.h"
#include "pyownthread.h"
#include "pypanic.h"
#include "pysignal.h"
#include "pyswitch.h"
#include "pytrace.h"
#include "pywaits.h"

static PyObject *core_GOMAXPROCS(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    preempt_point();
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "GOMAXPROCS() takes at most 1 positional argument but %zd were given",
                     nargs);
        return NULL;
    }
    long n = 0;
    if (nargs == 1) {
        if (!PyIndex_Check(args[0])) {
            type_error("n", "an int", args[0]);
            return NULL;
        }
        PyObject *index = PyNumber_Index(args[0]);
        if (index == NULL)
            return NULL;
        int overflow;
        n = PyLong_AsLongAndOverflow(index, &overflow);
        Py_DECREF(index);
        if (n == -1 && PyErr_Occurred())
            return NULL;
        if (overflow || n > MAXPROCS)
            n = overflow < 0 ? 0 : MAXPROCS;
    }
    return PyLong_FromLong(n < 1 ? sched.gomaxprocs : procresize((int)n));
}

static PyObject *core_num_goroutine(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    return PyLong_FromUnsignedLongLong(num_goroutine());
}

/* The G of the goroutine that calls; RuntimeError on a thread that gopy does not run. */
static struct g *current(void)
{
    preempt_point();
    struct g *gp = calling_g();
    if (gp == NULL || gp->kind == GFOREIGN) {
        PyErr_SetString(PyExc_RuntimeError, "not on a goroutine: this thread is not run by gopy");
        return NULL;
    }
    return gp;
}

static PyObject *core_current(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct g *gp = current();
    /* A signal handler that runs while everything is parked counts as the main goroutine's. */
    if (gp && gp->kind == GSYSTEM)
        gp = sched.g1;
    return gp ? new_ref((PyObject *)goroutine_of(gp)) : NULL;
}

/* The goroutine whose frames this thread runs, or None: then a dump shows no goroutine as the calling one. */
static PyObject *core_running_here(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct m *mp = getm();
    return new_ref(mp && mp->curg && mp->curg->kind != GSYSTEM ? (PyObject *)goroutine_of(mp->curg)
                                                               : Py_None);
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(Goroutine *const *)a)->g.id, y = (*(Goroutine *const *)b)->g.id;
    return x < y ? -1 : x > y;
}

static PyObject *core_goroutines(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    size_t n = 0, cap = num_goroutine() + 1024;
    Goroutine **all = PyMem_RawMalloc(cap * sizeof(*all));
    if (all == NULL)
        return PyErr_NoMemory();
    for (int i = 0; i < ALLG_SHARDS; i++) {
        struct allg *s = &sched.allg[i];
        lock(&s->lock);
        for (struct g *gp = s->first; gp && n < cap; gp = gp->allnext) {
            all[n] = goroutine_of(gp);
            Py_INCREF(all[n++]);
        }
        unlock(&s->lock);
    }
    qsort(all, n, sizeof(*all), by_id);
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; i < n; i++)
        if (list)
            PyList_SET_ITEM(list, (Py_ssize_t)i, (PyObject *)all[i]);
        else
            Py_DECREF(all[i]);
    PyMem_RawFree(all);
    return list;
}

static PyObject *core_lock_os_thread(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct g *gp = current();
    if (gp == NULL)
        return NULL;
    goroutine_lock(gp);
    Py_RETURN_NONE;
}

static PyObject *core_unlock_os_thread(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct g *gp = current();
    if (gp == NULL)
        return NULL;
    goroutine_unlock(gp);
    Py_RETURN_NONE;
}

static PyObject *core_stats(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_point();
    uint64_t spawned = aload(&sched.nspawned), switches = 0, steals = 0, stolen = 0, runq = 0, timers = 0;
    uint64_t runnable = 0, parked = 0;
    for (int i = 0; i < aload(&sched.nprocs); i++) {
        struct p *pp = sched.allp[i];
        spawned += apeek(&pp->nspawned);
        switches += real_peek(&pp->schedtick);
        steals += apeek(&pp->nsteals);
        stolen += apeek(&pp->nstolen);
        runq += runqlen(&pp->runq) + (apeek(&pp->runnext) != 0);
        timers += apeek(&pp->timers.len);
    }
    for (int i = 0; i < ALLG_SHARDS; i++) {
        struct allg *s = &sched.allg[i];
        lock(&s->lock);
        for (struct g *gp = s->first; gp; gp = gp->allnext) {
            runnable += apeek(&gp->status) == Grunnable;
            parked += apeek(&gp->status) == Gwaiting;
        }
        unlock(&s->lock);
    }
    runq += apeek(&sched.nglob);
    return Py_BuildValue(
        "{sisisisKsKsKsKsKsisKsKsKsKsKsKsO}", "gomaxprocs", apeek(&sched.gomaxprocs), "ms", apeek(&sched.nm),
        "idle_ps", apeek(&sched.npidle), "goroutines", num_goroutine(), "runq", runq, "runnable", runnable,
        "parked", parked, "timers", timers, "netpoll", (int)apeek(&np.nreg), "spawned", spawned, "switches",
        switches, "steals", steals, "stolen", stolen, "handoffs", real_load(&sched.nhandoffs), "preemptions",
        (unsigned long long)real_peek(&sched.npreempted), "gil", GOPY_THREADED ? Py_False : Py_True);
}

/* ---- for gopy/_panic.py ---- */

#define NAPS 40 /* 15 ms */

/* Called by a system goroutine: is everything else parked, other people's threads included? count() is how many threads
 * the process has. An M that the look itself woke gets the time to fall asleep, which on busy cores is some time slices
 * of the kernel. A thread of gopy's own is surely among those counted if it had begun before the count and has not
 * ended after it. A foreign thread surely is parked if it is before the count and after it. */
static PyObject *core_all_asleep(PyObject *self, PyObject *count)
{
    (void)self;
    for (int i = 0; what_else_runs() == OTHERS_AWAKE && i < NAPS; i++)
        nap(i);
    long begun = real_load(&sched.nbegun), parked = aload(&sched.nforeign_parked);
    PyObject *counted = PyObject_CallNoArgs(count);
    long n = counted ? PyLong_AsLong(counted) : -1;
    Py_XDECREF(counted);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    long foreign = n - (begun - (long)real_load(&sched.nended)), still = aload(&sched.nforeign_parked);
    return PyBool_FromLong(what_else_runs() == OTHERS_IDLE && foreign <= (parked < still ? parked : still));
}

/* The number of things that can still ready a goroutine has changed by so many. */
static PyObject *core_add_external(PyObject *self, PyObject *arg)
{
    (void)self;
    long n = PyLong_AsLong(arg);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    aadd(&sched.nexternal, (uint32_t)n);
    Py_RETURN_NONE;
}

static PyObject *core_interrupt_main(PyObject *self, PyObject *exc)
{
    (void)self;
    if (!PyExceptionInstance_Check(exc)) {
        type_error("exc", "an exception", exc);
        return NULL;
    }
    interrupt_main(exc);
    Py_RETURN_NONE;
}

static PyObject *core_shutdown(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_exiting();
    signals_shutdown();
    pyhost_wait_for_threads();
    wait_for_rest();
    Py_RETURN_NONE;
}

/* The main goroutine has called goexit: the others go on until they end the program. */
static PyObject *core_park_forever(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct g *gp = getg_or_raise();
    if (gp) {
        wait_begin(gp, WAIT_GOEXIT);
        op_failed(gowait(gp, NEVER));
    }
    return NULL;
}

/* Invariant: from here until the child has been reset, or in the parent until fork_parent(), the goroutine that forks
 * is not made to yield. In the child the other goroutines of its thread are still there until then, and nothing ends
 * their turn.
 *
 * A thread that attaches for the first time may stop the world, and a fork at that moment would leave CPython's lock for
 * that locked in the child. */
static PyObject *core_before_fork(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    preempt_forbid(1);
    signals_before_fork();
    pyhost_wait_for_threads();
    Py_RETURN_NONE;
}

/* In the parent, also if there is no child. If a hook that ran after core_before_fork has made this thread an M's,
 * nothing was forbidden. */
static PyObject *core_fork_parent(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct m *mp = getm();
    if (mp && mp->locks)
        preempt_forbid(-1);
    Py_RETURN_NONE;
}

static PyObject *core_fork_child(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    pyhost_fork_child();
    signals_fork_child();
    hogs_fork_child();
    waits_fork_child();
    trace_fork_child();
    Py_RETURN_NONE;
}

#define MOST_LENT (1 << 20)

static PyObject *core_start(PyObject *self, PyObject *args)
{
    (void)self;
    int gomaxprocs;
    unsigned long main_ident;
    if (!PyArg_ParseTuple(args, "ikOOOOOOOOOO", &gomaxprocs, &main_ident, &hooks.panic, &hooks.deadlock,
                          &hooks.adopt, &hooks.exit_forked, &hooks.loop_queue, &hooks.once_ado,
                          &hooks.close_asyncgen, &hooks.Panic, &hooks.ClosedChannelError, &hooks.Goexit))
        return NULL;
    for (PyObject **hook = &hooks.panic; hook <= &hooks.Goexit; hook++)
        Py_INCREF(*hook);
    /* close_asyncgen is lent without a reference (lend_hook), and a step that sets a hook of its own drops one, which
     * comes back when the step ends: so many steps may do so at a time. */
    Py_SET_REFCNT(hooks.close_asyncgen, Py_REFCNT(hooks.close_asyncgen) + MOST_LENT);
    if (host_init(main_ident) != 0)
        return PyErr_NoMemory();
    rt_start(gomaxprocs);
    main_goroutine = goroutine_new(Py_None);
    if (main_goroutine == NULL)
        return NULL;
    main_goroutine->name = PyUnicode_FromString("main");
    struct g *gp = &main_goroutine->g;
    gp->id = 1;
    gp->status = Grunning;
    sched.g1 = gp;
    allg_add(gp);
    Py_RETURN_NONE;
}

PyMethodDef runtime_functions[] = {
    {"GOMAXPROCS", FAST(core_GOMAXPROCS),
     "GOMAXPROCS($module, n=0, /)\n--\n\n"
     "Set how many OS threads run goroutines at once and return the previous setting; n < 1 only asks.\n\n"
     "Takes effect as the threads next schedule. Starts as the environment variable GOMAXPROCS, else as\n"
     "num_cpu(). At most 1024."},
    {"num_goroutine", core_num_goroutine, METH_NOARGS,
     "num_goroutine($module, /)\n--\n\nHow many goroutines are alive, the main one included."},
    {"current", core_current, METH_NOARGS,
     "current($module, /)\n--\n\nThe running goroutine. RuntimeError on a thread that gopy does not run."},
    {"goroutines", core_goroutines, METH_NOARGS, "goroutines($module, /)\n--\n\nThe live goroutines, by id."},
    {"lock_os_thread", core_lock_os_thread, METH_NOARGS,
     "lock_os_thread($module, /)\n--\n\n"
     "No goroutine starts on this OS thread until unlock_os_thread() was called as often.\n\n"
     "Those that have started there already go on there, as they can run nowhere else: go_locked() starts one that is\n"
     "alone. One that ends locked takes its thread with it, once those have ended."},
    {"unlock_os_thread", core_unlock_os_thread, METH_NOARGS,
     "unlock_os_thread($module, /)\n--\n\nUndo one lock_os_thread(); without one, nothing."},
    {"stats", core_stats, METH_NOARGS,
     "stats($module, /)\n--\n\n"
     "Counters since import and gauges of this moment. Looks at every live goroutine: 1 ms for 100,000 of "
     "them."},
    {"add_external", core_add_external, METH_O, NULL},
    {"all_asleep", core_all_asleep, METH_O, NULL},
    {"running_here", core_running_here, METH_NOARGS, NULL},
    {"interrupt_main", core_interrupt_main, METH_O, NULL},
    {"shutdown", core_shutdown, METH_NOARGS, NULL},
    {"park_forever", core_park_forever, METH_NOARGS, NULL},
    {"before_fork", core_before_fork, METH_NOARGS, NULL},
    {"fork_parent", core_fork_parent, METH_NOARGS, NULL},
    {"fork_child", core_fork_child, METH_NOARGS, NULL},
    {"start", core_start, METH_VARARGS, NULL},
    {0},
};
