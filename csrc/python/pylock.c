/* pylock.c: taking gopy's own locks, as operations (pyop.h): a Mutex, an RWMutex from either side. What is common to all
 * that package sync waits for. */
#include "pylock.h"

#include "pyawait.h"
#include "pyerror.h"

/* What the operation op says to r. If r is a finish's, w is how the wait ended. */
enum op_result sync_result(struct op *op, enum sync_result r, enum wake w)
{
    switch (r) {
    case SYNC_OK:
        return op_none(op);
    case SYNC_PARK:
    case SYNC_BLOCK:
        return OP_PARK;
    case SYNC_REUSED:
        PyErr_SetString(hooks.Panic, "sync: WaitGroup is reused before previous Wait has returned");
        return OP_RAISED;
    default:
        return op_failed(w);
    }
}

/* ---- a lock by its object ---- */

/* The RWMutex that l is, or is the reading side of; NULL: l is a Mutex. *write: l is locked for writing. */
static struct rwmutex *rwmutex_in(PyObject *l, bool *write)
{
    *write = Py_TYPE(l) != &RLocker_Type;
    return !*write                                ? &((RLocker *)l)->rw->rw
           : PyObject_TypeCheck(l, &RWMutex_Type) ? &((SyncRWMutex *)l)->rw
                                                  : NULL;
}

enum sync_result lock_begin(PyObject *l, struct g *gp)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwlock_begin(rw, gp, write) : mutexlock_begin(&((SyncMutex *)l)->mu, gp);
}

enum sync_result lock_finish(PyObject *l, struct g *gp, enum wake w)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwlock_finish(rw, gp, write, w) : mutexlock_finish(&((SyncMutex *)l)->mu, gp, w);
}

bool lock_release(PyObject *l)
{
    bool write;
    struct rwmutex *rw = rwmutex_in(l, &write);
    return rw ? rwunlock(rw, write) : mutexunlock(&((SyncMutex *)l)->mu);
}

static enum op_result lock_op_begin(struct op *op, struct g *gp)
{
    return sync_result(op, lock_begin(op->obj, gp), WAKE_OP);
}

static enum op_result lock_op_finish(struct op *op, struct g *gp, enum wake w)
{
    return sync_result(op, lock_finish(op->obj, gp, w), w);
}

static void lock_op_undo(struct op *op) { lock_release(op->obj); }

static const struct op_kind lock_kind = {"alock", lock_op_begin, lock_op_finish, lock_op_undo};

/* An RWMutex for reading; lock_kind with one locks it for writing. */
static enum op_result rlock_op_begin(struct op *op, struct g *gp)
{
    return sync_result(op, rwlock_begin(&((SyncRWMutex *)op->obj)->rw, gp, false), WAKE_OP);
}

static enum op_result rlock_op_finish(struct op *op, struct g *gp, enum wake w)
{
    return sync_result(op, rwlock_finish(&((SyncRWMutex *)op->obj)->rw, gp, false, w), w);
}

static void rlock_op_undo(struct op *op) { rwunlock(&((SyncRWMutex *)op->obj)->rw, false); }

static const struct op_kind rlock_kind = {"arlock", rlock_op_begin, rlock_op_finish, rlock_op_undo};

/* The slow path of every lock(): after a try that failed, or with arguments. */
static PyObject *take(const struct op_kind *kind, const char *name, PyObject *self, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    struct op op = {.kind = kind, .obj = self, .deadline = NEVER};
    if (unlikely(nargs != 0 || kwnames) && parse_timeout_kw(args, nargs, 0, kwnames, name, &op.deadline) < 0)
        return NULL;
    return op_run(&op);
}

PyObject *lock_slowly(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return take(&lock_kind, "lock", self, args, nargs, kwnames);
}

PyObject *rlock_slowly(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return take(&rlock_kind, "rlock", self, args, nargs, kwnames);
}

static PyObject *await_lock(const struct op_kind *kind, PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) &&
        parse_timeout_kw(args, nargs, 0, kwnames, kind->name, &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(kind, self, NULL, deadline);
}

PyObject *lock_alock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return await_lock(&lock_kind, self, args, nargs, kwnames);
}

PyObject *rwmutex_arlock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return await_lock(&rlock_kind, self, args, nargs, kwnames);
}

/* The end of `async with`: there is nothing to wait for. */
static enum op_result aexit_begin(struct op *op, struct g *gp)
{
    (void)gp;
    op->value = PyObject_CallMethod(op->obj, "unlock", NULL);
    return op->value ? OP_DONE : OP_RAISED;
}

static const struct op_kind aexit_kind = {"__aexit__", aexit_begin, NULL};

PyObject *lock_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return (PyObject *)await_new(&aexit_kind, self, NULL, NEVER);
}

int rwmutex_release(struct rwmutex *rw, bool write)
{
    if (rwunlock(rw, write))
        return 0;
    PyErr_SetString(hooks.Panic,
                    write ? "sync: Unlock of unlocked RWMutex" : "sync: RUnlock of unlocked RWMutex");
    return -1;
}

/* ---- a mutex within another object ---- */

struct mutexop {
    struct op op;
    struct mutex *mu;
};

/* As sync_result, but the deadline is no error: the value is whether the mutex has been taken. */
static enum op_result mutex_result(struct op *op, enum sync_result r, enum wake w)
{
    if (r != SYNC_OK && !(r == SYNC_ENDED && w == WAKE_TIMEOUT))
        return sync_result(op, r, w);
    op->value = new_ref(r == SYNC_OK ? Py_True : Py_False);
    return OP_DONE;
}

static enum op_result mutex_op_begin(struct op *op, struct g *gp)
{
    return mutex_result(op, mutexlock_begin(OP_OF(struct mutexop, op)->mu, gp), WAKE_OP);
}

static enum op_result mutex_op_finish(struct op *op, struct g *gp, enum wake w)
{
    return mutex_result(op, mutexlock_finish(OP_OF(struct mutexop, op)->mu, gp, w), w);
}

static const struct op_kind mutex_kind = {"mutex", mutex_op_begin, mutex_op_finish};

PyObject *mutex_take(struct mutex *mu, int64_t deadline)
{
    struct mutexop m = {.op = {.kind = &mutex_kind, .deadline = deadline}, .mu = mu};
    return op_run(&m.op);
}

int mutex_acquire(struct mutex *mu)
{
    PyObject *got = mutex_take(mu, NEVER);
    Py_XDECREF(got);
    return got ? 0 : -1;
}
