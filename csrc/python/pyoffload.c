/* pyoffload.c: blocking().
 *
 * A struct call holds its own references to what is called, since a caller that gives up (Ctrl-C) leaves a
 * running call behind. They are dropped on the pool's thread when the function returns, before its caller is
 * readied. The exception travels with its traceback, which ends on the pool's thread. */
#include "pyoffload.h"

#include "pyawait.h"
#include "pycall.h"
#include "pyerror.h"

struct call {
    struct offload o;
    PyObject *fn, *kwnames, *context;
    PyObject *result, *type, *exc, *tb; /* what it returned, or raised */
    Py_ssize_t nargs;                   /* positional ones */
    PyObject *args[];                   /* the first is vectorcall's to use */
};

static void call_clear(struct offload *o)
{
    struct call *c = (struct call *)o;
    Py_ssize_t n = c->nargs + (c->kwnames ? PyTuple_GET_SIZE(c->kwnames) : 0);
    c->nargs = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        Py_DECREF(c->args[i + 1]);
    Py_CLEAR(c->kwnames);
    Py_CLEAR(c->fn);
    Py_CLEAR(c->context);
}

static void call_run(struct offload *o)
{
    struct call *c = (struct call *)o;
    if (PyContext_Enter(c->context) == 0) {
        c->result = PyObject_Vectorcall(c->fn, c->args + 1, (size_t)c->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                        c->kwnames);
        PyErr_Fetch(&c->type, &c->exc, &c->tb);
        if (PyContext_Exit(c->context) < 0) /* cannot be: nobody else can leave it */
            PyErr_WriteUnraisable(NULL);
    } else {
        PyErr_Fetch(&c->type, &c->exc, &c->tb);
    }
}

static void call_drop(struct offload *o)
{
    struct call *c = (struct call *)o;
    call_clear(o);
    Py_XDECREF(c->result);
    Py_XDECREF(c->type);
    Py_XDECREF(c->exc);
    Py_XDECREF(c->tb);
    PyMem_RawFree(c);
}

void host_offload_forked(struct offload *o)
{
    struct call *c = (struct call *)o;
    PyErr_Restore(c->type, c->exc, c->tb);
    end_of_forked_main();
}

/* args[0] is the function. */
static struct call *call_new(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t n = nargs - 1 + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    struct call *c = PyMem_RawCalloc(1, sizeof(*c) + (size_t)(n + 1) * sizeof(PyObject *));
    if (c == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    c->o.run = call_run;
    c->o.clear = call_clear;
    c->o.drop = call_drop;
    c->fn = new_ref(args[0]);
    c->nargs = nargs - 1;
    for (Py_ssize_t i = 0; i < n; i++)
        c->args[i + 1] = new_ref(args[i + 1]);
    Py_XINCREF(kwnames);
    c->kwnames = kwnames;
    c->context = PyThreadState_Get()->context ? PyContext_CopyCurrent() : PyContext_New();
    if (c->context == NULL) {
        call_drop(&c->o);
        return NULL;
    }
    return c;
}

/* Its result, or NULL with its exception set. */
static PyObject *call_outcome(struct call *c)
{
    PyObject *result = c->result;
    c->result = NULL;
    if (result == NULL) {
        PyErr_Restore(c->type, c->exc, c->tb);
        c->type = c->exc = c->tb = NULL;
    }
    call_drop(&c->o);
    return result;
}

static int check_call(const char *name, PyObject *const *args, Py_ssize_t nargs)
{
    if (unlikely(nargs < 1)) {
        PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: `fn`", name);
        return -1;
    }
    return likely(PyCallable_Check(args[0])) ? 0 : type_error("fn", "callable", args[0]);
}

/* ---- the operation ---- */

struct callop {
    struct op op;
    struct call *call; /* NULL: the pool's, or dropped */
};

static enum op_result call_ended(struct callop *c)
{
    struct call *call = c->call;
    c->call = NULL;
    c->op.value = call_outcome(call);
    return c->op.value ? OP_DONE : OP_RAISED;
}

static enum op_result call_begin(struct op *op, struct g *gp)
{
    struct callop *c = OP_OF(struct callop, op);
    if (gp == NULL)
        return OP_PARK;
    /* Were a thread of the pool to wait for another one, a full pool would wait for itself. */
    if (unlikely(offload_here())) {
        call_run(&c->call->o);
        call_clear(&c->call->o);
        return call_ended(c);
    }
    if (offload_begin(&c->call->o, gp) == OFFLOAD_PARK)
        return OP_PARK;
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return OP_RAISED;
}

static enum op_result call_finish(struct op *op, struct g *gp, enum wake w)
{
    struct callop *c = OP_OF(struct callop, op);
    if (offload_finish(&c->call->o, gp, w) == OFFLOAD_DONE)
        return call_ended(c);
    c->call = NULL; /* the pool's */
    return op_failed(w);
}

static void callop_clear(struct op *op)
{
    struct callop *c = OP_OF(struct callop, op);
    if (c->call)
        call_drop(&c->call->o);
}

static const struct op_kind call_kind = {.name = "ablocking",
                                         .begin = call_begin,
                                         .finish = call_finish,
                                         .clear = callop_clear,
                                         .size = sizeof(struct callop)};

static PyObject *core_blocking(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    struct callop c = {.op = {.kind = &call_kind, .deadline = NEVER}};
    if (check_call("blocking", args, nargs) < 0 || (c.call = call_new(args, nargs, kwnames)) == NULL)
        return NULL;
    PyObject *r = op_run(&c.op);
    callop_clear(&c.op);
    return r;
}

static PyObject *core_ablocking(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    struct call *call = check_call("ablocking", args, nargs) < 0 ? NULL : call_new(args, nargs, kwnames);
    if (call == NULL)
        return NULL;
    PyAwait *a = await_new(&call_kind, NULL, NULL, NEVER);
    if (a)
        OP_OF(struct callop, a->op)->call = call;
    else
        call_drop(&call->o);
    return (PyObject *)a;
}

static PyObject *core_limit_blocking(PyObject *self, PyObject *arg)
{
    (void)self;
    unsigned long most = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred())
        return NULL;
    offload_limit((uint32_t)most);
    Py_RETURN_NONE;
}

PyMethodDef offload_functions[] = {
    {"blocking", FASTKW(core_blocking),
     "blocking($module, fn, /, *args, **kwargs)\n--\n\n"
     "Run fn(*args, **kwargs) on an OS thread outside the scheduler, park this goroutine until it returns, and\n"
     "return or raise what it did. For calls that block in C: file I/O, database drivers, DNS.\n\n"
     "The threads are a pool: it grows to the environment variable GOPY_MAX_BLOCKING (512 if not set), further\n"
     "calls wait their turn, and a thread that has had nothing to do for 3 seconds ends. fn runs in a copy of\n"
     "the caller's contextvars; blocking() inside fn runs in place. A wait that Ctrl-C ends leaves fn running,\n"
     "and drops what it returns or raises. The end of the program does not wait for fn.\n"
     "TypeError: fn is not callable. RuntimeError: no thread can be started."},
    {"ablocking", FASTKW(core_ablocking),
     "ablocking($module, fn, /, *args, **kwargs)\n--\n\n"
     "An awaitable: blocking() for `async def` and generator goroutines, and asyncio.\n\n"
     "A task that is cancelled leaves fn running, and drops what it returns or raises."},
    {"limit_blocking", core_limit_blocking, METH_O, NULL},
    {0},
};
