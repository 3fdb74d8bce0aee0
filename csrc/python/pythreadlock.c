/* pythreadlock.c: Lock and RLock, the standard library's locks among goroutines: those of _thread, with its messages, but
 * waiting is parking. Over a Mutex's queue, so they serve goroutines, plain threads and both at once.
 *
 * An RLock's owner is compared by identity, not by object: the main thread may come to be the main goroutine in the middle
 * of a `with`, and a goroutine that forks goes on as the main one. No Python runs within a call but a signal handler's, while it
 * waits: a lock is held whole or not at all. */
#include "pythreadlock.h"

#include "pyerror.h"
#include "pyident.h"
#include "pyversion.h"

#define MU(self) threadlock_mutex(self)
#define RLOCK(self) ((ThreadRLock *)(void *)(self))

/* ---- taking a mutex, as _thread has it ---- */

/* True, or False: it was not to be had by the deadline. NULL: raised. */
static PyObject *take(struct mutex *mu, int64_t deadline)
{
    if (mutextrylock(mu))
        Py_RETURN_TRUE;
    if (deadline == DEADLINE_PAST)
        Py_RETURN_FALSE;
    return mutex_take(mu, deadline);
}

int parse_lock_timeout(PyObject *timeout, bool blocking, int64_t *deadline)
{
    int64_t ns;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (seconds == -1.0)
        return 0;
    if (!blocking)
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
    else if (seconds < 0.0)
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
    else if (seconds > (double)PY_TIMEOUT_MAX / 1e6)
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    else if (parse_duration(timeout, "timeout", &ns) == 0)
        *deadline = deadline_after(ns);
    return PyErr_Occurred() ? -1 : 0;
}

/* The arguments of acquire(): blocking=True, timeout=-1. -1: raised */
static int parse_acquire(PyObject *args, PyObject *kwargs, int64_t *deadline)
{
    static char *names[] = {"blocking", "timeout", NULL};
    int blocking = 1;
    PyObject *timeout = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:acquire", names, &blocking, &timeout))
        return -1;
    *deadline = blocking ? NEVER : DEADLINE_PAST;
    return timeout ? parse_lock_timeout(timeout, blocking, deadline) : 0;
}

static void lock_dealloc(PyObject *self)
{
    if (((ThreadLock *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static bool is_locked(PyObject *self) { return aload(&MU(self)->state) & MUTEX_LOCKED; }

static PyObject *lock_locked(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(is_locked(self));
}

/* In the child of a fork: nobody has it, and nobody is left that waits for it. */
static void forget_all(struct mutex *mu) { *mu = (struct mutex){.bubble = mu->bubble}; }

/* ---- Lock ---- */

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (likely(self != NULL))
        MU(self)->bubble = lendable_tag();
    return self;
}

static PyObject *lock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    preempt_point();
    return parse_acquire(args, kwargs, &deadline) < 0 ? NULL : take(MU(self), deadline);
}

static PyObject *lock_enter(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    if (likely(mutexlock_fast(MU(self))))
        Py_RETURN_TRUE;
    return take(MU(self), NEVER);
}

static PyObject *threadlock_release(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (likely(mutexunlock_fast(MU(self))) || mutexunlock(MU(self)))
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
    return NULL;
}

static PyObject *lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return threadlock_release(self, NULL);
}

static PyObject *lock_at_fork_reinit(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    forget_all(MU(self));
    Py_RETURN_NONE;
}

static PyObject *lock_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s _thread.lock object at %p>", is_locked(self) ? "locked" : "unlocked",
                                self);
}

#define KEYWORDS(f) (PyCFunction)(void (*)(void))(f), METH_VARARGS | METH_KEYWORDS
#define ACQUIRE_DOC                                                                                          \
    "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"                                                   \
    "Take it; park this goroutine until it is free, or `timeout` seconds have passed. Whether it was taken."

static PyMethodDef lock_methods[] = {
    {"acquire", KEYWORDS(lock_acquire), ACQUIRE_DOC},
    {"acquire_lock", KEYWORDS(lock_acquire), "acquire(), by an older name."},
    {"release", threadlock_release, METH_NOARGS,
     "release($self, /)\n--\n\nFree it and wake who waits. Anybody may. RuntimeError if it is not locked."},
    {"release_lock", threadlock_release, METH_NOARGS, "release(), by an older name."},
    {"locked", lock_locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody has it."},
    {"locked_lock", lock_locked, METH_NOARGS, "locked(), by an older name."},
    {"__enter__", lock_enter, METH_NOARGS, "acquire()"},
    {"__exit__", FAST(lock_exit), "release()"},
    {"_at_fork_reinit", lock_at_fork_reinit, METH_NOARGS, NULL},
    {0},
};

PyTypeObject Lock_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = LOCK_NAME,
    .tp_doc = "A lock for goroutines and threads: threading.Lock once the program is patched.",
    .tp_basicsize = sizeof(ThreadLock),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = lock_new,
    .tp_dealloc = lock_dealloc,
    .tp_repr = lock_repr,
    .tp_weaklistoffset = offsetof(ThreadLock, weakrefs),
    .tp_methods = lock_methods,
};

/* ---- RLock ---- */

static bool is_mine(PyObject *self) { return apeek(&RLOCK(self)->owner) == ident_here(); }

static PyObject *retake(PyObject *self, int64_t deadline, uint64_t me, unsigned long count)
{
    PyObject *got = take(MU(self), deadline);
    if (got == Py_True) {
        apoke(&RLOCK(self)->owner, me);
        RLOCK(self)->count = count;
    }
    return got;
}

/* It is mine: take it once more. */
static PyObject *take_again(PyObject *self)
{
    if (RLOCK(self)->count == ULONG_MAX) {
        PyErr_SetString(PyExc_OverflowError, "Internal lock count overflowed");
        return NULL;
    }
    RLOCK(self)->count++;
    Py_RETURN_TRUE;
}

static PyObject *rlock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int64_t deadline;
    preempt_point();
    if (parse_acquire(args, kwargs, &deadline) < 0)
        return NULL;
    return is_mine(self) ? take_again(self) : retake(self, deadline, ident_here(), 1);
}

static PyObject *rlock_enter(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return is_mine(self) ? take_again(self) : retake(self, NEVER, ident_here(), 1);
}

/* -1: it is not mine, and that is raised. */
static int check_mine(PyObject *self)
{
    if (likely(is_mine(self)))
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return -1;
}

static void give_up(PyObject *self)
{
    RLOCK(self)->count = 0;
    apoke(&RLOCK(self)->owner, 0);
    if (unlikely(!mutexunlock_fast(MU(self))))
        mutexunlock(MU(self));
}

static PyObject *rlock_release(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (check_mine(self) < 0)
        return NULL;
    if (RLOCK(self)->count == 1)
        give_up(self);
    else
        RLOCK(self)->count--;
    Py_RETURN_NONE;
}

static PyObject *rlock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return rlock_release(self, NULL);
}

static PyObject *rlock_is_owned(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyBool_FromLong(is_mine(self));
}

static PyObject *rlock_recursion_count(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return PyLong_FromUnsignedLong(is_mine(self) ? RLOCK(self)->count : 0);
}

static PyObject *rlock_release_save(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (check_mine(self) < 0)
        return NULL;
    PyObject *state = Py_BuildValue("kK", RLOCK(self)->count, (unsigned long long)RLOCK(self)->owner);
    if (state)
        give_up(self);
    return state;
}

static PyObject *rlock_acquire_restore(PyObject *self, PyObject *state)
{
    unsigned long count;
    unsigned long long owner;
    if (!PyTuple_Check(state)) {
        type_error("state", "a tuple", state);
        return NULL;
    }
    if (!PyArg_ParseTuple(state, "kK:_acquire_restore", &count, &owner))
        return NULL;
    PyObject *got = retake(self, NEVER, owner, count);
    if (got == NULL)
        return NULL;
    Py_DECREF(got);
    Py_RETURN_NONE;
}

static PyObject *rlock_at_fork_reinit(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    forget_all(MU(self));
    RLOCK(self)->count = 0;
    RLOCK(self)->owner = 0;
    Py_RETURN_NONE;
}

/* ---- for Conditions ---- */

bool threadlock_held(PyObject *l) { return Py_IS_TYPE(l, &Lock_Type) ? is_locked(l) : is_mine(l); }

struct hold threadlock_free(PyObject *l)
{
    struct hold hold = {0};
    if (Py_IS_TYPE(l, &RLock_Type)) {
        hold = (struct hold){RLOCK(l)->owner, RLOCK(l)->count};
        give_up(l);
    } else if (unlikely(!mutexunlock_fast(MU(l)))) {
        mutexunlock(MU(l));
    }
    return hold;
}

void threadlock_taken(PyObject *l, struct hold hold)
{
    if (Py_IS_TYPE(l, &RLock_Type)) {
        apoke(&RLOCK(l)->owner, hold.owner);
        RLOCK(l)->count = hold.count;
    }
}

PyObject *threadlock_enter(PyObject *l)
{
    return Py_IS_TYPE(l, &Lock_Type) ? lock_enter(l, NULL) : rlock_enter(l, NULL);
}

PyObject *threadlock_exit(PyObject *l)
{
    return Py_IS_TYPE(l, &Lock_Type) ? threadlock_release(l, NULL) : rlock_release(l, NULL);
}

static PyObject *rlock_repr(PyObject *self)
{
    uint64_t owner = apeek(&RLOCK(self)->owner);
    return PyUnicode_FromFormat("<%s %s object owner=%llu count=%lu at %p>", owner ? "locked" : "unlocked",
                                Py_TYPE(self)->tp_name, (unsigned long long)owner, RLOCK(self)->count, self);
}

static PyObject *rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* for __init__ of a subclass */
    PyObject *self = type->tp_alloc(type, 0);
    if (likely(self != NULL))
        MU(self)->bubble = lendable_tag();
    return self;
}

static PyMethodDef rlock_methods[] = {
    {"acquire", KEYWORDS(rlock_acquire), ACQUIRE_DOC},
    {"release", rlock_release, METH_NOARGS,
     "release($self, /)\n--\n\n"
     "Free it, if it has been released as often as it was taken. RuntimeError unless it is this goroutine's."},
    {"locked", lock_locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody has it."},
    {"__enter__", rlock_enter, METH_NOARGS, "acquire()"},
    {"__exit__", FAST(rlock_exit), "release()"},
    {"_is_owned", rlock_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, NULL},
    {"_release_save", rlock_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", rlock_acquire_restore, METH_O, NULL},
    {"_at_fork_reinit", rlock_at_fork_reinit, METH_NOARGS, NULL},
    {0},
};

PyTypeObject RLock_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "_thread.RLock",
    .tp_doc =
        "A lock that its owner, a goroutine or a thread, may take again: threading.RLock once the program is patched.",
    .tp_basicsize = sizeof(ThreadRLock),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = rlock_new,
    .tp_dealloc = lock_dealloc,
    .tp_repr = rlock_repr,
    .tp_weaklistoffset = offsetof(ThreadLock, weakrefs),
    .tp_methods = rlock_methods,
};
