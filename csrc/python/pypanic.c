/* pypanic.c: exceptions that must reach the main goroutine: panics elsewhere, Ctrl-C, deadlock, SystemExit.
 *
 * Such an exception is kept in main_exc. If the main goroutine waits, its wait ends and it raises the exception. If it
 * runs, it is poked: a pending call raises the exception in its next bytecode, a signal ends a system call. Otherwise
 * it raises the exception at its next wait. While a panic takes the main goroutine down nothing more is raised in it:
 * it is not poked again before it has waited again. */
#include "pypanic.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "pyerror.h"

static pthread_t main_pthread;
static PyObject *main_exc;
static int64_t main_exc_when; /* for sysmon; 0: none pending */
static uint32_t poked;        /* the next SIGINT is our own */
static uint32_t nudged;       /* or sysmon's, for the goroutine that keeps the main one from running */
static uint32_t unwinding;    /* a panic was raised, and the main goroutine has not waited since */

static PyObject *core_sigint(PyObject *self, PyObject *args);

/* This is the main thread. */
void panic_thread(void) { main_pthread = pthread_self(); }

/* In the child of a fork: what was on its way belongs to the parent. */
void panic_forget(void)
{
    main_exc = NULL;
    main_exc_when = 0;
    poked = nudged = unwinding = 0;
}

/* What the main goroutine has not raised for a while. If another goroutine computes or blocks on its thread, that one
 * gets a KeyboardInterrupt. If it runs itself it is in a call of C, and the signal may have come before the system call
 * that it was to end: it gets another. */
bool host_sysmon_tick(int64_t now)
{
    int64_t when = real_load(&main_exc_when);
    struct g *gp = real_load(&sched.m0.curg);
    bool is_main = gp == sched.g1;
    /* One nudge at a time: each is to be told from a Ctrl-C. */
    bool may = is_main ? !real_load(&unwinding) : gp && !real_load(&nudged);
    if (when && now - when > 30000000 && may && real_cas(&main_exc_when, when, now)) {
        real_store(is_main ? &poked : &nudged, 1);
        signal_poke(main_pthread);
    }
    return when != 0;
}

static bool pending(void) { return aload(&main_exc) != NULL; }

bool host_interrupt_pending(void)
{
    real_store(&unwinding, 0);
    return pending();
}

int raise_main_exception(void)
{
    PyObject *exc = axchg(&main_exc, (PyObject *)NULL);
    real_store(&main_exc_when, 0);
    if (exc == NULL) { /* somebody else has raised it meanwhile */
        PyErr_SetString(PyExc_InterruptedError, "gopy: the wait was interrupted");
        return -1;
    }
    real_store(&unwinding, !PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt));
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    Py_DECREF(exc);
    return -1;
}

static bool main_runs_here(void)
{
    struct m *mp = getm();
    return mp == &sched.m0 && mp->curg == sched.g1;
}

static int deliver(void *arg)
{
    (void)arg;
    return main_runs_here() && pending() ? raise_main_exception() : 0;
}

void poke_main(void) { Py_AddPendingCall(deliver, NULL); }

/* Is the SIGINT handler core_sigint? Only then may SIGINT be used to end a system call: any other handler is the
 * program's. */
static bool sigint_is_ours(void)
{
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *handler = module ? PyObject_CallMethod(module, "getsignal", "i", SIGINT) : NULL;
    bool ours = handler && PyCFunction_Check(handler) && PyCFunction_GET_FUNCTION(handler) == core_sigint;
    Py_XDECREF(module);
    Py_XDECREF(handler);
    PyErr_Restore(type, exc, tb);
    return ours;
}

void interrupt_main(PyObject *exc)
{
    Py_INCREF(exc);
    /* Another exception is on its way, and ends the program already. */
    if (!acas(&main_exc, (PyObject *)NULL, exc)) {
        Py_DECREF(exc);
        return;
    }
    bool ours = sigint_is_ours();
    if (ours)
        real_store(&main_exc_when, nanotime());
    sysmon_watch();
    if (gointerrupt(sched.g1) || real_load(&unwinding))
        return;
    poke_main();
    if (ours && sched.main_adopted && !main_runs_here() &&
        sched.m0.curg == sched.g1) { /* perhaps in a system call */
        real_store(&poked, 1);
        signal_poke(main_pthread);
    }
}

/* The SIGINT handler, on the main thread. In the main goroutine it raises KeyboardInterrupt, as Python's does. If
 * another goroutine runs there, the main goroutine gets the exception; only if it cannot take that for a while, the
 * other does. */
static PyObject *core_sigint(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    struct m *mp = getm();
    bool is_pending = pending(), ours = real_xchg(&nudged, 0);
    if (ours && !is_pending) /* the main goroutine has raised it before this signal was seen */
        Py_RETURN_NONE;
    if (real_xchg(&poked, 0) || (is_pending && main_runs_here())) {
        if (deliver(NULL) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    if (mp == NULL || mp->curg == sched.g1 || (is_pending && mp->curg)) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return NULL;
    }
    PyObject *exc = PyObject_CallNoArgs(PyExc_KeyboardInterrupt);
    if (exc == NULL)
        return NULL;
    interrupt_main(exc);
    Py_DECREF(exc);
    Py_RETURN_NONE;
}

PyMethodDef sigint_def = {
    "sigint", core_sigint, METH_VARARGS,
    "sigint(signum, frame, /)\n--\n\nSIGINT handler: KeyboardInterrupt for the main goroutine."};

/* ---- goroutines that fail ---- */

/* Address space to give back when there is none left: to report a panic for want of memory takes some. */
#define RESERVE_SIZE (2u << 20)
static void *reserve;

void panic_reserve(void)
{
    void *mem = mmap(NULL, RESERVE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *none = NULL;
    if (mem != MAP_FAILED &&
        !__atomic_compare_exchange_n(&reserve, &none, mem, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        munmap(mem, RESERVE_SIZE);
}

static void reserve_spend(void)
{
    void *mem = real_xchg(&reserve, (void *)NULL);
    if (mem)
        munmap(mem, RESERVE_SIZE);
}

/* An exception has left go's function: a panic, unless it is goexit or the program's end. There may be no memory left,
 * whatever the exception is: the reserve is for reporting it, and for all that comes after if the program ends. */
void goroutine_failed(Goroutine *go)
{
    if (PyErr_ExceptionMatches(hooks.Goexit)) {
        PyErr_Clear();
        return;
    }
    reserve_spend();
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyErr_NormalizeException(&type, &exc, &tb);
    if (tb)
        PyException_SetTraceback(exc, tb);
    if (go->g.kind == GSYSTEM) {
        interrupt_main(exc);
    } else {
        PyObject *r = PyObject_CallFunctionObjArgs(hooks.panic, go, exc, NULL);
        /* There is no memory for it, most likely. No panic may get lost. */
        if (r == NULL) {
            PyErr_WriteUnraisable(go->fn);
            interrupt_main(exc);
        }
        Py_XDECREF(r);
    }
    Py_DECREF(type);
    Py_DECREF(exc);
    Py_XDECREF(tb);
    if (!pending())
        panic_reserve();
}
