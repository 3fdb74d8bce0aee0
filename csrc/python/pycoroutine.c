/* pycoroutine.c: what coroutines and generators are made of, resuming them, and running one to its end. */
#include "pycoroutine.h"

#include "pyerror.h"

bool is_coroutine(PyObject *o) { return PyCoro_CheckExact(o) || PyGen_CheckExact(o); }

/* What fn gives when it is called. Looks through methods, partial objects and __call__. */
static int function_kind(PyObject *fn, const char *name)
{
    static PyObject *partial;
    PyObject *inner = fn;
    if (partial == NULL) {
        PyObject *module = PyImport_ImportModule("functools");
        partial = module ? PyObject_GetAttrString(module, "partial") : NULL;
        Py_XDECREF(module);
        if (partial == NULL)
            return -1;
    }
    for (int depth = 0; !PyFunction_Check(inner) && depth < 100; depth++) {
        PyTypeObject *type = Py_TYPE(inner);
        if (PyMethod_Check(inner)) {
            inner = PyMethod_GET_FUNCTION(inner);
        } else if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || PyType_Check(inner)) {
            return FN_PLAIN;
        } else {
            bool is_partial = type->tp_call == ((PyTypeObject *)partial)->tp_call; /* or a subclass */
            inner = PyObject_GetAttrString(is_partial ? inner : (PyObject *)type,
                                           is_partial ? "func" : "__call__");
            if (inner == NULL)
                return -1;
            Py_DECREF(inner); /* fn, or its type, has it */
        }
    }
    int flags = PyFunction_Check(inner) ? ((PyCodeObject *)PyFunction_GET_CODE(inner))->co_flags : 0;
    if (unlikely(flags & CO_ASYNC_GENERATOR)) {
        PyErr_Format(PyExc_TypeError,
                     "`%s` must not be an async generator function: iterate it in an `async def`, got %R",
                     name, fn);
        return -1;
    }
    return flags & CO_COROUTINE ? FN_COROUTINE : flags & CO_GENERATOR ? FN_GENERATOR : FN_PLAIN;
}

/* A coroutine or generator is run as it has been made, and without arguments. */
static int object_kind(PyObject *coro, Py_ssize_t n, const char *name)
{
    bool coroutine = PyCoro_CheckExact(coro);
    if (n > 0) {
        PyErr_Format(PyExc_TypeError, "`%s` is a %s, which takes no arguments", name, Py_TYPE(coro)->tp_name);
        return -1;
    }
    PyObject *running = PyObject_GetAttrString(coro, coroutine ? "cr_running" : "gi_running");
    PyObject *at = PyObject_GetAttrString(coro, coroutine ? "cr_frame" : "gi_frame");
    int kind = !running || !at ? -1 : coroutine ? FN_COROUTINE : FN_GENERATOR;
    if (kind >= 0 && (running == Py_True || at == Py_None)) {
        PyErr_Format(PyExc_ValueError, "`%s` is a %s that %s already", name, Py_TYPE(coro)->tp_name,
                     at == Py_None ? "has ended" : "runs");
        kind = -1;
    }
    Py_XDECREF(running);
    Py_XDECREF(at);
    return kind;
}

/* What go() makes of fn with n arguments: an enum fn_kind, or -1 if it refuses fn, which the caller knows as `name`. All
 * that take what go() takes ask here. */
int kind_of(PyObject *fn, Py_ssize_t n, const char *name)
{
    if (likely(PyCallable_Check(fn)))
        return function_kind(fn, name);
    return is_coroutine(fn) ? object_kind(fn, n, name)
                            : type_error(name, "callable, a coroutine or a generator", fn);
}

/* `yielded` is none of gopy's awaitables: raise a TypeError that says what to do. */
static void refuse(PyObject *yielded)
{
    PyObject *module = PyObject_GetAttrString((PyObject *)Py_TYPE(yielded), "__module__");
    const char *name = module && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
    bool asyncio = name && (strstr(name, "asyncio") || !strncmp(name, "uvloop", 6));
    PyErr_Clear();
    PyErr_Format(
        PyExc_TypeError,
        "a goroutine can only await what gopy's own calls return (ch.arecv(), time.asleep(), ...), got "
        "%.100s%s",
        yielded == Py_None ? "None" : Py_TYPE(yielded)->tp_name,
        yielded == Py_None ? ": instead of a bare `yield` or asyncio.sleep(0), await runtime.agosched()"
        : asyncio          ? " of asyncio: await that in an asyncio loop, or run one with blocking()"
                           : "");
    Py_XDECREF(module);
}

/* Raise the exception that is set in the coroutine, where it is suspended. */
PySendResult coroutine_throw(PyObject *coro, PyObject **result)
{
    PyObject *exc = fetch_exception();
    *result = PyObject_CallMethod(coro, "throw", "O", exc);
    Py_DECREF(exc);
    if (*result)
        return PYGEN_NEXT;
    if (!PyErr_ExceptionMatches(PyExc_StopIteration))
        return PYGEN_ERROR;
    PyErr_Clear();
    *result = new_ref(Py_None);
    return PYGEN_RETURN;
}

/* A generator has yielded a: answer with the outcome of a. */
PySendResult coroutine_answer(PyObject *coro, PyAwait *a, PyObject **result)
{
    if (unlikely(a->exc != NULL)) {
        PyErr_SetObject((PyObject *)Py_TYPE(a->exc), a->exc);
        return coroutine_throw(coro, result);
    }
    PyObject *arg = await_take(a);
    PySendResult r = PyIter_Send(coro, arg ? arg : Py_None, result);
    Py_XDECREF(arg);
    return r;
}

/* A coroutine has yielded this. -> it, if it is an awaitable that may be awaited: the caller is to begin its operation
 * if *did is OP_PARK; else the operation is over, with *did. NULL: an exception is set, to be thrown into the
 * coroutine. Takes over the reference. */
PyAwait *coroutine_yielded(PyObject *yielded, enum op_result *did)
{
    PyAwait *a = (PyAwait *)yielded;
    *did = OP_PARK;
    if (unlikely(Py_TYPE(yielded) != &Awaitable_Type))
        refuse(yielded);
    else if ((!a->iterated && !await_try(a, did)) || (*did == OP_PARK && !await_claim(a)))
        await_misused();
    else
        return a;
    Py_DECREF(yielded);
    return NULL;
}

/* o's attribute prefix_name if it is a descriptor of C's, which runs no code of the user's; NULL: it has none. */
static PyObject *own_attribute(PyObject *o, const char *prefix, const char *name)
{
    char full[32];
    snprintf(full, sizeof(full), "%s_%s", prefix, name);
    PyTypeObject *type = Py_TYPE(o);
    PyObject *descr = Py_IS_TYPE(type, &PyType_Type) ? PyObject_GetAttrString((PyObject *)type, full) : NULL;
    bool own = descr && (Py_IS_TYPE(descr, &PyGetSetDescr_Type) || Py_IS_TYPE(descr, &PyMemberDescr_Type));
    PyObject *value = own ? Py_TYPE(descr)->tp_descr_get(descr, o, (PyObject *)type) : NULL;
    Py_XDECREF(descr);
    PyErr_Clear();
    return value;
}

/* The frame that a suspended coroutine, generator or what else is awaited has, a new reference, or NULL; *awaits is what it
 * waits for in turn, likewise. Runs no code of the user's; no exception is set. */
PyObject *coroutine_frame(PyObject *coro, PyObject **awaits)
{
    static const char *const kinds[][2] = {{"cr", "await"}, {"gi", "yieldfrom"}, {"ag", "await"}};
    PyObject *frame = NULL;
    *awaits = NULL;
    for (size_t i = 0; frame == NULL && i < sizeof(kinds) / sizeof(*kinds); i++)
        if ((frame = own_attribute(coro, kinds[i][0], "frame")) != NULL)
            *awaits = own_attribute(coro, kinds[i][0], kinds[i][1]);
    if (frame && !PyFrame_Check(frame))
        Py_CLEAR(frame);
    if (*awaits == Py_None)
        Py_CLEAR(*awaits);
    return frame;
}

/* Run coro where we are: each awaitable parks this goroutine, or blocks this thread. */
static PyObject *block_on(PyObject *coro)
{
    PyObject *yielded;
    PyAwait *a = NULL;
    PySendResult r = coroutine_resume(coro, NULL, &yielded);
    while (r == PYGEN_NEXT) {
        enum op_result did;
        struct g *gp = NULL;
        a = coroutine_yielded(yielded, &did);
        if (a && did == OP_PARK && (gp = getg_or_raise()) != NULL) {
            a->op->value = op_wait(a->op, gp, await_begin(a, gp));
            a->state = AWAIT_READY;
            did = a->op->value ? OP_DONE : OP_RAISED;
        }
        if (a == NULL || (did == OP_PARK && gp == NULL)) {
            r = coroutine_throw(coro, &yielded);
        } else {
            await_keep(a, did);
            r = coroutine_resume(coro, a, &yielded);
        }
        Py_XDECREF(a);
    }
    return r == PYGEN_RETURN ? yielded : NULL;
}

static PyObject *core_block_on(PyObject *self, PyObject *coro)
{
    (void)self;
    if (!PyCoro_CheckExact(coro)) {
        type_error("coro", "a coroutine", coro);
        return NULL;
    }
    return block_on(coro);
}

PyMethodDef coroutine_functions[] = {
    {"block_on", core_block_on, METH_O,
     "block_on($module, coro, /)\n--\n\n"
     "Run a coroutine that awaits nothing but gopy's awaitables, in this goroutine; what it returns or raises.\n\n"
     "So a call made of several waits is written once, as an `async def`, for those who await and for those who park."},
    {0},
};
