/* pysyncawait.c: the awaitables of Mutex, RWMutex, WaitGroup and Cond, for pyawait.c. */
#include "pygopy.h"

static enum await_result sync_result(PyAwait *a, enum sync_result r, enum wake w)
{
    if (r == SYNC_PARK || r == SYNC_BLOCK)
        return AWAIT_PARK;
    if (likely(r == SYNC_OK)) {
        a->value = new_ref(Py_None);
        return AWAIT_DONE;
    }
    if (w != WAKE_CANCEL)
        raise_sync(r);
    return AWAIT_RAISED;
}

/* ---- locks ---- */

/* The RWMutex that l is or is a side of, or NULL: it is a Mutex. */
static struct rwmutex *rwmutex_in(PyObject *l, bool *write)
{
    *write = Py_TYPE(l) != &RLocker_Type;
    return !*write                                ? &((RLocker *)l)->rw->rw
           : PyObject_TypeCheck(l, &RWMutex_Type) ? &((SyncRWMutex *)l)->rw
                                                  : NULL;
}

static enum sync_result lock_begin(PyObject *l, struct g *gp)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwlock_begin(rw, gp, write) : mutexlock_begin(&((SyncMutex *)l)->mu, gp);
}

static enum sync_result lock_finish(PyObject *l, struct g *gp, enum wake w)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwlock_finish(rw, gp, write, w) : mutexlock_finish(&((SyncMutex *)l)->mu, gp, w);
}

static bool lock_release(PyObject *l)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwunlock(rw, write) : mutexunlock(&((SyncMutex *)l)->mu);
}

static enum await_result alock_begin(PyAwait *a, struct g *gp)
{
    return sync_result(a, lock_begin(a->obj, gp), WAKE_OP);
}

static enum await_result alock_finish(PyAwait *a, struct g *gp, enum wake w)
{
    return sync_result(a, lock_finish(a->obj, gp, w), w);
}

static void alock_undo(PyAwait *a) { lock_release(a->obj); }

static const struct await_ops alock_await = {"alock", alock_begin, alock_finish, alock_undo};

PyObject *sync_alock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&alock_await, self, NULL);
}

/* Of a lock, the end of `async with`: nothing to wait for. */
static enum await_result aexit_begin(PyAwait *a, struct g *gp)
{
    (void)gp;
    PyObject *r = PyObject_CallMethod(a->obj, "unlock", NULL);
    if (r == NULL)
        return AWAIT_RAISED;
    Py_DECREF(r);
    a->value = new_ref(Py_None);
    return AWAIT_DONE;
}

static const struct await_ops aexit_await = {"__aexit__", aexit_begin, NULL};

PyObject *sync_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return (PyObject *)await_new(&aexit_await, self, NULL);
}

static enum await_result arlock_begin(PyAwait *a, struct g *gp)
{
    return sync_result(a, rwlock_begin(&((SyncRWMutex *)a->obj)->rw, gp, false), WAKE_OP);
}

static enum await_result arlock_finish(PyAwait *a, struct g *gp, enum wake w)
{
    return sync_result(a, rwlock_finish(&((SyncRWMutex *)a->obj)->rw, gp, false, w), w);
}

static void arlock_undo(PyAwait *a) { rwunlock(&((SyncRWMutex *)a->obj)->rw, false); }

static const struct await_ops arlock_await = {"arlock", arlock_begin, arlock_finish, arlock_undo};

PyObject *rwmutex_arlock(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&arlock_await, self, NULL);
}

/* ---- WaitGroup ---- */

static enum await_result wait_begin_(PyAwait *a, struct g *gp)
{
    return sync_result(a, wgwait_begin(waitgroup_of(a->obj), gp), WAKE_OP);
}

static enum await_result wait_finish(PyAwait *a, struct g *gp, enum wake w)
{
    return sync_result(a, wgwait_finish(waitgroup_of(a->obj), gp, w), w);
}

static const struct await_ops waitgroup_await = {"WaitGroup.await_", wait_begin_, wait_finish};

PyObject *waitgroup_await_(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&waitgroup_await, self, NULL);
}

/* ---- Cond ---- */

/* Two waits, one after the other: for the signal, and for L. Whatever ends the first, the second must succeed. obj is
 * the Cond, data a struct condwait. */
struct condwait {
    struct sudog sg; /* of the first */
    PyObject *l;
    bool relocks, locked;
    enum wake wake; /* how the first wait ended */
};

/* It lets go of L. The signal was for somebody who goes on. */
static void cond_await_orphan(PyAwait *a)
{
    struct condwait *cw = a->data;
    if (!cw->locked)
        return;
    cw->locked = false;
    lock_release(cw->l);
    if (cw->wake == WAKE_OP)
        condsignal(cond_of(a->obj));
}

static enum await_result cond_relock(PyAwait *a, enum sync_result r)
{
    if (r == SYNC_PARK)
        return AWAIT_PARK; /* a may be gone */
    struct condwait *cw = a->data;
    cw->locked = true;
    if (cw->wake == WAKE_OP)
        return sync_result(a, r, WAKE_OP);
    if (cw->wake == WAKE_INTERRUPT)
        raise_main_exception();
    return AWAIT_RAISED;
}

static enum await_result cond_await_begin(PyAwait *a, struct g *gp)
{
    struct condwait *cw = a->data;
    struct cond *c = cond_of(a->obj);
    if (gp == NULL)
        return AWAIT_PARK;
    cw->wake = WAKE_OP;
    condadd(c, gp, &cw->sg);
    if (!lock_release(cw->l)) {
        condremove(c, &cw->sg);
        PyObject *r = PyObject_CallMethod(cw->l, "unlock", NULL); /* for its exception */
        Py_XDECREF(r);
        return AWAIT_RAISED;
    }
    if (condwait_begin(c, gp, &cw->sg) == SYNC_PARK)
        return AWAIT_PARK;
    cw->relocks = true;
    return cond_relock(a, lock_begin(cw->l, gp));
}

/* As cond_await_finish, but only to leave. */
static enum await_result cond_await_leave(PyAwait *a, struct g *gp, enum wake w)
{
    struct condwait *cw = a->data;
    struct cond *c = cond_of(a->obj);
    if (!cw->relocks) {
        if (condwait_finish(c, &cw->sg, w) == SYNC_OK)
            condsignal(c);
        return AWAIT_RAISED;
    }
    enum sync_result r = lock_finish(cw->l, gp, w);
    if (r == SYNC_PARK)
        return AWAIT_PARK;
    cw->locked = r == SYNC_OK;
    cond_await_orphan(a);
    return AWAIT_RAISED;
}

static enum await_result cond_await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    struct condwait *cw = a->data;
    if (await_orphaned(a))
        return cond_await_leave(a, gp, w);
    if (!cw->relocks) {
        cw->relocks = true;
        cw->wake = condwait_finish(cond_of(a->obj), &cw->sg, w) == SYNC_OK ? WAKE_OP : w;
        return cond_relock(a, lock_begin(cw->l, gp));
    }
    enum sync_result r = lock_finish(cw->l, gp, w);
    if (r == SYNC_OK || r == SYNC_PARK)
        return cond_relock(a, r);
    cw->wake = w; /* interrupted or cancelled: but only with L locked */
    return cond_relock(a, lock_begin(cw->l, gp));
}

static void cond_await_free(PyAwait *a)
{
    struct condwait *cw = a->data;
    Py_DECREF(cw->l);
    PyMem_RawFree(cw);
}

static const struct await_ops cond_await = {
    .name = "Cond.await_",
    .begin = cond_await_begin,
    .finish = cond_await_finish,
    .orphan = cond_await_orphan,
    .free = cond_await_free,
};

PyObject *cond_await_(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    PyObject *l = PyObject_GetAttrString(self, "L");
    if (l == NULL)
        return NULL;
    struct condwait *cw = NULL;
    PyAwait *a = NULL;
    if (!PyObject_TypeCheck(l, &Mutex_Type) && Py_TYPE(l) != &RLocker_Type)
        type_error("L", "a Mutex, an RWMutex or its rlocker() to be awaited with", l);
    else if ((cw = PyMem_RawCalloc(1, sizeof(*cw))) == NULL)
        PyErr_NoMemory();
    else if ((a = await_new(&cond_await, self, NULL)) == NULL)
        PyMem_RawFree(cw);
    if (a == NULL) {
        Py_DECREF(l);
        return NULL;
    }
    cw->l = l;
    a->data = cw;
    return (PyObject *)a;
}
