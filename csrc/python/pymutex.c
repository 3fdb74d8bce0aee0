/* pymutex.c: Mutex. */
#include "pylock.h"

#include "pyerror.h"

/* The RWMutex that self is, or NULL. As RWMutex is a subclass, Mutex.lock(rw) comes here, too. MUTEX_OTHER, which is
 * set for good in an RWMutex's own mu, makes every fast path of a Mutex fail; the slow paths then find the RWMutex. */
static struct rwmutex *as_rwmutex(PyObject *self)
{
    return apeek(&((SyncMutex *)self)->mu.state) & MUTEX_OTHER ? &((SyncRWMutex *)self)->rw : NULL;
}

static int unlock_slowly(PyObject *self)
{
    struct rwmutex *rw = as_rwmutex(self);
    if (rw)
        return rwmutex_release(rw, true);
    if (mutexunlock(&((SyncMutex *)self)->mu))
        return 0;
    PyErr_SetString(hooks.Panic, "sync: unlock of unlocked mutex");
    return -1;
}

static bool is_locked(PyObject *self)
{
    struct rwmutex *rw = as_rwmutex(self);
    return rw ? aload(&rw->state) & RW_WRITER : aload(&((SyncMutex *)self)->mu.state) & MUTEX_LOCKED;
}

static void mutex_dealloc(PyObject *self)
{
    if (((SyncMutex *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *mutex_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    preempt_point();
    if (likely(nargs == 0 && kwnames == NULL && mutexlock_fast(&((SyncMutex *)self)->mu)))
        Py_RETURN_NONE;
    return lock_slowly(self, args, nargs, kwnames);
}

static PyObject *mutex_unlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    if (likely(mutexunlock_fast(&((SyncMutex *)self)->mu)) || unlock_slowly(self) == 0)
        Py_RETURN_NONE;
    return NULL;
}

static PyObject *mutex_try_lock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    struct rwmutex *rw = as_rwmutex(self);
    return PyBool_FromLong(rw ? rwtrylock(rw, true) : mutextrylock(&((SyncMutex *)self)->mu));
}

static PyObject *mutex_locked(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(is_locked(self));
}

static PyObject *mutex_enter(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    if (likely(mutexlock_fast(&((SyncMutex *)self)->mu)))
        Py_RETURN_NONE;
    return lock_slowly(self, NULL, 0, NULL);
}

static PyObject *mutex_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return mutex_unlock(self, NULL);
}

static PyObject *mutex_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s %p%s>", Py_TYPE(self)->tp_name, self, is_locked(self) ? " locked" : "");
}

static PyObject *mutex_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (self)
        ((SyncMutex *)self)->mu.bubble = bubble_tag(bubble_here());
    return self;
}

static PyMethodDef mutex_methods[] = {
    {"lock", FASTKW(mutex_lock),
     "lock($self, *, timeout=None)\n--\n\n"
     "Lock it; park until it is free. Not reentrant.\n\n"
     "TimeoutError after `timeout` seconds; it is then as if never tried."},
    {"try_lock", mutex_try_lock, METH_NOARGS,
     "try_lock($self)\n--\n\nLock it if it is free; whether it was. Never parks."},
    {"unlock", mutex_unlock, METH_NOARGS,
     "unlock($self)\n--\n\n"
     "Unlock it and wake a waiter. Any goroutine or thread may, not only the one that locked it.\n\n"
     "Panic if it is not locked."},
    {"alock", FASTKW(lock_alock),
     "alock($self, *, timeout=None)\n--\n\nAn awaitable: lock() for `async def` and generator goroutines, and asyncio."},
    {"__aenter__", FASTKW(lock_alock), "__aenter__($self)\n--\n\nalock()"},
    {"__aexit__", FAST(lock_aexit), "__aexit__($self, /, *exc)\n--\n\nAn awaitable: unlock()"},
    {"locked", mutex_locked, METH_NOARGS, "locked($self)\n--\n\nWhether somebody has it at this moment."},
    {"__enter__", mutex_enter, METH_NOARGS, "__enter__($self)\n--\n\nlock()"},
    {"__exit__", FAST(mutex_exit), "__exit__($self, /, *exc)\n--\n\nunlock()"},
    {0},
};

PyTypeObject Mutex_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.Mutex",
    .tp_doc = "Mutex()\n--\n\n"
              "A mutual exclusion lock for goroutines and threads, as in Go. Also a context manager.\n\n"
              "Not reentrant. Whoever comes when it is free gets it, until a waiter has waited for 1 ms in\n"
              "vain; then it is handed from waiter to waiter in the order in which they came.",
    .tp_basicsize = sizeof(SyncMutex),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = mutex_new,
    .tp_dealloc = mutex_dealloc,
    .tp_repr = mutex_repr,
    .tp_weaklistoffset = offsetof(SyncMutex, weakrefs),
    .tp_methods = mutex_methods,
};
