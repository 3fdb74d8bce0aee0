/* pystackless.c: stackless goroutines: a generator or coroutine, run step by step.
 *
 * A step runs in place on a worker, like a stackful goroutine, and during it the goroutine is bound to its M: it may
 * block like any other, and then keeps the worker until the step ends. What it yields must be one of our awaitables.
 * Its wait is begun here, after the coroutine is suspended and while the goroutine is still bound: whoever wakes it
 * meanwhile leaves it to this M. Letting go of it (goroutine_unbind) is the last thing that this thread does with it,
 * since from then on the next step may run on another thread. */
#include "pystackless.h"

#include "pycall.h"
#include "pycoroutine.h"
#include "pyerror.h"
#include "pyworker.h"

/* The first step of go: if it runs a function still, make the coroutine. It is not made any earlier, as every
 * collection would look at a coroutine that waits for its turn. */
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

/* While a step runs, its thread state has our finalizer of async generators, hooks.close_asyncgen. The thread state is
 * lent the hook without a reference: cores that all count the references to one object wait for each other. core_start
 * has given the hook references to spare. */
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
    /* The step has set another hook, and so dropped a reference to ours. */
    if (unlikely(now != hooks.close_asyncgen)) {
        Py_INCREF(hooks.close_asyncgen);
        Py_XDECREF(now);
    }
}

/* The wait that gp has begun for a ends before gp is let go of: *did is what finish says to that. false: somebody has woken
 * gp meanwhile, or it waits again. */
static bool cancelled(struct g *gp, PyAwait *a, enum wake w, enum op_result *did)
{
    if (!wait_claim(gp))
        return false;
    timer_del(&gp->wait->timer);
    *did = await_finish(a, gp, w);
    return *did != OP_PARK;
}

/* gp, which runs nothing and is bound to mp, waits for a: a begin or finish has just said *did. Let go of gp. false:
 * the deadline cannot be watched, for want of memory, or gp is to end, so the wait has ended, and *did is what finish has
 * said to that. */
static inline bool waits(struct m *mp, struct g *gp, PyAwait *a, enum op_result *did)
{
    bool yields = *did == OP_YIELD, timed = !yields && a->op->deadline != NEVER;
    if (unlikely(timed) && !gowait_arm(gp, a->op->deadline) && cancelled(gp, a, WAKE_NOMEM, did))
        return false;
    if (unlikely(gp->bubble != NULL) && !yields) {
        if (bubble_cancels(gp->bubble, gp) && cancelled(gp, a, WAKE_GOEXIT, did))
            return false;
        bubble_park(gp->bubble, gp);
    }
    goroutine_unbind(mp, gp);
    if (unlikely(yields))
        gosched_begin(gp);
    return true; /* gp may be anywhere */
}

/* gp has been woken. */
static enum op_result woken(struct m *mp, struct g *gp, PyAwait *a)
{
    if (unlikely(a->op->deadline != NEVER))
        timer_del(&gp->wait->timer);
    goroutine_bind(mp, gp);
    wait_counts(gp);
    return await_finish(a, gp, (enum wake)gp->wake);
}

/* go, whose coroutine is suspended, is about to wait for a: from here on no frame of it is on this thread. */
static void suspend(struct m *mp, PyThreadState *ts, Goroutine *go, PyAwait *a, PyObject *hook)
{
    struct g *gp = &go->g;
    take_hook_back(ts, hook);
    go->args = locals_pack(ts);
    go->awaiting = a;
    go->context = ts->context;
    ts->context = NULL;
    ts->context_ver++;
    go->worker = NULL;
    wait_since(gp);
    a->wait.sg.g = gp;
    gp->wait = &a->wait;
    mp->curg = NULL;
}

/* From here go runs on w. */
static void takes(struct m *mp, PyThreadState *ts, struct worker *w, Goroutine *go)
{
    /* Somebody may be looking at the frames of a suspended coroutine, between freeze_switches() and thaw_switches(). */
    switch_begins(mp->host);
    worker_takes(mp, w, go);
    switch_ended(mp->host);
    take_context(ts, go);
    if (unlikely(go->args != NULL) && is_coroutine(go->fn)) { /* else it is new, and those are arguments */
        PyObject *locals = go->args;
        go->args = NULL;
        locals_unpack(ts, locals);
    }
}

/* Run go, which has been woken or is new, on worker w until it waits again or ends. */
__attribute__((noinline)) void stackless_step(struct m *mp, PyThreadState *ts, struct worker *w,
                                              Goroutine *go)
{
    struct g *gp = &go->g;
    PyAwait *a = go->awaiting;
    PyObject *yielded;
    enum op_result did;
    if (a) {
        did = woken(mp, gp, a);
        if (unlikely(did == OP_PARK) && waits(mp, gp, a, &did))
            return;
        await_keep(a, did);
        go->awaiting = NULL;
    }
    takes(mp, ts, w, go);
    PyObject *hook = lend_hook(ts);
    PySendResult r = a || begin(go) ? coroutine_resume(go->fn, a, &yielded) : PYGEN_ERROR;
    for (;;) {
        Py_XDECREF(a);
        a = NULL;
        if (r != PYGEN_NEXT)
            break;
        if (unlikely((a = coroutine_yielded(yielded, &did)) == NULL)) {
            r = coroutine_throw(go->fn, &yielded);
            continue;
        }
        if (did == OP_PARK) {
            suspend(mp, ts, go, a, hook);
            did = await_begin(a, gp);
            if (likely(did == OP_PARK || did == OP_YIELD) && likely(waits(mp, gp, a, &did)))
                return;
            go->awaiting = NULL;
            takes(mp, ts, w, go);
            hook = lend_hook(ts);
        }
        await_keep(a, did);
        r = coroutine_resume(go->fn, a, &yielded);
    }
    take_hook_back(ts, hook);
    goroutine_finish(mp, go, r == PYGEN_RETURN ? yielded : NULL);
}
