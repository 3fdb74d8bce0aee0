/* pygoroutine.c: the type Goroutine, and go().
 *
 * The scheduler holds one reference to a goroutine from go() to its end. What it runs (fn, args, its copy of
 * the context) is dropped when it returns, not when the last handle goes. */
#include "pygoroutine.h"

#include "pyawait.h"
#include "pycoroutine.h"
#include "pycreator.h"
#include "pyerror.h"
#include "pyg.h"

/* Give go a copy of this thread's context, if there is one. */
static int copy_context(Goroutine *go)
{
    return PyThreadState_Get()->context && (go->context = PyContext_CopyCurrent()) == NULL ? -1 : 0;
}

/* Where a goroutine starts: on any M, or on one of its own. */
enum place { ANYWHERE, ALONE };

/* Steals go. */
__attribute__((always_inline)) static inline PyObject *start(Goroutine *go, uint8_t kind, PyObject *group,
                                                             enum place place)
{
    if (copy_context(go) < 0)
        goto fail;
    if (unlikely(getm() == NULL) && calling_g() == NULL) { /* the main thread joins with its first go() */
        PyErr_NoMemory();
        goto fail;
    }
    creator_note(go, getm());
    go->group = group;
    Py_XINCREF(group);
    /* The scheduler's reference: the goroutine may have ended before newproc returns. */
    Py_INCREF(go);
    if (place == ANYWHERE) {
        newproc(&go->g, kind);
        return (PyObject *)go;
    }
    if (newproc_locked(&go->g, kind))
        return (PyObject *)go;
    Py_DECREF(go);
    PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
fail:
    Py_DECREF(go);
    return NULL;
}

static PyObject *go_at(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *group,
                       enum place place)
{
    preempt_point();
    if (unlikely(nargs < 1))
        return PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: `fn`",
                            place == ALONE ? "go_locked" : "go");
    PyObject *fn = args[0];
    Py_ssize_t n = nargs - 1 + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    int kind = kind_of(fn, n, "fn");
    if (unlikely(kind < 0))
        return NULL;
    Goroutine *go = goroutine_new(fn);
    if (unlikely(go == NULL))
        return NULL;
    if (n == 1 && kwnames == NULL) { /* without a tuple it is a third faster */
        go->args = new_ref(args[1]);
    } else if (n > 0) {
        if ((go->args = PyTuple_New(n)) == NULL ||
            (go->kwnames = kwnames ? new_ref(kwnames) : PyTuple_New(0)) == NULL) {
            Py_DECREF(go);
            return NULL;
        }
        for (Py_ssize_t i = 0; i < n; i++)
            PyTuple_SET_ITEM(go->args, i, new_ref(args[i + 1]));
    }
    return start(go, kind == FN_PLAIN ? GSTACKFUL : GSTACKLESS, group, place);
}

/* go(*args, **kwargs). If group is not NULL, waitgroup_done(group) at the goroutine's end; not if this fails. */
PyObject *goroutine_go(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *group)
{
    return go_at(args, nargs, kwnames, group, ANYWHERE);
}

/* go(fn), in the bubble b. */
PyObject *goroutine_go_in(struct bubble *b, PyObject *fn)
{
    int kind = kind_of(fn, 0, "fn");
    Goroutine *go = kind < 0 ? NULL : goroutine_new(fn);
    if (go == NULL)
        return NULL;
    go->g.bubble = b;
    return start(go, kind == FN_PLAIN ? GSTACKFUL : GSTACKLESS, NULL, ANYWHERE);
}

static PyObject *core_go(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return go_at(args, nargs, kwnames, NULL, ANYWHERE);
}

static PyObject *core_go_locked(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return go_at(args, nargs, kwnames, NULL, ALONE);
}

/* kind_of(fn, nargs, name) for the Python half. */
static PyObject *core_kind_of(PyObject *self, PyObject *args)
{
    static const char *const kinds[] = {"plain", "generator", "coroutine"};
    PyObject *fn;
    Py_ssize_t n;
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "Ons:kind_of", &fn, &n, &name))
        return NULL;
    int kind = kind_of(fn, n, name);
    return kind < 0 ? NULL : PyUnicode_FromString(kinds[kind]);
}

static PyObject *get_id(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((Goroutine *)self)->g.id);
}

static PyObject *shown_name(PyObject *self)
{
    PyObject *name = goroutine_name((Goroutine *)self);
    return name ? name : PyUnicode_FromString("?");
}

static PyObject *get_name(PyObject *self, void *closure)
{
    (void)closure;
    preempt_point();
    return shown_name(self);
}

static int set_name(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    preempt_point();
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a goroutine's name cannot be deleted");
        return -1;
    }
    if (!PyUnicode_Check(value))
        return type_error("name", "a str", value);
    goroutine_rename((Goroutine *)self, new_ref(value), false);
    return 0;
}

static const char *state_of(struct g *gp)
{
    switch (aload(&gp->status)) {
    case Grunnable:
    case Gidle:
        return "runnable";
    case Grunning:
        return "running";
    case Gdead:
        return "dead";
    default:
        return waitreason_name(gp->reason);
    }
}

static PyObject *get_state(PyObject *self, void *closure)
{
    (void)closure;
    preempt_point();
    return PyUnicode_FromString(state_of(&((Goroutine *)self)->g));
}

static PyObject *get_stackless(PyObject *self, void *closure)
{
    (void)closure;
    preempt_point();
    return PyBool_FromLong(((Goroutine *)self)->g.kind == GSTACKLESS);
}

static enum op_result join_op_begin(struct op *op, struct g *gp)
{
    struct g *other = &((Goroutine *)op->obj)->g;
    if (gp == other) {
        PyErr_SetString(PyExc_RuntimeError, "a goroutine cannot join itself");
        return OP_RAISED;
    }
    return goroutine_join_begin(gp, other) ? OP_PARK : op_none(op);
}

static enum op_result join_op_finish(struct op *op, struct g *gp, enum wake w)
{
    goroutine_join_finish(gp, &((Goroutine *)op->obj)->g, w);
    return w == WAKE_OP ? op_none(op) : op_failed(w);
}

static const struct op_kind join_kind = {.name = "ajoin", .begin = join_op_begin, .finish = join_op_finish};

static int parse_join(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      int64_t *deadline)
{
    if (nargs == 1 && kwnames == NULL)
        return parse_timeout(args[0], "timeout", deadline);
    return parse_timeout_kw(args, nargs, 0, kwnames, name, deadline);
}

static PyObject *goroutine_join_(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct op op = {.kind = &join_kind, .obj = self};
    return parse_join("join", args, nargs, kwnames, &op.deadline) < 0 ? NULL : op_run(&op);
}

static PyObject *goroutine_ajoin(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline;
    if (parse_join("ajoin", args, nargs, kwnames, &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(&join_kind, self, NULL, deadline);
}

static PyObject *goroutine_stack(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    PyObject *runtime = PyImport_ImportModule("gopy.runtime");
    if (runtime == NULL)
        return NULL;
    PyObject *text = PyObject_CallMethod(runtime, "_goroutine_stack", "O", self);
    Py_DECREF(runtime);
    return text;
}

static PyObject *goroutine_repr(PyObject *self)
{
    PyObject *name = shown_name(self);
    struct g *gp = &((Goroutine *)self)->g;
    PyObject *r =
        PyUnicode_FromFormat("<Goroutine %llu %U [%s]>", (unsigned long long)gp->id, name, state_of(gp));
    Py_DECREF(name);
    return r;
}

static PyGetSetDef goroutine_getset[] = {
    {"id", get_id, NULL, "1 is the main goroutine; ids only grow.", NULL},
    {"name", get_name, set_name, "The function's __qualname__ unless set.", NULL},
    {"state", get_state, NULL,
     "\"runnable\", \"running\", \"dead\", or Go's wait reason, such as \"chan receive\".", NULL},
    {"stackless", get_stackless, NULL, "True for `async def` and generator goroutines.", NULL},
    {0},
};

static PyMethodDef goroutine_methods[] = {
    {"join", FASTKW(goroutine_join_),
     "join($self, timeout=None)\n--\n\nPark until this goroutine is dead, however it ended.\n\n"
     "TimeoutError after `timeout` seconds. Never re-raises: a panic is the program's, see Panic. RuntimeError: a\n"
     "goroutine that joins itself."},
    {"ajoin", FASTKW(goroutine_ajoin),
     "ajoin($self, timeout=None)\n--\n\nAn awaitable: join() for `async def` and generator goroutines, and asyncio."},
    {"stack", goroutine_stack, METH_NOARGS,
     "stack($self)\n--\n\nIts Python stack as text, parked or running, under a header as in Go's dumps."},
    {0},
};

PyTypeObject Goroutine_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.Goroutine",
    .tp_doc = "One goroutine. `go()` returns it; `runtime.current()` is the running one.",
    .tp_basicsize = sizeof(Goroutine),
    .tp_dealloc = goroutine_dealloc,
    .tp_repr = goroutine_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_weaklistoffset = offsetof(Goroutine, weakrefs),
    .tp_getset = goroutine_getset,
    .tp_methods = goroutine_methods,
};

PyMethodDef goroutine_functions[] = {
    {"go", FASTKW(core_go),
     "go($module, fn, /, *args, **kwargs)\n--\n\n"
     "Start fn(*args, **kwargs) as a goroutine and return it at once; fn's result is discarded.\n\n"
     "A plain callable becomes a stackful goroutine (a greenlet): it may block anywhere, at any depth. A\n"
     "generator function or `async def` becomes a stackless one: it blocks where it yields or awaits one of\n"
     "gopy's awaitables, costs a tenth of the memory, and may resume on any OS thread. A coroutine or generator\n"
     "object is accepted as fn too. Works as a decorator on a function without parameters: `@go`.\n"
     "It starts with a copy of the caller's contextvars.\n"
     "TypeError: fn is not callable, or is an async generator function."},
    {"go_locked", FASTKW(core_go_locked),
     "go_locked($module, fn, /, *args, **kwargs)\n--\n\n"
     "go(), on an OS thread of its own: locked from the first instruction, and alone on it.\n\n"
     "The thread ends with the goroutine, unless that has called unlock_os_thread(). For what belongs to one thread: a\n"
     "GUI, a library with state for each thread, a signal mask. RuntimeError: no thread can be started."},
    {"kind_of", core_kind_of, METH_VARARGS, NULL},
    {0},
};
