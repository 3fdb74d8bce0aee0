/* pyhogs.c: the thread that reports who hogs an M (runtime/hogs.h).
 *
 * There is one while a program wants to know, and none otherwise. It is a thread of gopy's own, so that it does not
 * count among those that may wake a goroutine, and it does not report from the watchdog's, which must not wait for
 * whoever reads the report. It looks detached, and attaches only to report. */
#include "pyhogs.h"

#include "pyargs.h"
#include "pyattach.h"
#include "pyerror.h"
#include "pyg.h"
#include "pyownthread.h"
#include "pyversion.h"

#define LOOKS 4 /* in the time of the threshold */
#define LEAST_PERIOD 1000000
#define MOST_PERIOD 50000000

static PyObject *reporter; /* what is called; never dropped */

/* The thread ends only by what it finds under the lock, attached: there is never a second one, and whoever wants to know
 * either finds a thread that goes on or starts one. */
static struct lock guard; /* of changes of what follows */
static int64_t threshold; /* 0: nobody wants to know */
static enum { NONE, STARTING, WATCHES } state;
static __thread bool watches; /* this is that thread */

/* The goroutine that still hogs, a new reference; NULL: it does not any more, or is the runtime's own, or nobody waits. */
static PyObject *culprit(struct hog *hog, uint32_t *waiting)
{
    PyObject *go = NULL;
    world_stop();
    if (hog_is_current(hog) && hog->gp->kind != GSYSTEM && (*waiting = hog_waiters(hog)) > 0)
        go = new_ref((PyObject *)goroutine_of(hog->gp));
    world_start();
    return go;
}

static void report(struct hog *hog)
{
    uint32_t waiting;
    PyObject *go = culprit(hog, &waiting), *fn = go ? aload(&reporter) : NULL;
    PyObject *r = fn ? PyObject_CallFunction(fn, "OdIO", go, (double)hog->ran * 1e-9, waiting,
                                             hog->computes ? Py_True : Py_False)
                     : NULL;
    if (r == NULL && PyErr_Occurred())
        PyErr_WriteUnraisable(fn);
    Py_XDECREF(r);
    Py_XDECREF(go);
}

/* Look, detached, until nobody wants to know. */
static void look(void)
{
    void *left = host_rest();
    for (int64_t most; (most = real_load(&threshold)) != 0;) {
        int64_t period = most / LOOKS;
        period = period < LEAST_PERIOD ? LEAST_PERIOD : period > MOST_PERIOD ? MOST_PERIOD : period;
        struct timespec ts = {0, period};
        nanosleep(&ts, NULL);
        if (real_load(&sched.exiting))
            host_hang();
        struct hog hog;
        if (hog_look(nanotime(), most, &hog)) {
            host_back(left);
            report(&hog);
            left = host_rest();
        }
    }
    host_back(left);
}

/* Does nobody want to know still? Then the thread is over. */
static bool is_over(void)
{
    lock(&guard);
    bool over = threshold == 0;
    if (over)
        real_store(&state, NONE);
    unlock(&guard);
    return over;
}

static void watch(void *none)
{
    (void)none;
    watches = true;
    real_store(&state, WATCHES);
    do
        look();
    while (!is_over());
}

static void thread(void *arg) { own_thread(watch, arg); }

/* hogs(threshold in seconds or None, reporter): reporter(goroutine, seconds, how many wait, whether it
 * computes) is called for each, on a thread of gopy's. */
static PyObject *core_hogs(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    int64_t ns = 0;
    if (!check_nargs("hogs", nargs, 2))
        return NULL;
    if (args[0] != Py_None) {
        if (parse_duration(args[0], "threshold", &ns) < 0)
            return NULL;
        if (ns <= 0)
            return PyErr_Format(PyExc_ValueError, "`threshold` must be positive or None, got %R", args[0]);
    }
    astore(&reporter, new_ref(args[1]));
    lock(&guard);
    real_store(&threshold, ns);
    bool starts = ns && real_load(&state) == NONE;
    if (starts)
        real_store(&state, STARTING);
    unlock(&guard);
    if (starts && !start_thread(thread, NULL)) {
        lock(&guard);
        real_store(&threshold, 0);
        real_store(&state, NONE);
        unlock(&guard);
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    /* None forks, or ends the program, while a thread attaches for the first time. */
    for (int i = 0; starts && real_load(&state) == STARTING; i++)
        nap(i);
    /* Once it is off nothing is reported, unless somebody else turns it on: but the report that turns it off goes on. */
    for (int i = 0; ns == 0 && !watches && real_load(&threshold) == 0 && real_load(&state) != NONE; i++)
        nap(i);
    Py_RETURN_NONE;
}

/* The thread is the parent's. What the program wants to know it may ask for again. */
void hogs_fork_child(void)
{
    guard = (struct lock){0};
    state = NONE;
    threshold = 0;
    watches = false;
    hogs_forget();
}

PyMethodDef hogs_functions[] = {
    {"hogs", FAST(core_hogs), NULL},
    {0},
};
