/* pyop.h: an operation that may wait, written once, whoever waits.
 *
 * A kind of operation (struct op_kind) supplies
 *   begin(op, gp)      do it if that can be done at once; else queue gp, and say OP_PARK. gp NULL: only try, OP_PARK says
 *                      that it would have to wait. OP_YIELD: gp is to go on behind the others, by finish with WAKE_OP.
 *   finish(op, gp, w)  gp's wait has ended with w: the same answers. OP_PARK: gp is queued again. WAKE_CANCEL: only
 *                      leave the queue, and say OP_RAISED, or OP_PARK if it cannot leave yet.
 *   undo(op)           it is done with op->value as its result, which nobody takes. NULL: there is nothing to undo.
 *   orphan(op)         instead of undo, if whoever waited is neither resumed nor closed any more. NULL: as undo.
 *   clear(op)          drop what the kind's own members hold. NULL: they hold nothing.
 *   traverse           for the collector, likewise.
 *
 * op->value is what is to be sent until begin moves it, and the result after OP_DONE. After OP_RAISED an exception is
 * set, unless whoever waited has left; the driver drops what is left in op->value.
 *
 * Three drivers run operations:
 *   parking    (pyop.c)         a stackful goroutine, a plain thread, or a stackless one within a step: op_run
 *   stepping   (pystackless.c)  a stackless goroutine that awaits or yields an awaitable (pyawait.c)
 *   asyncio    (pyasyncio.c)    a task of an asyncio loop that awaits one
 * The driver sees to the deadline. A kind may change op->deadline in begin and finish, for the wait that they begin.
 * While gp is queued no other thread runs it before the driver lets go of it, so begin and finish may touch op and gp
 * after they have queued it. */
#ifndef GOPY_PYOP_H
#define GOPY_PYOP_H

#include "pyargs.h"

enum op_result { OP_DONE, OP_PARK, OP_YIELD, OP_RAISED };

/* Whoever waits does not want it any more, and goes on with an exception, or never. */
enum leaving { STAYS, LEAVES, ORPHANED };

struct op {
    const struct op_kind *kind;
    PyObject *obj;    /* the channel, the lock, ...; the driver sees to it that it lives */
    PyObject *value;  /* see above */
    int64_t deadline; /* when the wait ends with WAKE_TIMEOUT; NEVER; DEADLINE_PAST: only try */
    bool ok;          /* of a receive: the value came through the channel */
    uint8_t leaving;  /* enum leaving; finish then takes nothing that undo could not give back */
};

struct op_kind {
    const char *name; /* of the awaitable's call */
    enum op_result (*begin)(struct op *op, struct g *gp);
    enum op_result (*finish)(struct op *op, struct g *gp, enum wake w);
    void (*undo)(struct op *op);
    void (*orphan)(struct op *op);
    void (*clear)(struct op *op);
    int (*traverse)(struct op *op, visitproc visit, void *arg);
    size_t size; /* of the kind's own struct, which begins with a struct op; 0: it has none */
    bool late;   /* in an asyncio task, finish only as the task goes on: what it takes cannot be given back */
};

struct g *getg_or_raise(void);   /* a preempt_point(), too */
PyObject *op_run(struct op *op); /* the result, or NULL: raised */
PyObject *op_wait(struct op *op, struct g *gp,
                  enum op_result did); /* op_run, after a begin that said `did` */
enum op_result op_none(struct op *op); /* OP_DONE with the result None */
enum op_result op_failed(enum wake w); /* OP_RAISED: the wait ended with w, and with nothing */

/* The operation `op` of struct type, which begins with it. */
#define OP_OF(type, op) ((type *)(void *)(op))

#endif
