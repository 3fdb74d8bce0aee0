/* pyhost.c: CPython as a host of the runtime (runtime/host.h): its threads, and what is asked of it at a fork. */
#include "pyhost.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pyerror.h"
#include "pyident.h"
#include "pypanic.h"
#include "pystackful.h"
#include "pyversion.h"

PyObject *start_due_functions;

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

static void install_hook(PyObject *threading, const char *name, const char *setter)
{
    PyObject *hook = PyObject_GetAttrString(threading, name), *set = PySys_GetObject(setter);
    PyObject *r = NULL;
    if (hook && hook != Py_None && set && (r = PyObject_CallOneArg(set, hook)) == NULL)
        PyErr_WriteUnraisable(hook);
    PyErr_Clear();
    Py_XDECREF(r);
    Py_XDECREF(hook);
}

/* A thread of ours has begun: trace and profile it as threading.Thread does what it starts. greenlet
 * carries the setting along as it switches, so every goroutine that runs here is traced. */
static void install_hooks(void)
{
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    if (threading) {
        install_hook(threading, "_trace_hook", "settrace");
        install_hook(threading, "_profile_hook", "setprofile");
    }
}

/* No thread of gopy's that runs Python is ever unwound. Up to 3.13 the interpreter ends a thread that attaches during
 * finalization, wherever that is, by pthread_exit. glibc then unwinds the stack, and the destructors in greenlet's C++
 * frames would touch Python objects, detached. So the thread is to hang before its first frame is left; from 3.14 on
 * the interpreter makes it hang itself. No guard in a frame of ours can do that, as greenlet's frames may be further
 * in. But before glibc leaves a frame, it asks whether the cleanup buffer that was pushed last lies in the part of the
 * stack that it has left, and if so calls its function: a buffer that is not on the stack always seems to lie there.
 * Other libraries do not unwind in pthread_exit. */
#if ENDS_THREADS && defined(__GLIBC__)
extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *, void (*)(void *), void *);
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *, int);

static void hang(void *arg)
{
    (void)arg;
    host_hang();
}

static struct _pthread_cleanup_buffer *never_unwind(void)
{
    struct _pthread_cleanup_buffer *buffer = malloc(sizeof(*buffer));
    if (buffer)
        _pthread_cleanup_push(buffer, hang, NULL);
    return buffer;
}

static void unwind_again(struct _pthread_cleanup_buffer *buffer)
{
    if (buffer)
        _pthread_cleanup_pop(buffer, 0);
    free(buffer);
}
#else
static void *never_unwind(void) { return NULL; }
static void unwind_again(void *none) { (void)none; }
#endif

/* The life of a thread of gopy's that runs Python. */
void own_thread(void (*run)(void *), void *arg)
{
    own_thread_begins();
    void *buffer = never_unwind();
    PyGILState_STATE state = PyGILState_Ensure();
    install_hooks();
    run(arg);
    PyGILState_Release(state);
    unwind_again(buffer);
    own_thread_ends();
}

static void m_run(void *arg)
{
    struct m *mp = arg;
    stackful_m_main(mp);
    tls_m = NULL;
    m_exit(mp);
}

static void m_thread(void *arg)
{
    tls_m = arg;
    own_thread(m_run, arg);
}

/* A thread that attaches for the first time while the interpreter ends may find half of it gone. So once the program
 * exits no thread is started, and sysmon does not attach; threads that have been started are waited for
 * (pyhost_wait_for_threads). Each thread is counted or marked before it is looked whether the program exits. */
static bool may_start(void) { return real_add(&sched.exiting, 0) == 0; }

bool host_newthread(struct m *mp)
{
    (void)real_xchg(&mp->entering, true);
    bool ok = may_start() && PyThread_start_new_thread(m_thread, mp) != PYTHREAD_INVALID_THREAD_ID;
    if (!ok)
        real_store(&mp->entering, false);
    return ok;
}

static void offload_run(void *arg)
{
    (void)arg;
    offload_thread();
}

static void offload_main(void *arg) { own_thread(offload_run, arg); }

bool host_newoffload(void)
{
    return may_start() && PyThread_start_new_thread(offload_main, NULL) != PYTHREAD_INVALID_THREAD_ID;
}

/* How many threads are in own_state(), where no fork and no end of the program is to meet them. */
static uint32_t nmaking;

/* The state, detached, of a thread that attaches only now and then. The thread keeps it, as there may be no memory for
 * another when it needs to attach. NULL: the program ends. Up to 3.11 PyThreadState_New() crashes without memory, and
 * so does PyGILState_Ensure(): see first whether there is some. */
PyThreadState *own_state(void)
{
    for (;; usleep(1000)) {
        (void)real_add(&nmaking, 1);
        bool may = may_start();
        void *mem = PyMem_RawMalloc(sizeof(PyThreadState));
        PyMem_RawFree(mem);
        PyThreadState *ts = may && mem ? PyThreadState_New(PyInterpreterState_Main()) : NULL;
        (void)real_add(&nmaking, -1);
        if (ts || !may)
            return ts;
    }
}

/* Of the one sysmon thread. */
static PyThreadState *sysmon_state;
static uint32_t sysmon_inside; /* it is attached, or about to be unless the program exits */

static void *sysmon_thread(void *arg)
{
    (void)arg;
    own_thread_begins();
    if ((sysmon_state = own_state()) != NULL)
        sysmon();
    own_thread_ends();
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

void host_sysmon_enter(void)
{
    (void)real_xchg(&sysmon_inside, 1);
    if (!may_start()) {
        real_store(&sysmon_inside, 0);
        host_hang();
    }
    PyEval_RestoreThread(sysmon_state);
}

void host_sysmon_leave(void)
{
    PyEval_SaveThread();
    real_store(&sysmon_inside, 0);
}

struct g *host_newsystem(enum systemwork work)
{
    PyObject *const work_of[] = {[SYSTEM_DEADLOCK] = hooks.deadlock,
                                 [SYSTEM_SIGNALS] = Py_None,
                                 [SYSTEM_TIMERS] = start_due_functions};
    Goroutine *go = goroutine_new(work_of[work]);
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

void pyhost_wait_for_threads(void)
{
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext)
        for (int i = 0; real_load(&mp->entering) && m_tstate(mp) == NULL; i++)
            nap(i);
    for (int i = 0; offload_starting() || real_load(&sysmon_inside) || real_load(&nmaking); i++)
        nap(i);
}

/* After a fork, in the child: see rt_fork_child. */
void pyhost_fork_child(void)
{
    struct m *mp = getm();
    struct g *self = mp ? mp->curg : NULL;
    main_ident = PyThread_get_thread_ident();
    if (self)
        ident_fork_child(self);
    panic_thread();
    panic_forget();
    if (tls_foreign && mp == NULL)
        note_clear(&tls_foreign->note);
    rt_fork_child(self);
    offload_fork_child();
    freeze_fork_child();
    sysmon_inside = nmaking = 0;
    if (self) {
        stackful_fork_child();
        return;
    }
    frames_fork_child(NULL);
    /* A plain thread has forked: it is the main one, and will be adopted when it needs the scheduler. */
    tls_m = NULL;
    main_goroutine->worker = NULL;
    main_goroutine->g = (struct g){.status = Grunning, .epoch = sched.epoch, .id = 1};
    sched.g1 = &main_goroutine->g;
    allg_add(sched.g1);
}
