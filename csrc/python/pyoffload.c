/* pyoffload.c: blocking().
 *
 * A struct call holds its own references to what is called, since a caller that gives up (Ctrl-C) leaves a
 * running call behind. They are dropped on the pool's thread when the function returns, before its caller is
 * readied. The exception travels with its traceback, which ends on the pool's thread. */
#include "pygopy.h"

struct call {
    struct offload o;
    PyObject *fn, *kwnames, *context;
    PyObject *result, *type, *exc, *tb; /* what it returned, or raised */
    Py_ssize_t nargs;                   /* positional ones */
    PyObject *args[];                   /* the first is vectorcall's to use */
};

static void call_clear(struct call *c)
{
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
    call_clear(c);
}

static void call_drop(struct offload *o)
{
    struct call *c = (struct call *)o;
    call_clear(c);
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

static PyObject *core_blocking(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    if (check_call("blocking", args, nargs) < 0)
        return NULL;
    struct g *gp = getg_or_raise();
    struct call *c = gp ? call_new(args, nargs, kwnames) : NULL;
    if (c == NULL)
        return NULL;
    if (unlikely(
            offload_here())) { /* were it to wait for another thread, a full pool would wait for itself */
        call_run(&c->o);
        return call_outcome(c);
    }
    if (offload_begin(&c->o, gp) == OFFLOAD_NOTHREAD) {
        call_drop(&c->o);
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    if (offload_finish(&c->o, gp, gowait(gp, NEVER)) == OFFLOAD_DONE)
        return call_outcome(c);
    raise_main_exception();
    return NULL;
}

/* ablocking(): data is the struct call, as long as it is ours. */
static enum await_result ablocking_result(PyAwait *a)
{
    struct call *c = a->data;
    a->data = NULL;
    a->value = call_outcome(c);
    return a->value ? AWAIT_DONE : AWAIT_RAISED;
}

static enum await_result ablocking_begin(PyAwait *a, struct g *gp)
{
    struct call *c = a->data;
    if (gp == NULL)
        return AWAIT_PARK;
    if (unlikely(offload_here())) {
        call_run(&c->o);
        return ablocking_result(a);
    }
    if (offload_begin(&c->o, gp) == OFFLOAD_PARK)
        return AWAIT_PARK;
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
    return AWAIT_RAISED;
}

static enum await_result ablocking_finish(PyAwait *a, struct g *gp, enum wake w)
{
    struct call *c = a->data;
    if (offload_finish(&c->o, gp, w) == OFFLOAD_DONE)
        return ablocking_result(a);
    a->data = NULL; /* the pool's */
    return await_failed(w);
}

static void ablocking_free(PyAwait *a)
{
    struct call *c = a->data;
    if (c)
        call_drop(&c->o);
}

static const struct await_ops ablocking_await = {
    .name = "ablocking", .begin = ablocking_begin, .finish = ablocking_finish, .free = ablocking_free};

static PyObject *core_ablocking(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    struct call *c = check_call("ablocking", args, nargs) < 0 ? NULL : call_new(args, nargs, kwnames);
    if (c == NULL)
        return NULL;
    PyAwait *a = await_new(&ablocking_await, NULL, NULL);
    if (a)
        a->data = c;
    else
        call_drop(&c->o);
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
    {"blocking", (PyCFunction)(void (*)(void))core_blocking, METH_FASTCALL | METH_KEYWORDS,
     "blocking($module, fn, /, *args, **kwargs)\n--\n\n"
     "Run fn(*args, **kwargs) on an OS thread outside the scheduler, park this goroutine until it returns, and\n"
     "return or raise what it did. For calls that block in C: file I/O, database drivers, DNS.\n\n"
     "The threads are a pool: it grows to the environment variable GOPY_MAX_BLOCKING (512 if not set), further\n"
     "calls wait their turn, and a thread that has had nothing to do for 3 seconds ends. fn runs in a copy of\n"
     "the caller's contextvars; blocking() inside fn runs in place. A wait that Ctrl-C ends leaves fn running,\n"
     "and drops what it returns or raises. The end of the program does not wait for fn.\n"
     "TypeError: fn is not callable. RuntimeError: no thread can be started."},
    {"ablocking", (PyCFunction)(void (*)(void))core_ablocking, METH_FASTCALL | METH_KEYWORDS,
     "ablocking($module, fn, /, *args, **kwargs)\n--\n\n"
     "An awaitable: blocking() for `async def` and generator goroutines, and asyncio.\n\n"
     "A task that is cancelled leaves fn running, and drops what it returns or raises."},
    {"limit_blocking", core_limit_blocking, METH_O, NULL},
    {0},
};
