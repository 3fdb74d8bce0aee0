/* pyop.c: the driver that parks where it stands, and what all operations share. See pyop.h. */
#include "pyop.h"

#include "pyattach.h"
#include "pyerror.h"
#include "pypanic.h"

struct g *getg_or_raise(void)
{
    preempt_point();
    struct g *gp = calling_g();
    if (unlikely(gp == NULL) && !PyErr_Occurred()) {
        if (getm() && getm()->curg == NULL)
            PyErr_SetString(PyExc_RuntimeError, "gopy: blocking call from inside the scheduler");
        else
            PyErr_NoMemory();
    }
    if (unlikely(real_load(&sched.exiting)) && gp) {
        if (gp->kind != GFOREIGN && gp->boundm != &sched.m0)
            stop_for_good(); /* it ends with the program, without a panic */
        PyErr_SetString(PyExc_RuntimeError, "gopy: blocking call after the main goroutine has ended");
        return NULL;
    }
    return gp;
}

/* gp goes behind the others. */
static void yield(struct g *gp)
{
    /* A plain thread is not ours to schedule: let the other threads run. */
    if (gp->kind == GFOREIGN)
        host_enter(host_leave());
    else
        gosched(gp->boundm, gp);
}

enum op_result op_none(struct op *op)
{
    op->value = new_ref(Py_None);
    return OP_DONE;
}

enum op_result op_failed(enum wake w)
{
    if (w == WAKE_TIMEOUT)
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    else if (w == WAKE_INTERRUPT)
        raise_main_exception();
    else if (w == WAKE_GOEXIT)
        PyErr_SetNone(hooks.Goexit);
    else if (w != WAKE_CANCEL)
        PyErr_NoMemory();
    return OP_RAISED;
}

/* op has just said `did`: go on with it to its end. */
static inline PyObject *finish(struct op *op, struct g *gp, enum op_result did)
{
    while (did != OP_DONE)
        if (likely(did == OP_PARK)) {
            gp->wait->obj = op->obj;
            did = op->kind->finish(op, gp, gowait(gp, op->deadline));
        } else if (did == OP_YIELD) {
            yield(gp);
            did = op->kind->finish(op, gp, WAKE_OP);
        } else {
            Py_CLEAR(op->value);
            return NULL;
        }
    return op->value;
}

PyObject *op_wait(struct op *op, struct g *gp, enum op_result did) { return finish(op, gp, did); }

/* A caller that has no goroutine to park, or must not park, may still do what needs no wait. */
static PyObject *try_first(struct op *op)
{
    enum op_result did = op->kind->begin(op, NULL);
    if (did != OP_PARK)
        return op_wait(op, NULL, did);
    struct g *gp = NULL;
    if (op->deadline == DEADLINE_PAST)
        op_failed(WAKE_TIMEOUT);
    else if ((gp = getg_or_raise()) != NULL)
        return op_wait(op, gp, op->kind->begin(op, gp));
    Py_CLEAR(op->value);
    return NULL;
}

PyObject *op_run(struct op *op)
{
    preempt_point();
    struct m *mp = getm();
    if (likely(mp && mp->curg && op->deadline != DEADLINE_PAST && !real_peek(&sched.attention)))
        return finish(op, mp->curg, op->kind->begin(op, mp->curg));
    return try_first(op);
}
