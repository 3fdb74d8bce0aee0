/* pyop.h: an operation that may wait, written once, whoever waits.
 *
 * A kind of operation (struct op_kind) supplies
 *   begin(op, gp)      do it if that can be done at once; else queue gp, and say OP_PARK. gp NULL: only try, OP_PARK says
 *                      that it would have to wait. OP_YIELD: gp is to go on behind the others, by finish with WAKE_OP.
 *   finish(op, gp, w)  gp's wait has ended with w; the answers are those of begin. OP_PARK: gp is queued again.
 *                      WAKE_CANCEL: only leave the queue, and say OP_RAISED, or OP_PARK if it cannot leave yet.
 *   undo(op)           nobody takes op->value, the result of an operation that is done. NULL: there is nothing to undo.
 *   orphan(op)         instead of undo, if whoever waited is neither resumed nor closed any more. NULL: as undo.
 *   clear(op)          an awaitable of the kind ends: drop what the kind's own members hold. NULL: they hold nothing.
 *   traverse           for the collector, likewise.
 *
 * op->value is what is to be sent until begin moves it, and the result after OP_DONE. After OP_RAISED an exception is
 * set, unless whoever waited has left, or a loop over a channel ends; the driver drops what is left in op->value.
 *
 * Three drivers run operations:
 *   parking    (pyop.c)         a stackful goroutine, a plain thread, or a stackless one within a step: op_run
 *   stepping   (pystackless.c)  a stackless goroutine that awaits or yields an awaitable (pyawait.c)
 *   asyncio    (pyasyncio.c)    a task of an asyncio loop that awaits one
 * The driver sees to the deadline. A kind may change op->deadline in begin and finish, for the wait that they begin.
 * No other thread runs gp before the driver lets go of it, so begin and finish may touch op and gp after they have
 * queued gp. */
#ifndef GOPY_PYOP_H
#define GOPY_PYOP_H

#include "pyargs.h"

enum op_result { OP_DONE, OP_PARK, OP_YIELD, OP_RAISED };

/* Does whoever waits still want the result? LEAVES: no, and goes on with an exception. ORPHANED: no, and never goes
 * on. */
enum leaving { STAYS, LEAVES, ORPHANED };

struct op {
    const struct op_kind *kind;
    PyObject *obj;    /* the channel, the lock, ...; the driver keeps it alive */
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
    /* What finish takes cannot be given back, so an asyncio task calls finish only as it goes on. */
    bool late;
};

struct g *getg_or_raise(void);   /* a preempt_point(), too */
PyObject *op_run(struct op *op); /* the result, or NULL: raised */
/* The rest of op_run, after a begin that said `did`. */
PyObject *op_wait(struct op *op, struct g *gp, enum op_result did);
enum op_result op_none(struct op *op); /* OP_DONE with the result None */
enum op_result op_failed(enum wake w); /* OP_RAISED: the wait ended with w, and with nothing */

/* The struct `type` whose first member is the operation `op`. */
#define OP_OF(type, op) ((type *)(void *)(op))

#endif
