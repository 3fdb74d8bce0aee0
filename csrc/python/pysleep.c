/* pysleep.c: sleeping and yielding. */
#include "pysleep.h"

#include "pyawait.h"

/* ---- sleep: a wait that its deadline ends ---- */

static enum op_result sleep_begin(struct op *op, struct g *gp)
{
    if (op->deadline == DEADLINE_PAST)
        return op_none(op);
    if (gp)
        wait_begin(gp, WAIT_SLEEP | durably_alone(gp));
    return OP_PARK;
}

static enum op_result sleep_finish(struct op *op, struct g *gp, enum wake w)
{
    (void)gp;
    return w == WAKE_TIMEOUT ? op_none(op) : op_failed(w);
}

static const struct op_kind sleep_kind = {.name = "asleep", .begin = sleep_begin, .finish = sleep_finish};

static PyObject *core_sleep(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t ns;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    struct op op = {.kind = &sleep_kind, .deadline = deadline_after(ns)};
    return op_run(&op);
}

static PyObject *core_asleep(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t ns;
    if (parse_duration(seconds, "seconds", &ns) < 0)
        return NULL;
    return (PyObject *)await_new(&sleep_kind, NULL, NULL, deadline_after(ns));
}

/* ---- gosched ---- */

static enum op_result gosched_op_begin(struct op *op, struct g *gp)
{
    (void)op;
    return gp ? OP_YIELD : OP_PARK;
}

static enum op_result gosched_op_finish(struct op *op, struct g *gp, enum wake w)
{
    (void)w;
    return unlikely(gp == sched.g1) && host_interrupt_pending() ? op_failed(WAKE_INTERRUPT) : op_none(op);
}

static const struct op_kind gosched_kind = {
    .name = "agosched", .begin = gosched_op_begin, .finish = gosched_op_finish};

static PyObject *core_gosched(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct op op = {.kind = &gosched_kind, .deadline = NEVER};
    return op_run(&op);
}

static PyObject *core_agosched(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return (PyObject *)await_new(&gosched_kind, NULL, NULL, NEVER);
}

PyMethodDef sleep_functions[] = {
    {"sleep", core_sleep, METH_O,
     "sleep($module, seconds, /)\n--\n\n"
     "Park this goroutine for at least so many seconds. Zero and less: return at once.\n\nTypeError unless a number, ValueError for nan."},
    {"asleep", core_asleep, METH_O,
     "asleep($module, seconds, /)\n--\n\n"
     "An awaitable: sleep() for `async def` and generator goroutines, and asyncio. The time counts from this call."},
    {"gosched", core_gosched, METH_NOARGS,
     "gosched($module, /)\n--\n\nLet others run; this goroutine stays runnable and goes behind them."},
    {"agosched", core_agosched, METH_NOARGS,
     "agosched($module, /)\n--\n\nAn awaitable: gosched() for `async def` and generator goroutines, and asyncio."},
    {0},
};
