/* pycond.c: Cond. Its L may be any object with lock() and unlock(); our own are locked without a call. */
#include "pycond.h"

#include "pyawait.h"
#include "pyerror.h"
#include "pylock.h"

typedef struct {
    PyObject_HEAD
    PyObject *L;
    struct cond c;
    PyObject *weakrefs;
} SyncCond;

static struct cond *cond_of(PyObject *self) { return &((SyncCond *)self)->c; }

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
    if (cond) {
        cond->L = new_ref(l);
        cond->c.bubble = bubble_tag(bubble_here());
    }
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

/* ---- waiting ---- */

/* Two waits, one after the other: for the signal, and for L. Whatever ends the first, the second must succeed: an
 * interrupt, a cancellation or a timeout is raised when L is locked again. The deadline is the first wait's alone. A
 * condop has memory of its own, since the sudog is on a queue while the stack may be swapped out. */
struct condop {
    struct op op;
    struct sudog sg; /* of the first wait */
    PyObject *l;
    bool own;     /* L is one of gopy's own locks, and locked without a call */
    bool relocks; /* the second wait has begun */
    bool locked;  /* L is locked again */
    /* How the first wait ended, or what has interrupted the second since. WAKE_OP: by the signal, which this one
     * uses. */
    enum wake wake;
    PyObject *exc; /* to be raised once L is locked, or NULL */
};

/* Call l.lock() or l.unlock(). false: raised. */
static bool call_locker(PyObject *l, const char *method)
{
    PyObject *r = PyObject_CallMethod(l, method, NULL);
    Py_XDECREF(r);
    return r != NULL;
}

/* cw goes on for the reason w. If it was signalled, the signal is for another waiter. */
static void pass_on(struct condop *cw, enum wake w)
{
    if (cw->wake == WAKE_OP)
        condsignal(cond_of(cw->op.obj));
    cw->wake = w;
}

/* A wait of cw's has ended with w. Its exception is taken at once, since an interrupt that stays pending would end the
 * second wait, too. */
static void failed(struct condop *cw, enum wake w)
{
    pass_on(cw, w);
    op_failed(w);
    PyObject *exc = PyErr_Occurred() ? fetch_exception() : NULL;
    if (cw->exc == NULL)
        cw->exc = exc;
    else
        Py_XDECREF(exc);
}

static enum op_result relocked(struct condop *cw)
{
    cw->locked = true;
    if (cw->wake == WAKE_OP)
        return op_none(&cw->op);
    if (cw->exc) {
        raise_exception(cw->exc);
        cw->exc = NULL;
    }
    return OP_RAISED;
}

/* Begin the second wait. */
static enum op_result relock(struct condop *cw, struct g *gp)
{
    cw->relocks = true;
    cw->op.deadline = NEVER;
    if (!cw->own)
        return call_locker(cw->l, "lock") ? relocked(cw) : OP_RAISED;
    return lock_begin(cw->l, gp) == SYNC_OK ? relocked(cw) : OP_PARK;
}

static enum op_result cond_begin(struct op *op, struct g *gp)
{
    struct condop *cw = OP_OF(struct condop, op);
    struct cond *c = cond_of(op->obj);
    if (gp == NULL)
        return OP_PARK;
    condadd(c, gp, &cw->sg);
    if (!(cw->own && lock_release(cw->l)) && !call_locker(cw->l, "unlock")) {
        condremove(c, &cw->sg);
        return OP_RAISED;
    }
    return condwait_begin(c, gp, &cw->sg) == SYNC_PARK ? OP_PARK : relock(cw, gp);
}

/* The one who waited never goes on: L is for others, and so is the signal. */
static void cond_orphan(struct op *op)
{
    struct condop *cw = OP_OF(struct condop, op);
    if (cw->locked) {
        cw->locked = false;
        lock_release(cw->l);
        pass_on(cw, WAKE_CANCEL);
    }
}

static enum op_result cond_leave(struct condop *cw, struct g *gp, enum wake w)
{
    if (cw->relocks) {
        enum sync_result r = lock_finish(cw->l, gp, w);
        if (r == SYNC_PARK)
            return OP_PARK;
        cw->locked = r == SYNC_OK;
        cond_orphan(&cw->op);
    } else if (condwait_finish(cond_of(cw->op.obj), &cw->sg, w) == SYNC_OK) {
        pass_on(cw, WAKE_CANCEL);
    }
    return OP_RAISED;
}

static enum op_result cond_finish(struct op *op, struct g *gp, enum wake w)
{
    struct condop *cw = OP_OF(struct condop, op);
    if (op->leaving == ORPHANED)
        return cond_leave(cw, gp, w);
    if (!cw->relocks) {
        if (condwait_finish(cond_of(op->obj), &cw->sg, w) != SYNC_OK) {
            cw->wake = w;
            failed(cw, w);
        }
        return relock(cw, gp);
    }
    enum sync_result r = lock_finish(cw->l, gp, w);
    if (r == SYNC_OK)
        return relocked(cw);
    if (r == SYNC_PARK)
        return OP_PARK;
    failed(cw, w);
    return relock(cw, gp);
}

/* The waiter goes on with L locked, but not for the signal, which is for another one. */
static void cond_undo(struct op *op) { pass_on(OP_OF(struct condop, op), WAKE_CANCEL); }

static void cond_op_clear(struct op *op)
{
    Py_CLEAR(OP_OF(struct condop, op)->l);
    Py_CLEAR(OP_OF(struct condop, op)->exc);
}

static int cond_op_traverse(struct op *op, visitproc visit, void *arg)
{
    Py_VISIT(OP_OF(struct condop, op)->l);
    return 0;
}

static const struct op_kind cond_kind = {
    .name = "Cond.await_",
    .begin = cond_begin,
    .finish = cond_finish,
    .undo = cond_undo,
    .orphan = cond_orphan,
    .clear = cond_op_clear,
    .traverse = cond_op_traverse,
    .size = sizeof(struct condop),
};

/* With timeout=0, too, L is unlocked for a moment. So it is not DEADLINE_PAST, with which nothing would be begun. */
static int parse_wait(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      int64_t *deadline)
{
    *deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) && parse_timeout_kw(args, nargs, 0, kwnames, name, deadline) < 0)
        return -1;
    if (*deadline == DEADLINE_PAST)
        *deadline = nanotime_here();
    return 0;
}

static PyObject *cond_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline;
    if (parse_wait("wait", args, nargs, kwnames, &deadline) < 0)
        return NULL;
    struct condop *cw = PyMem_RawMalloc(sizeof(*cw));
    if (cw == NULL)
        return PyErr_NoMemory();
    PyObject *l = get_L(self, NULL);
    /* A subclass may have its own lock() and unlock(). */
    bool exact = Py_TYPE(l) == &Mutex_Type || Py_TYPE(l) == &RWMutex_Type || Py_TYPE(l) == &RLocker_Type;
    *cw =
        (struct condop){.op = {.kind = &cond_kind, .obj = self, .deadline = deadline}, .l = l, .own = exact};
    PyObject *r = op_run(&cw->op);
    cond_op_clear(&cw->op);
    PyMem_RawFree(cw);
    return r;
}

static PyObject *cond_await_(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline;
    if (parse_wait("await_", args, nargs, kwnames, &deadline) < 0)
        return NULL;
    PyObject *l = get_L(self, NULL);
    PyAwait *a = NULL;
    if (!PyObject_TypeCheck(l, &Mutex_Type) && Py_TYPE(l) != &RLocker_Type)
        type_error("L", "a Mutex, an RWMutex or its rlocker() to be awaited with", l);
    else
        a = await_new(&cond_kind, self, NULL, deadline);
    if (a == NULL) {
        Py_DECREF(l);
        return NULL;
    }
    struct condop *cw = OP_OF(struct condop, a->op);
    cw->l = l;
    cw->own = true;
    return (PyObject *)a;
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
    {"wait", FASTKW(cond_wait),
     "wait($self, *, timeout=None)\n--\n\n"
     "Unlock L, park until signal() or broadcast(), lock L again.\n\n"
     "L must be locked: what its unlock() raises is raised, and nothing is changed. Others may have run in\n"
     "between, so: `while not condition(): cond.wait()`. TimeoutError after `timeout` seconds; L is then\n"
     "locked again too, however long that takes."},
    {"await_", FASTKW(cond_await_),
     "await_($self, *, timeout=None)\n--\n\n"
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
