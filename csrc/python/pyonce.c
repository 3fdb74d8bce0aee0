/* pyonce.c: Once: a mutex that is held by the one who calls the function, and a mark that it has been called. */
#include "pyonce.h"

#include "pyawait.h"
#include "pyerror.h"
#include "pylock.h"

typedef struct {
    PyObject_HEAD
    uint32_t done;
    struct mutex mu; /* held by the one who calls the function */
    PyObject *weakrefs;
} SyncOnce;

static PyObject *once_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (self)
        ((SyncOnce *)self)->mu.bubble = bubble_tag(bubble_here());
    return self;
}

static void once_dealloc(PyObject *self)
{
    if (((SyncOnce *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

/* The result of the operation. True: the caller is the first, and holds the mutex until once_end(). False: the first
 * has ended; until then others wait for the mutex. */
static enum op_result once_result(struct op *op, enum sync_result r, enum wake w)
{
    SyncOnce *o = (SyncOnce *)op->obj;
    enum op_result did = sync_result(op, r, w);
    if (did == OP_DONE) {
        bool first = !o->done;
        if (!first)
            mutexunlock(&o->mu);
        Py_SETREF(op->value, new_ref(first ? Py_True : Py_False));
    }
    return did;
}

static enum op_result once_begin(struct op *op, struct g *gp)
{
    SyncOnce *o = (SyncOnce *)op->obj;
    if (aload(&o->done)) {
        op->value = new_ref(Py_False);
        return OP_DONE;
    }
    return once_result(op, mutexlock_begin(&o->mu, gp), WAKE_OP);
}

static enum op_result once_finish(struct op *op, struct g *gp, enum wake w)
{
    return once_result(op, mutexlock_finish(&((SyncOnce *)op->obj)->mu, gp, w), w);
}

/* The caller that was the first does not go on: the next to come is the first instead. */
static void once_undo(struct op *op)
{
    if (op->value == Py_True)
        mutexunlock(&((SyncOnce *)op->obj)->mu);
}

static const struct op_kind once_kind = {"Once.ado", once_begin, once_finish, once_undo};

static void once_end(PyObject *self, bool done)
{
    if (done)
        astore(&((SyncOnce *)self)->done, 1);
    mutexunlock(&((SyncOnce *)self)->mu);
}

static PyObject *once_do(PyObject *self, PyObject *fn)
{
    preempt_point();
    if (unlikely(!PyCallable_Check(fn))) {
        type_error("fn", "callable", fn);
        return NULL;
    }
    if (likely(aload(&((SyncOnce *)self)->done)))
        Py_RETURN_NONE;
    struct op op = {.kind = &once_kind, .obj = self, .deadline = NEVER};
    PyObject *first = op_run(&op), *r = NULL;
    if (first == Py_True) {
        r = PyObject_CallNoArgs(fn);
        once_end(self, true);
        Py_XSETREF(r, r ? new_ref(Py_None) : NULL);
    } else if (first) {
        r = new_ref(Py_None);
    }
    Py_XDECREF(first);
    return r;
}

static PyObject *once_ado(PyObject *self, PyObject *fn)
{
    if (unlikely(!PyCallable_Check(fn))) {
        type_error("fn", "callable", fn);
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(hooks.once_ado, self, fn, NULL);
}

static PyObject *once_abegin(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&once_kind, self, NULL, NEVER);
}

static PyObject *once_end_(PyObject *self, PyObject *done)
{
    once_end(self, done == Py_True);
    Py_RETURN_NONE;
}

static PyMethodDef once_methods[] = {
    {"do", once_do, METH_O,
     "do($self, fn, /)\n--\n\n"
     "Call fn() if this is the first call of do() on this Once, else do nothing.\n\n"
     "Returns when the first call's fn has returned, parking until then; so an fn that calls do() on the\n"
     "same Once deadlocks. An exception counts as done, and is raised to the first caller only.\n"
     "TypeError: fn is not callable."},
    {"ado", once_ado, METH_O,
     "ado($self, fn, /)\n--\n\n"
     "A coroutine: do() for `async def` goroutines and asyncio. What fn() returns is awaited if it can be.\n\n"
     "If an asyncio task is cancelled in there, the next call calls its fn."},
    {"_abegin", once_abegin, METH_NOARGS, NULL},
    {"_end", once_end_, METH_O, NULL},
    {0},
};

PyTypeObject Once_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.Once",
    .tp_doc = "Once()\n--\n\nDoes one thing exactly once, whoever asks for it and however often.",
    .tp_basicsize = sizeof(SyncOnce),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = once_new,
    .tp_dealloc = once_dealloc,
    .tp_weaklistoffset = offsetof(SyncOnce, weakrefs),
    .tp_methods = once_methods,
};
