/* pycondition.c: threading.Condition and Event in a patched program (gopy/monkey/_threads.py): waiting and waking, over the locks
 * of pythreadlock.c.
 *
 * The classes stay the standard library's, and their methods that cost are replaced. A Condition over such a lock has a Waiters as
 * its `_waiters`, where the library has a deque of locks. Any other Condition still has that deque, and the methods leave it to
 * the library's own, `slow`; so they do with an Event over another kind of Condition.
 *
 * Invariant: who waits is in the queue before the lock is free, and who notifies has the lock. So no notification is lost, and
 * the first in the queue is the one that has waited longest. */
#include "pycondition.h"

#include <math.h>

#include "pyerror.h"

typedef struct {
    PyObject_HEAD
    PyObject *lock; /* a Lock or an RLock */
    struct cond c;
} Waiters;

#define COND(self) (&((Waiters *)(self))->c)
#define LOCK(self) (((Waiters *)(self))->lock)

static PyObject *waiters_over(PyObject *lock)
{
    PyObject *self = Waiters_Type.tp_alloc(&Waiters_Type, 0);
    if (self) {
        LOCK(self) = new_ref(lock);
        COND(self)->bubble = lendable_tag();
    }
    return self;
}

static PyObject *waiters_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    PyObject *lock;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Waiters", names, &lock))
        return NULL;
    if (is_threadlock(lock))
        return waiters_over(lock);
    type_error("lock", "a Lock or an RLock", lock);
    return NULL;
}

static void waiters_dealloc(PyObject *self)
{
    Py_DECREF(LOCK(self));
    Py_TYPE(self)->tp_free(self);
}

static Py_ssize_t waiters_len(PyObject *self) { return (Py_ssize_t)condlen(COND(self)); }

/* In the child of a fork: nobody is left that waits. */
static PyObject *waiters_clear(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    *COND(self) = (struct cond){.bubble = COND(self)->bubble};
    Py_RETURN_NONE;
}

static PyMethodDef waiters_methods[] = {
    {"clear", waiters_clear, METH_NOARGS, NULL},
    {0},
};

static PySequenceMethods waiters_sequence = {.sq_length = waiters_len};

PyTypeObject Waiters_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core.Waiters",
    .tp_basicsize = sizeof(Waiters),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = waiters_new,
    .tp_dealloc = waiters_dealloc,
    .tp_as_sequence = &waiters_sequence,
    .tp_methods = waiters_methods,
};

/* ---- waiting ---- */

/* Two waits, one after the other: for a notification, and for the lock. However the first ends, the second goes on until the lock
 * is had; what has interrupted either is raised then. Both are done with the goroutine's own sudog. */
struct waitop {
    struct op op; /* of a Waiters */
    struct hold hold;
    PyObject *exc; /* to be raised once the lock is had, or NULL */
    bool polls;    /* there is no first wait: the lock is free for a moment only */
    bool notified;
    bool relocks; /* the second wait has begun */
};

static enum op_result relocked(struct waitop *wo)
{
    threadlock_taken(LOCK(wo->op.obj), wo->hold);
    if (likely(wo->exc == NULL)) {
        wo->op.value = new_ref(wo->notified ? Py_True : Py_False);
        return OP_DONE;
    }
    if (wo->notified) /* that is for another one */
        condsignal(COND(wo->op.obj));
    raise_exception(wo->exc);
    wo->exc = NULL;
    return OP_RAISED;
}

static enum op_result relock(struct waitop *wo, struct g *gp)
{
    wo->relocks = true;
    wo->op.deadline = NEVER;
    return mutexlock_begin(threadlock_mutex(LOCK(wo->op.obj)), gp) == SYNC_OK ? relocked(wo) : OP_PARK;
}

/* A wait has ended by w. What that raises is taken at once, since what stays pending would end the next one, too. */
static void interrupted(struct waitop *wo, enum wake w)
{
    op_failed(w);
    PyObject *exc = fetch_exception();
    if (wo->exc == exc)
        Py_DECREF(exc);
    else if (wo->exc)
        PyException_SetContext(exc, wo->exc);
    wo->exc = exc;
}

static enum op_result wait_begin_op(struct op *op, struct g *gp)
{
    struct waitop *wo = OP_OF(struct waitop, op);
    if (gp == NULL)
        return OP_PARK;
    if (wo->polls) {
        wo->hold = threadlock_free(LOCK(op->obj));
        return relock(wo, gp);
    }
    condadd(COND(op->obj), gp, &gp->wait->sg);
    wo->hold = threadlock_free(LOCK(op->obj));
    if (condwait_begin(COND(op->obj), gp, &gp->wait->sg) == SYNC_PARK)
        return OP_PARK;
    wo->notified = true;
    return relock(wo, gp);
}

static enum op_result wait_finish_op(struct op *op, struct g *gp, enum wake w)
{
    struct waitop *wo = OP_OF(struct waitop, op);
    if (!wo->relocks) {
        wo->notified = condwait_finish(COND(op->obj), &gp->wait->sg, w) == SYNC_OK;
        if (unlikely(!wo->notified && w != WAKE_TIMEOUT))
            interrupted(wo, w);
        return relock(wo, gp);
    }
    enum sync_result r = mutexlock_finish(threadlock_mutex(LOCK(op->obj)), gp, w);
    if (r == SYNC_PARK)
        return OP_PARK;
    if (r == SYNC_OK)
        return relocked(wo);
    interrupted(wo, w);
    return relock(wo, gp);
}

static const struct op_kind wait_kind = {"Condition.wait", wait_begin_op, wait_finish_op};

/* None, or a number of seconds. -1: raised. DEADLINE_PAST: there is nothing to wait for. */
static int parse_wait(PyObject *timeout, int64_t *deadline)
{
    *deadline = NEVER;
    if (timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (seconds > 0.0)
        return parse_lock_timeout(timeout, true, deadline);
    *deadline = DEADLINE_PAST;
    return 0;
}

/* ---- the methods ---- */

enum { INIT, WAIT, NOTIFY, NOTIFY_ALL, EVENT_WAIT, EVENT_SET, EVENT_CLEAR, NMETHODS };

static PyObject *slow[NMETHODS];                                   /* the library's own */
static PyObject *condition_class;                                  /* threading.Condition */
static PyObject *name_waiters, *name_lock, *name_cond, *name_flag; /* of attributes, with their underscores */
static PyObject *name_enter, *name_exit;
static PyObject *name_timeout, *name_n, *name_lock_argument;
/* The methods of its lock that a Condition has as attributes: over a Lock, over an RLock. Tuples of names. */
static PyObject *of_lock[2];

static PyObject *slowly(int which, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *method = PyMethod_New(slow[which], self);
    PyObject *result = method ? PyObject_Vectorcall(method, args, (size_t)nargs, kwnames) : NULL;
    Py_XDECREF(method);
    return result;
}

/* A new reference to self's Waiters. NULL: it has none, and the method is to be called slowly. */
static PyObject *waiters_of(PyObject *self)
{
    PyObject *waiters = PyObject_GetAttr(self, name_waiters);
    if (likely(waiters && Py_IS_TYPE(waiters, &Waiters_Type)))
        return waiters;
    Py_XDECREF(waiters);
    PyErr_Clear();
    return NULL;
}

/* The only argument, by position or by its name, if there is one. false: it is called in another way. */
static bool argument(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *name,
                     PyObject **arg)
{
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    if (n == 0)
        return true;
    *arg = args[0];
    return n == 1 && (nargs == 1 || PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, 0), name) == 0);
}

/* What self has of its lock, as it is in the library. */
static bool take_over(PyObject *self, PyObject *lock, PyObject *names)
{
    bool ok = PyObject_SetAttr(self, name_lock, lock) == 0;
    for (Py_ssize_t i = 0; ok && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *method = PyObject_GetAttr(lock, PyTuple_GET_ITEM(names, i));
        ok = method && PyObject_SetAttr(self, PyTuple_GET_ITEM(names, i), method) == 0;
        Py_XDECREF(method);
    }
    return ok;
}

/* The library finds what its lock has by exceptions, up to 3.13: four fifths of its time. */
static PyObject *condition_init_(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *lock = Py_None;
    if (!argument(args, nargs, kwnames, name_lock_argument, &lock) ||
        (PyObject *)Py_TYPE(self) != condition_class || !(lock == Py_None || is_threadlock(lock)))
        return slowly(INIT, self, args, nargs, kwnames);
    lock = lock == Py_None ? PyObject_CallNoArgs((PyObject *)&RLock_Type) : new_ref(lock);
    PyObject *waiters = lock ? waiters_over(lock) : NULL;
    bool ok = waiters && take_over(self, lock, of_lock[Py_IS_TYPE(lock, &RLock_Type)]) &&
              PyObject_SetAttr(self, name_waiters, waiters) == 0;
    Py_XDECREF(waiters);
    Py_XDECREF(lock);
    return ok ? new_ref(Py_None) : NULL;
}

static PyObject *wait_with(PyObject *waiters, PyObject *timeout)
{
    int64_t deadline;
    if (!threadlock_held(LOCK(waiters))) {
        PyErr_SetString(PyExc_RuntimeError, "cannot wait on un-acquired lock");
        return NULL;
    }
    if (parse_wait(timeout, &deadline) < 0)
        return NULL;
    bool polls = deadline == DEADLINE_PAST; /* with which an operation would only be tried */
    struct waitop wo = {.op = {.kind = &wait_kind, .obj = waiters, .deadline = polls ? NEVER : deadline},
                        .polls = polls};
    return op_run(&wo.op);
}

static PyObject *condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = Py_None, *waiters;
    if (!argument(args, nargs, kwnames, name_timeout, &timeout) || (waiters = waiters_of(self)) == NULL)
        return slowly(WAIT, self, args, nargs, kwnames);
    PyObject *result = wait_with(waiters, timeout);
    Py_DECREF(waiters);
    return result;
}

static PyObject *notify(PyObject *waiters, size_t n)
{
    preempt_point();
    if (!threadlock_held(LOCK(waiters))) {
        PyErr_SetString(PyExc_RuntimeError, "cannot notify on un-acquired lock");
        return NULL;
    }
    feeds(COND(waiters)->bubble);
    if (n == 1)
        condsignal(COND(waiters));
    else
        condsignal_many(COND(waiters), n);
    Py_RETURN_NONE;
}

/* -1: raised */
static int parse_number(PyObject *number, size_t *n)
{
    double x = PyFloat_AsDouble(number);
    if (x == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear(); /* an int beyond any float */
        x = INFINITY;
    }
    *n = x > 0.0 ? x < 1e18 ? (size_t)ceil(x) : SIZE_MAX : 0;
    return 0;
}

static PyObject *condition_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *number = NULL, *waiters;
    size_t n = 1;
    if (!argument(args, nargs, kwnames, name_n, &number) || (waiters = waiters_of(self)) == NULL)
        return slowly(NOTIFY, self, args, nargs, kwnames);
    PyObject *result = number && parse_number(number, &n) < 0 ? NULL : notify(waiters, n);
    Py_DECREF(waiters);
    return result;
}

static PyObject *condition_notify_all(PyObject *self, PyObject *noargs)
{
    PyObject *waiters = waiters_of(self);
    (void)noargs;
    if (waiters == NULL)
        return slowly(NOTIFY_ALL, self, NULL, 0, NULL);
    PyObject *result = notify(waiters, SIZE_MAX);
    Py_DECREF(waiters);
    return result;
}

static PyObject *condition_enter(PyObject *self, PyObject *noargs)
{
    PyObject *lock = PyObject_GetAttr(self, name_lock), *result = NULL;
    (void)noargs;
    if (lock)
        result = is_threadlock(lock) ? threadlock_enter(lock) : PyObject_CallMethodNoArgs(lock, name_enter);
    Py_XDECREF(lock);
    return result;
}

static PyObject *exit_other(PyObject *lock, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *method = PyObject_GetAttr(lock, name_exit);
    PyObject *result = method ? PyObject_Vectorcall(method, args, (size_t)nargs, NULL) : NULL;
    Py_XDECREF(method);
    return result;
}

static PyObject *condition_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *lock = PyObject_GetAttr(self, name_lock), *result = NULL;
    if (lock)
        result = is_threadlock(lock) ? threadlock_exit(lock) : exit_other(lock, args, nargs);
    Py_XDECREF(lock);
    return result;
}

/* ---- Event ---- */

/* With the lock of self's Condition taken, a new reference to its Waiters. NULL: it has none; or raised. */
static PyObject *event_enter(PyObject *self)
{
    PyObject *condition = PyObject_GetAttr(self, name_cond);
    PyObject *waiters =
        condition && (PyObject *)Py_TYPE(condition) == condition_class ? waiters_of(condition) : NULL;
    Py_XDECREF(condition);
    PyErr_Clear();
    PyObject *taken = waiters ? threadlock_enter(LOCK(waiters)) : NULL;
    if (taken == NULL)
        Py_CLEAR(waiters);
    Py_XDECREF(taken);
    return waiters;
}

/* Steals waiters and result. -> what the method returns */
static PyObject *event_exit(PyObject *waiters, PyObject *result)
{
    PyObject *freed = threadlock_exit(LOCK(waiters));
    if (freed == NULL)
        Py_CLEAR(result);
    Py_XDECREF(freed);
    Py_DECREF(waiters);
    return result;
}

static PyObject *event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = Py_None, *waiters = NULL;
    if (argument(args, nargs, kwnames, name_timeout, &timeout) && (waiters = event_enter(self)) == NULL &&
        PyErr_Occurred())
        return NULL;
    if (waiters == NULL)
        return slowly(EVENT_WAIT, self, args, nargs, kwnames);
    PyObject *flag = PyObject_GetAttr(self, name_flag);
    int is_set = flag ? PyObject_IsTrue(flag) : -1;
    if (is_set == 0)
        Py_SETREF(flag, wait_with(waiters, timeout));
    return event_exit(waiters, flag);
}

static PyObject *event_change(PyObject *self, int which, PyObject *flag)
{
    PyObject *waiters = event_enter(self);
    if (waiters == NULL)
        return PyErr_Occurred() ? NULL : slowly(which, self, NULL, 0, NULL);
    bool ok = PyObject_SetAttr(self, name_flag, flag) == 0;
    if (ok && which == EVENT_SET) {
        feeds(COND(waiters)->bubble);
        condbroadcast(COND(waiters));
    }
    return event_exit(waiters, ok ? new_ref(Py_None) : NULL);
}

static PyObject *event_set(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return event_change(self, EVENT_SET, Py_True);
}

static PyObject *event_clear(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return event_change(self, EVENT_CLEAR, Py_False);
}

static PyMethodDef condition_defs[] = {
    {"__init__", FASTKW(condition_init_),
     "__init__($self, /, lock=None)\n--\n\nOver a lock, or a new RLock."},
    {"wait", FASTKW(condition_wait),
     "wait($self, /, timeout=None)\n--\n\n"
     "Free the lock, park until notified or for `timeout` seconds, take the lock again. Whether it was notified.\n\n"
     "RuntimeError if the lock is not held."},
    {"notify", FASTKW(condition_notify),
     "notify($self, /, n=1)\n--\n\nWake the n that have waited longest. RuntimeError if the lock is not held."},
    {"notify_all", condition_notify_all, METH_NOARGS,
     "notify_all($self, /)\n--\n\nWake all who wait. RuntimeError if the lock is not held."},
    {"__enter__", condition_enter, METH_NOARGS, "Take the lock."},
    {"__exit__", FAST(condition_exit), "Free the lock."},
    {0},
};

static PyMethodDef event_defs[] = {
    {"wait", FASTKW(event_wait),
     "wait($self, /, timeout=None)\n--\n\nPark until it is set, at most `timeout` seconds. Whether it is set."},
    {"set", event_set, METH_NOARGS, "set($self, /)\n--\n\nSet it, and wake all who wait."},
    {"clear", event_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nSet it back: who waits from here on waits for the next set()."},
    {0},
};

/* The methods, by name, for the class. */
static PyObject *methods_of(PyObject *cls, PyMethodDef *defs)
{
    PyObject *made = PyDict_New();
    for (PyMethodDef *def = defs; made && def->ml_name; def++) {
        PyObject *method = PyDescr_NewMethod((PyTypeObject *)cls, def);
        if (method == NULL || PyDict_SetItemString(made, def->ml_name, method) < 0)
            Py_CLEAR(made);
        Py_XDECREF(method);
    }
    return made;
}

/* (threading.Condition, Event, slow methods of both, of_lock): the methods of each, by name. */
static PyObject *core_condition_methods(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (!check_nargs("condition_methods", nargs, 4))
        return NULL;
    condition_class = new_ref(args[0]);
    for (int i = 0; i < NMETHODS; i++)
        slow[i] = new_ref(PyTuple_GET_ITEM(args[2], i));
    for (int i = 0; i < 2; i++)
        of_lock[i] = new_ref(PyTuple_GET_ITEM(args[3], i));
    return Py_BuildValue("NN", methods_of(args[0], condition_defs), methods_of(args[1], event_defs));
}

PyMethodDef condition_functions[] = {
    {"condition_methods", FAST(core_condition_methods), NULL},
    {0},
};

int condition_init(void)
{
    static const struct {
        PyObject **name;
        const char *text;
    } names[] = {
        {&name_waiters, "_waiters"},   {&name_lock, "_lock"},
        {&name_cond, "_cond"},         {&name_flag, "_flag"},
        {&name_enter, "__enter__"},    {&name_exit, "__exit__"},
        {&name_timeout, "timeout"},    {&name_n, "n"},
        {&name_lock_argument, "lock"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if ((*names[i].name = PyUnicode_InternFromString(names[i].text)) == NULL)
            return -1;
    return 0;
}
