/* pycond.c: Cond. Its L may be any object with lock() and unlock(); our own are locked without a call. */
#include "pygopy.h"

typedef struct {
    PyObject_HEAD
    PyObject *L;
    struct cond c;
    PyObject *weakrefs;
} SyncCond;

struct cond *cond_of(PyObject *self) { return &((SyncCond *)self)->c; }

static int check_locker(PyObject *l)
{
    int ok = 1;
    for (int i = 0; i < 2 && ok > 0; i++) {
        PyObject *method = PyObject_GetAttrString(l, i ? "unlock" : "lock");
        ok = method && PyCallable_Check(method);
        Py_XDECREF(method);
        if (method == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
    }
    return ok ? 0 : type_error("l", "a Locker, with lock() and unlock()", l);
}

static PyObject *cond_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"l", NULL};
    PyObject *l;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Cond", names, &l) || check_locker(l) < 0)
        return NULL;
    SyncCond *cond = (SyncCond *)type->tp_alloc(type, 0);
    if (cond)
        cond->L = new_ref(l);
    return (PyObject *)cond;
}

static int cond_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((SyncCond *)self)->L);
    return 0;
}

static int cond_clear(PyObject *self)
{
    Py_CLEAR(((SyncCond *)self)->L);
    return 0;
}

static void cond_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (((SyncCond *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    cond_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *get_L(PyObject *self, void *closure) /* new reference */
{
    PyObject *l;
    (void)closure;
    BEGIN_EXCLUSIVE(self);
    l = ((SyncCond *)self)->L;
    Py_XINCREF(l);
    END_EXCLUSIVE();
    return l ? l : new_ref(Py_None);
}

static int set_L(PyObject *self, PyObject *l, void *closure)
{
    PyObject *was;
    (void)closure;
    if (l == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a Cond's L cannot be deleted");
        return -1;
    }
    if (check_locker(l) < 0)
        return -1;
    BEGIN_EXCLUSIVE(self);
    was = ((SyncCond *)self)->L;
    ((SyncCond *)self)->L = new_ref(l);
    END_EXCLUSIVE();
    Py_XDECREF(was);
    return 0;
}

/* Call l.lock() or l.unlock(); SYNC_BLOCK: raised. */
static enum sync_result call_locker(PyObject *l, const char *method)
{
    PyObject *r = PyObject_CallMethod(l, method, NULL);
    Py_XDECREF(r);
    return r ? SYNC_OK : SYNC_BLOCK;
}

/* The RWMutex that l is or is a side of, if it is one of our own types and not a subclass. */
static struct rwmutex *rwmutex_of(PyObject *l, bool *write)
{
    *write = Py_TYPE(l) == &RWMutex_Type;
    return *write ? &((SyncRWMutex *)l)->rw : Py_TYPE(l) == &RLocker_Type ? &((RLocker *)l)->rw->rw : NULL;
}

static int release(PyObject *l)
{
    bool write;
    struct rwmutex *rw = rwmutex_of(l, &write);
    if (rw)
        return rwmutex_release(rw, write);
    if (Py_TYPE(l) == &Mutex_Type && mutexunlock_fast(&((SyncMutex *)l)->mu))
        return 0;
    return call_locker(l, "unlock") == SYNC_OK ? 0 : -1;
}

static enum sync_result lock_once(PyObject *l, struct g *gp)
{
    bool write;
    struct rwmutex *rw = rwmutex_of(l, &write);
    return rw                          ? rwlock(rw, gp, write, NEVER)
           : Py_TYPE(l) == &Mutex_Type ? mutexlock(&((SyncMutex *)l)->mu, gp, NEVER)
                                       : call_locker(l, "lock");
}

/* Lock l again, whatever comes: an interrupt of the main goroutine is raised after that. An exception may be
 * set, and stays set. -> -1 if one is set at the end */
static int acquire_again(PyObject *l, struct g *gp)
{
    PyObject *type, *exc, *tb;
    enum sync_result r;
    PyErr_Fetch(&type, &exc, &tb);
    while ((r = lock_once(l, gp)) != SYNC_OK) {
        if (r != SYNC_BLOCK)
            raise_sync(r);
        if (type && r == SYNC_INTERRUPT) { /* one is enough */
            PyErr_Clear();
            continue;
        }
        Py_CLEAR(type);
        Py_CLEAR(exc);
        Py_CLEAR(tb);
        PyErr_Fetch(&type, &exc, &tb);
        if (r != SYNC_INTERRUPT)
            break;
    }
    PyErr_Restore(type, exc, tb);
    return type ? -1 : 0;
}

static PyObject *cond_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct cond *c = &((SyncCond *)self)->c;
    int64_t deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) && parse_timeout_kw(args, nargs, 0, kwnames, "wait", &deadline) < 0)
        return NULL;
    struct g *gp = getg_or_raise();
    if (gp == NULL)
        return NULL;
    struct sudog *sg = PyMem_RawMalloc(sizeof(*sg)); /* not on this stack, which is swapped out */
    if (sg == NULL)
        return PyErr_NoMemory();
    PyObject *l = get_L(self, NULL);
    condadd(c, gp, sg);
    int failed = release(l);
    if (failed) {
        condremove(c, sg);
    } else {
        enum sync_result r = condwait_begin(c, gp, sg);
        if (r == SYNC_PARK)
            r = condwait_finish(c, sg, gowait(gp, deadline));
        if (unlikely(r != SYNC_OK))
            raise_sync(r);
        failed = acquire_again(l, gp);
    }
    PyMem_RawFree(sg);
    Py_DECREF(l);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *cond_signal(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    condsignal(&((SyncCond *)self)->c);
    Py_RETURN_NONE;
}

static PyObject *cond_broadcast(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    condbroadcast(&((SyncCond *)self)->c);
    Py_RETURN_NONE;
}

static PyMethodDef cond_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))cond_wait, METH_FASTCALL | METH_KEYWORDS,
     "wait($self, *, timeout=None)\n--\n\n"
     "Unlock L, park until signal() or broadcast(), lock L again.\n\n"
     "L must be locked: what its unlock() raises is raised, and nothing is changed. Others may have run in\n"
     "between, so: `while not condition(): cond.wait()`. TimeoutError after `timeout` seconds; L is then\n"
     "locked again too, however long that takes."},
    {"await_", cond_await_, METH_NOARGS,
     "await_($self)\n--\n\n"
     "An awaitable: wait() for `async def` and generator goroutines, and asyncio.\n\n"
     "L must be one of gopy's own locks. However the wait ends, L is locked again then."},
    {"signal", cond_signal, METH_NOARGS,
     "signal($self)\n--\n\nWake the one that has waited longest, if any. L may be locked, but need not."},
    {"broadcast", cond_broadcast, METH_NOARGS,
     "broadcast($self)\n--\n\nWake all who wait, in their order. L may be locked, but need not."},
    {0},
};

static PyGetSetDef cond_getset[] = {
    {"L", get_L, set_L, "The Locker that is held while the condition is looked at or changed.", NULL},
    {0},
};

PyTypeObject Cond_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.Cond",
    .tp_doc =
        "Cond(l)\n--\n\n"
        "A condition variable over the Locker l, as in Go: a Mutex, an RWMutex, its rlocker(), or anything\n"
        "with lock() and unlock().\n\nTypeError: l is none.",
    .tp_basicsize = sizeof(SyncCond),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = cond_new,
    .tp_dealloc = cond_dealloc,
    .tp_traverse = cond_traverse,
    .tp_clear = cond_clear,
    .tp_weaklistoffset = offsetof(SyncCond, weakrefs),
    .tp_methods = cond_methods,
    .tp_getset = cond_getset,
};
