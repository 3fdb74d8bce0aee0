/* pyhost.c: CPython as a host of the runtime (runtime/host.h), and what all blocking calls share: deadlines
 * from seconds and exceptions from results. */
#include "pygopy.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct hooks hooks;

static unsigned long main_ident; /* of the main thread */

struct foreign {
    struct g g;
    struct gwait wait;
    struct note note;
};

static struct gwait main_wait;
static __thread struct foreign *tls_foreign;
static pthread_key_t foreign_key;

int host_init(unsigned long ident)
{
    main_ident = ident;
    if (ident == PyThread_get_thread_ident())
        panic_thread();
    panic_reserve();
    return pthread_key_create(&foreign_key, free);
}

bool host_is_main_thread(void) { return PyThread_get_thread_ident() == main_ident; }

struct g *host_foreign_g(void)
{
    if (tls_foreign == NULL && (tls_foreign = calloc(1, sizeof(struct foreign))) != NULL) {
        pthread_setspecific(foreign_key, tls_foreign);
        tls_foreign->g.kind = GFOREIGN;
        tls_foreign->g.note = &tls_foreign->note;
        tls_foreign->g.wait = &tls_foreign->wait;
        tls_foreign->wait.sg.g = &tls_foreign->g;
        tls_foreign->g.status = Grunning;
    }
    if (tls_foreign == NULL)
        return NULL;
    tls_foreign->g.epoch = sched.epoch;
    return &tls_foreign->g;
}

void *host_leave(void) { return PyEval_SaveThread(); }

void host_enter(void *left) { PyEval_RestoreThread(left); }

bool host_attached(struct m *mp)
{
    PyThreadState *ts = m_tstate(mp);
    if (ts == NULL)
        return false;
#if PY_VERSION_HEX >= 0x030D0000
    return __atomic_load_n(&ts->state, __ATOMIC_RELAXED) == 1; /* _Py_THREAD_ATTACHED */
#elif PY_VERSION_HEX >= 0x030C0000
    return ts->_status.active;
#else
    return _PyThreadState_UncheckedGet() ==
           ts; /* up to 3.11 there is one current thread state, for all threads */
#endif
}

void host_hang(void)
{
    for (;;)
        pause();
}

static void m_thread(void *arg)
{
    struct m *mp = arg;
    tls_m = mp;
    PyGILState_STATE state = PyGILState_Ensure();
    stackful_m_main(mp);
    tls_m = NULL;
    m_exit(mp);
    PyGILState_Release(state);
}

bool host_newthread(struct m *mp)
{
    return PyThread_start_new_thread(m_thread, mp) != PYTHREAD_INVALID_THREAD_ID;
}

static void *sysmon_thread(void *arg)
{
    (void)arg;
    sysmon();
    return NULL;
}

bool host_newsysmon(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, was;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int err = pthread_create(&thread, &attr, sysmon_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_attr_destroy(&attr);
    return err == 0;
}

static PyGILState_STATE sysmon_state; /* of the one sysmon thread */

void host_sysmon_enter(void) { sysmon_state = PyGILState_Ensure(); }

void host_sysmon_leave(void) { PyGILState_Release(sysmon_state); }

struct g *host_newsystem(bool signals)
{
    Goroutine *go = goroutine_new(signals ? Py_None : hooks.deadlock);
    if (go == NULL) {
        PyErr_Clear();
        return NULL;
    }
    return &go->g;
}

bool host_adopt_main(void)
{
    struct m *mp = &sched.m0;
    tls_m = mp;
    panic_thread();
    if (!stackful_adopt_main(mp)) {
        tls_m = NULL;
        return false;
    }
    struct g *gp = sched.g1;
    mp->nbound = 0;
    goroutine_start(mp, gp, &main_wait);
    m_init(mp);
    astore(&sched.main_adopted, 1);
    PyObject *r = hooks.adopt ? PyObject_CallNoArgs(hooks.adopt) : new_ref(Py_None);
    if (r == NULL)
        PyErr_WriteUnraisable(hooks.adopt);
    Py_XDECREF(r);
    return true;
}

/* ---- what blocking calls share ---- */

struct g *getg_or_raise(void)
{
    struct g *gp = getg();
    if (unlikely(gp == NULL) && !PyErr_Occurred()) {
        if (getm() && getm()->curg == NULL)
            PyErr_SetString(PyExc_RuntimeError, "gopy: blocking call from inside the scheduler");
        else
            PyErr_NoMemory();
    }
    if (unlikely(real_load(&sched.exiting)) && gp) {
        PyErr_SetString(PyExc_RuntimeError, "gopy: blocking call after the main goroutine has ended");
        return NULL;
    }
    return gp;
}

int raise_chan(enum chan_result r)
{
    switch (r) {
    case CHAN_BLOCK:
    case CHAN_TIMEOUT:
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return -1;
    case CHAN_INTERRUPT:
        return raise_main_exception();
    default:
        PyErr_NoMemory();
        return -1;
    }
}

int type_error(const char *arg, const char *wanted, PyObject *got)
{
    PyErr_Format(PyExc_TypeError, "`%s` must be %s, got %.100s", arg, wanted, Py_TYPE(got)->tp_name);
    return -1;
}

/* NEVER for None and infinity, DEADLINE_PAST for zero and less. */
int parse_timeout(PyObject *o, const char *name, int64_t *deadline)
{
    *deadline = NEVER;
    if (o == Py_None)
        return 0;
    PyNumberMethods *nb = Py_TYPE(o)->tp_as_number;
    if (nb == NULL || (nb->nb_float == NULL && nb->nb_index == NULL))
        return type_error(name,
                          strcmp(name, "timeout") ? "a number of seconds" : "a number of seconds or None", o);
    double s = PyFloat_AsDouble(o);
    if (s == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear(); /* an int beyond any float */
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero ? PyObject_RichCompareBool(o, zero, Py_LT) : -1;
        Py_XDECREF(zero);
        if (negative < 0)
            return -1;
        s = negative ? -1.0 : INFINITY;
    }
    if (isnan(s)) {
        PyErr_Format(PyExc_ValueError, "`%s` must be a number of seconds, got nan", name);
        return -1;
    }
    if (s <= 0.0)
        *deadline = DEADLINE_PAST;
    else if (s < 4e9) /* longer than a century is for ever */
        *deadline = nanotime() + (int64_t)ceil(s * 1e9);
    return 0;
}

int parse_timeout_kw(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t most, PyObject *kwnames,
                     const char *fn, int64_t *deadline)
{
    *deadline = NEVER;
    if (unlikely(nargs != most)) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional argument%s but %zd %s given", fn, most,
                     most == 1 ? "" : "s", nargs, nargs == 1 ? "was" : "were");
        return -1;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(key, "timeout") != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", fn, key);
            return -1;
        }
        if (parse_timeout(args[nargs + i], "timeout", deadline) < 0)
            return -1;
    }
    return 0;
}

/* A thread that attaches for the first time may stop the world, and a fork at that moment would leave CPython's
 * lock for that locked in the child. So let those that have been started attach first. */
void pyhost_before_fork(void)
{
    signals_before_fork();
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext)
        while (real_load(&mp->entering) && m_tstate(mp) == NULL) {
            void *left = host_leave();
            usleep(50);
            host_enter(left);
        }
}

/* After a fork, in the child: see rt_fork_child. */
void pyhost_fork_child(void)
{
    struct m *mp = getm();
    struct g *self = mp ? mp->curg : NULL;
    main_ident = PyThread_get_thread_ident();
    panic_thread();
    panic_forget();
    if (tls_foreign && mp == NULL)
        note_clear(&tls_foreign->note);
    rt_fork_child(self);
    signals_fork_child();
    if (self) {
        stackful_fork_child();
        return;
    }
    tls_m = NULL; /* a plain thread forked: it is the main one, and will be adopted when it needs us */
    main_goroutine->worker = NULL;
    main_goroutine->g = (struct g){.status = Grunning, .epoch = sched.epoch, .id = 1};
    sched.g1 = &main_goroutine->g;
    allg_add(sched.g1);
}
