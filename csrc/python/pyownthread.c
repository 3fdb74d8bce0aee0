/* pyownthread.c: the threads that gopy starts. See pyownthread.h. */
#include "pyownthread.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pyversion.h"
#include "runtime/host.h"

bool may_start(void) { return real_add(&sched.exiting, 0) == 0; }

/* ---- at work, and at rest ---- */

static uint32_t nworking;
static __thread bool tls_works;

static void works(void)
{
    tls_works = true;
    (void)real_add(&nworking, 1);
}

static void rests(void)
{
    if (tls_works)
        (void)real_add(&nworking, -1);
    tls_works = false;
}

void *host_rest(void)
{
    void *left = host_leave();
    rests();
    return left;
}

void host_back(void *left)
{
    works();
    if (!may_start())
        host_hang();
    host_enter(left);
}

void host_call_begins(void) { rests(); }

void host_call_ended(void)
{
    works();
    if (!may_start())
        stop_for_good();
}

void host_hang(void)
{
    rests();
    for (;;)
        pause();
}

#define PATIENCE 20000000

void wait_for_rest(void)
{
    int64_t since = 0;
    uint32_t were = 0, n;
    for (int i = 0; (n = real_load(&nworking) - tls_works) != 0; i++) {
        int64_t now = nanotime();
        if (n != were)
            since = now;
        else if (now - since > PATIENCE)
            return;
        were = n;
        nap(i);
    }
}

/* ---- those that run Python ---- */

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

void own_thread(void (*run)(void *), void *arg)
{
    own_thread_begins();
    works();
    void *buffer = never_unwind();
    PyGILState_STATE state = PyGILState_Ensure();
    install_hooks();
    run(arg);
    PyGILState_Release(state);
    unwind_again(buffer);
    rests();
    own_thread_ends();
}

/* ---- those that are detached, as a rule ---- */

struct detached {
    void (*run)(void);
    sigset_t mask; /* for the threads that this one starts: that of the thread that started this one */
};

static __thread struct detached *tls_detached;

static void *detached_main(void *arg)
{
    tls_detached = arg;
    own_thread_begins();
    tls_detached->run();
    own_thread_ends();
    return NULL;
}

bool start_detached_thread(void (*run)(void))
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, was;
    struct detached *d = malloc(sizeof(*d)); /* as there are few of these threads, nobody frees it */
    if (d == NULL)
        return false;
    d->run = run;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    d->mask = tls_detached ? tls_detached->mask : was;
    int err = pthread_create(&thread, &attr, detached_main, d);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_attr_destroy(&attr);
    if (err)
        free(d);
    return err == 0;
}

bool start_thread(void (*run)(void *), void *arg)
{
    sigset_t all;
    if (!may_start())
        return false;
    if (tls_detached)
        pthread_sigmask(SIG_SETMASK, &tls_detached->mask, &all);
    bool ok = PyThread_start_new_thread(run, arg) != PYTHREAD_INVALID_THREAD_ID;
    if (tls_detached)
        pthread_sigmask(SIG_SETMASK, &all, NULL);
    return ok;
}

/* How many threads are in own_state(), where no fork and no end of the program is to meet them. */
static uint32_t nmaking;

/* Up to 3.11 PyThreadState_New() crashes without memory, and so does PyGILState_Ensure(): see first whether there is
 * some. */
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

bool own_state_making(void) { return real_load(&nmaking) != 0; }

void ownthread_fork_child(void)
{
    nworking = tls_works;
    nmaking = 0;
}
