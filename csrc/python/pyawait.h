/* pyawait.h: the awaitable of an operation on its way: pyawait.c, and pyasyncio.c, which see each other. */
#ifndef GOPY_PYAWAIT_H
#define GOPY_PYAWAIT_H

#include "pyop.h"

/* An awaitable, see pyawait.c. */
enum await_state { AWAIT_NEW, AWAIT_YIELDED, AWAIT_WAITING, AWAIT_WOKEN, AWAIT_READY, AWAIT_USED };

typedef struct pyawait {
    PyObject_HEAD
    /* The operation: `small`, or memory of its own for a kind that has a struct of its own. */
    struct op *op;
    /* The exception that the coroutine is resumed with, once the operation is over. NULL: it is resumed with
     * op->value. */
    PyObject *exc;
    /* NULL while the result is wanted. The CancelledError of a task that is to be cancelled as soon as its wait can
     * end. None if the coroutine never goes on. */
    PyObject *leaving;
    /* What stands for the asyncio task that waits, or has waited (pyasyncio.c). NULL: no task has. */
    struct taskwait *task;
    uint8_t state; /* enum await_state */
    /* The awaitable has yielded itself, so it is resumed. If a generator has yielded it, the generator is resumed with
     * the result. */
    bool iterated;
    bool blocking;  /* asyncio's _asyncio_future_blocking */
    bool cancelled; /* its task has left the wait before the operation was done */
    uint32_t site;  /* while a trace is recorded: where it was made, see pytrace.c */
    struct op small;
    struct gwait wait; /* what the stackless goroutine that awaits it waits with */
} PyAwait;

/* The coroutine never goes on: what the operation gets is for others. */
static inline bool await_orphaned(PyAwait *a) { return a->leaving == Py_None; }

extern PyTypeObject Awaitable_Type;

PyAwait *await_new(const struct op_kind *kind, PyObject *obj, PyObject *value, int64_t deadline);
bool await_try(PyAwait *a, enum op_result *did);
bool await_claim(PyAwait *a);
enum op_result await_begin(PyAwait *a, struct g *gp);
enum op_result await_finish(PyAwait *a, struct g *gp, enum wake w);
void await_keep(PyAwait *a, enum op_result did);
PyObject *await_take(PyAwait *a);
void await_leaves(PyAwait *a, PyObject *exc);
void await_give_up(PyAwait *a);
void await_misused(void);

#endif
