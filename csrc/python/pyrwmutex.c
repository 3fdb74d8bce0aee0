/* pyrwmutex.c: RWMutex, and the Locker that is its reading side. */
#include "pylock.h"

#include "pyerror.h"

/* lock(), rlock() and their like of self, a Locker over rw. */
static inline PyObject *lock_it(PyObject *self, struct rwmutex *rw, bool write, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames)
{
    preempt_point();
    if (likely(nargs == 0 && kwnames == NULL && rwlock_fast(rw, write)))
        Py_RETURN_NONE;
    return write || Py_TYPE(self) == &RLocker_Type ? lock_slowly(self, args, nargs, kwnames)
                                                   : rlock_slowly(self, args, nargs, kwnames);
}

static inline PyObject *unlock_it(struct rwmutex *rw, bool write)
{
    if (likely(rwunlock_fast(rw, write)) || rwmutex_release(rw, write) == 0)
        Py_RETURN_NONE;
    return NULL;
}

#define RW(self) (&((SyncRWMutex *)(self))->rw)

static PyObject *rwmutex_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (self) {
        ((SyncMutex *)self)->mu.state = MUTEX_OTHER;
        RW(self)->bubble = bubble_tag(bubble_here());
    }
    return self;
}

static PyObject *rwmutex_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return lock_it(self, RW(self), true, args, nargs, kwnames);
}

static PyObject *rwmutex_rlock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return lock_it(self, RW(self), false, args, nargs, kwnames);
}

static PyObject *rwmutex_unlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return unlock_it(RW(self), true);
}

static PyObject *rwmutex_runlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return unlock_it(RW(self), false);
}

static PyObject *rwmutex_try_lock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(rwtrylock(RW(self), true));
}

static PyObject *rwmutex_try_rlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(rwtrylock(RW(self), false));
}

static PyObject *rwmutex_locked(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong(aload(&RW(self)->state) & RW_WRITER);
}

static PyObject *rwmutex_enter(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return lock_it(self, RW(self), true, NULL, 0, NULL);
}

static PyObject *rwmutex_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return unlock_it(RW(self), true);
}

static PyObject *rwmutex_rlocker(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    RLocker *r = PyObject_GC_New(RLocker, &RLocker_Type);
    if (r) {
        r->rw = (SyncRWMutex *)new_ref(self);
        PyObject_GC_Track(r);
    }
    return (PyObject *)r;
}

static PyObject *rwmutex_repr(PyObject *self)
{
    uint32_t s = aload(&RW(self)->state);
    return PyUnicode_FromFormat("<%s %p readers=%u%s>", Py_TYPE(self)->tp_name, self, s / RW_READER,
                                s & RW_WRITER ? " locked" : "");
}

static PyMethodDef rwmutex_methods[] = {
    {"lock", FASTKW(rwmutex_lock),
     "lock($self, *, timeout=None)\n--\n\n"
     "Lock it for writing; park until nobody else has it. No new reader gets in meanwhile.\n\n"
     "TimeoutError after `timeout` seconds; it is then as if never tried."},
    {"try_lock", rwmutex_try_lock, METH_NOARGS,
     "try_lock($self)\n--\n\nLock it for writing if nobody has it; whether so. Never parks."},
    {"unlock", rwmutex_unlock, METH_NOARGS,
     "unlock($self)\n--\n\nEnd writing, and let in the readers that wait.\n\n"
     "Panic if it is not locked for writing."},
    {"locked", rwmutex_locked, METH_NOARGS, "locked($self)\n--\n\nWhether a writer has it at this moment."},
    {"rlock", FASTKW(rwmutex_rlock),
     "rlock($self, *, timeout=None)\n--\n\n"
     "Lock it for reading, beside other readers; park while a writer has it or waits.\n\n"
     "So not reentrant either. TimeoutError after `timeout` seconds; it is then as if never tried."},
    {"arlock", FASTKW(rwmutex_arlock),
     "arlock($self, *, timeout=None)\n--\n\nAn awaitable: rlock() for `async def` and generator goroutines, and asyncio."},
    {"try_rlock", rwmutex_try_rlock, METH_NOARGS,
     "try_rlock($self)\n--\n\nLock it for reading if no writer has it or waits; whether so. Never parks."},
    {"runlock", rwmutex_runlock, METH_NOARGS,
     "runlock($self)\n--\n\nUndo one rlock(). The last reader lets in a writer that waits.\n\n"
     "Panic if it is not locked for reading."},
    {"rlocker", rwmutex_rlocker, METH_NOARGS,
     "rlocker($self)\n--\n\nA Locker and context manager whose lock() is rlock() and unlock() runlock()."},
    {"__enter__", rwmutex_enter, METH_NOARGS, "__enter__($self)\n--\n\nlock()"},
    {"__exit__", FAST(rwmutex_exit), "__exit__($self, /, *exc)\n--\n\nunlock()"},
    {0},
};

PyTypeObject RWMutex_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.RWMutex",
    .tp_doc =
        "RWMutex()\n--\n\n"
        "A lock that any number of readers or one writer may have, as in Go. `with` locks for writing;\n"
        "for reading: `with rw.rlocker():`. A waiting writer holds back new readers.",
    .tp_base = &Mutex_Type,
    .tp_basicsize = sizeof(SyncRWMutex),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = rwmutex_new,
    .tp_repr = rwmutex_repr,
    .tp_methods = rwmutex_methods,
};

/* ---- the reading side ---- */

#define READ(self) (&((RLocker *)(self))->rw->rw)

static PyObject *rlocker_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return lock_it(self, READ(self), false, args, nargs, kwnames);
}

static PyObject *rlocker_unlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return unlock_it(READ(self), false);
}

static PyObject *rlocker_enter(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return lock_it(self, READ(self), false, NULL, 0, NULL);
}

static PyObject *rlocker_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return unlock_it(READ(self), false);
}

static PyObject *rlocker_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(other) != &RLocker_Type)
        Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong((READ(self) == READ(other)) == (op == Py_EQ));
}

static Py_hash_t rlocker_hash(PyObject *self) { return (Py_hash_t)((uintptr_t)READ(self) >> 4); }

static int rlocker_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)((RLocker *)self)->rw);
    return 0;
}

static void rlocker_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_DECREF(((RLocker *)self)->rw);
    PyObject_GC_Del(self);
}

static PyMethodDef rlocker_methods[] = {
    {"lock", FASTKW(rlocker_lock), "lock($self, *, timeout=None)\n--\n\nrlock() of the RWMutex."},
    {"unlock", rlocker_unlock, METH_NOARGS, "unlock($self)\n--\n\nrunlock() of the RWMutex."},
    {"alock", FASTKW(lock_alock),
     "alock($self, *, timeout=None)\n--\n\nAn awaitable: lock() for `async def` and generator goroutines, and asyncio."},
    {"__aenter__", FASTKW(lock_alock), "__aenter__($self)\n--\n\nalock()"},
    {"__aexit__", FAST(lock_aexit), "__aexit__($self, /, *exc)\n--\n\nAn awaitable: unlock()"},
    {"__enter__", rlocker_enter, METH_NOARGS, "__enter__($self)\n--\n\nlock()"},
    {"__exit__", FAST(rlocker_exit), "__exit__($self, /, *exc)\n--\n\nunlock()"},
    {0},
};

PyTypeObject RLocker_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync._RLocker",
    .tp_doc = "The reading side of an RWMutex as a Locker; made by RWMutex.rlocker().",
    .tp_basicsize = sizeof(RLocker),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = rlocker_dealloc,
    .tp_traverse = rlocker_traverse,
    .tp_richcompare = rlocker_compare,
    .tp_hash = rlocker_hash,
    .tp_methods = rlocker_methods,
};
