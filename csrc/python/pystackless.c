/* pystackless.c: stackless goroutines: a generator or coroutine, run step by step.
 *
 * A step runs in place on a worker, like a stackful goroutine, and during it the goroutine is bound to its M: it may
 * block like any other, and then keeps the worker until the step ends. What it yields must be one of our awaitables.
 * Its wait is begun here, after the coroutine is suspended and the goroutine has left its M: begin() is the last thing
 * that this thread does with it, since the next step may run on another thread before begin() has returned. */
#include "pygopy.h"

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

/* `yielded` is not ours: say so in the goroutine, at that line. */
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
static PySendResult throw_in(PyObject *coro, PyObject **result)
{
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyErr_NormalizeException(&type, &exc, &tb);
    if (tb)
        PyException_SetTraceback(exc, tb);
    *result = PyObject_CallMethod(coro, "throw", "O", exc);
    Py_XDECREF(type);
    Py_XDECREF(exc);
    Py_XDECREF(tb);
    if (*result)
        return PYGEN_NEXT;
    if (!PyErr_ExceptionMatches(PyExc_StopIteration))
        return PYGEN_ERROR;
    PyErr_Clear();
    *result = new_ref(Py_None);
    return PYGEN_RETURN;
}

static PySendResult resume(PyObject *coro, PyAwait *a, PyObject **result)
{
    PyObject *arg = NULL;
    if (a && !a->iterated) { /* its generator has yielded it: answer with the result */
        if (a->exc) {
            PyErr_SetObject((PyObject *)Py_TYPE(a->exc), a->exc);
            return throw_in(coro, result);
        }
        arg = await_take(a);
    }
    PySendResult r = PyIter_Send(coro, arg ? arg : Py_None, result);
    Py_XDECREF(arg);
    return r;
}

/* a's operation needs no wait, or has none of its own: go on in the coroutine that has yielded it. */
static PySendResult answer(Goroutine *go, PyAwait *a, enum await_result did, PyObject **result)
{
    if (did == AWAIT_MISUSED) {
        await_misused();
        return throw_in(go->fn, result);
    }
    await_keep(a, did);
    return resume(go->fn, a, result);
}

/* The first step: what it runs may be a function still. Its coroutine is made only here, where it runs at once: one that
 * waits for its turn would be looked at by every collection. */
static bool begin(Goroutine *go)
{
    if (is_coroutine(go->fn))
        return true;
    PyObject *coro = goroutine_call(go);
    if (coro && !is_coroutine(coro)) {
        type_error("fn", "a function that returns a coroutine or generator", coro);
        Py_CLEAR(coro);
    }
    if (coro)
        goroutine_replace(go, coro);
    return coro != NULL;
}

/* While a step runs, its thread's finalizer of async generators is ours, lent without a reference: cores that all counted
 * one object's would wait for each other. The hook has references to spare (core_start). */
static inline PyObject *lend_hook(PyThreadState *ts)
{
    PyObject *had = ts->async_gen_finalizer;
    ts->async_gen_finalizer = hooks.close_asyncgen;
    return had;
}

static inline void take_hook_back(PyThreadState *ts, PyObject *had)
{
    PyObject *now = ts->async_gen_finalizer;
    ts->async_gen_finalizer = had;
    if (unlikely(now != hooks.close_asyncgen)) { /* the step has set another, and dropped ours */
        Py_INCREF(hooks.close_asyncgen);
        Py_XDECREF(now);
    }
}

/* Run go, which has been woken or is new, on worker w until it waits again or ends. */
__attribute__((noinline)) void stackless_step(struct m *mp, PyThreadState *ts, struct worker *w,
                                              Goroutine *go)
{
    struct g *gp = &go->g;
    PyAwait *a = go->awaiting;
    PyObject *yielded;
    if (a) {
        enum await_result did = await_finish(a, gp, (enum wake)gp->wake);
        if (unlikely(did == AWAIT_PARK))
            return;
        await_keep(a, did);
        go->awaiting = NULL;
    }
    worker_takes(mp, w, go);
    PyObject *hook = lend_hook(ts);
    PySendResult r = a || begin(go) ? resume(go->fn, a, &yielded) : PYGEN_ERROR;
    for (;;) {
        Py_XDECREF(a);
        a = NULL;
        if (r != PYGEN_NEXT)
            break;
        if (unlikely(Py_TYPE(yielded) != &Awaitable_Type)) {
            refuse(yielded);
            Py_DECREF(yielded);
            r = throw_in(go->fn, &yielded);
            continue;
        }
        a = (PyAwait *)yielded;
        enum await_result did = a->iterated ? AWAIT_PARK : await_try(a);
        if (did != AWAIT_PARK) {
            r = answer(go, a, did, &yielded);
            continue;
        }
        go->awaiting = a;
        take_hook_back(ts, hook);
        go->context = ts->context;
        ts->context = NULL;
        ts->context_ver++;
        go->worker = NULL;
        gp->waitsince = nanotime_coarse();
        a->wait.sg.g = gp;
        gp->wait = &a->wait;
        goroutine_unbind(mp, gp);
        did = await_begin(a, gp);
        if (likely(did == AWAIT_PARK))
            return; /* gp may be anywhere */
        go->awaiting = NULL;
        worker_takes(mp, w, go);
        hook = lend_hook(ts);
        r = answer(go, a, did, &yielded);
    }
    take_hook_back(ts, hook);
    goroutine_finish(mp, go, r == PYGEN_RETURN ? yielded : NULL);
}
