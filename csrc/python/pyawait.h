/* pyawait.h: the awaitable of an operation on its way: pyawait.c, and pyasyncio.c, which see each other. */
#ifndef GOPY_PYAWAIT_H
#define GOPY_PYAWAIT_H

#include "pyop.h"

/* An awaitable, see pyawait.c. */
enum await_state { AWAIT_NEW, AWAIT_YIELDED, AWAIT_WAITING, AWAIT_WOKEN, AWAIT_READY, AWAIT_USED };

typedef struct pyawait {
    PyObject_HEAD
    struct op *op;     /* `small`, or memory of its own for a kind that has more to keep */
    PyObject *exc;     /* READY: what its coroutine is resumed with, or NULL: with op->value */
    PyObject *leaving; /* the CancelledError of a task that is to be cancelled as soon as can be; None: its
                              coroutine goes on no more */
    struct taskwait *task; /* of a task that waits, or has waited; see pyasyncio.c */
    uint8_t state;         /* enum await_state */
    bool iterated;         /* yielded by itself, not by a generator: it is resumed, not its generator */
    bool blocking;         /* asyncio's _asyncio_future_blocking */
    bool cancelled;        /* asyncio's cancel() has ended the wait */
    struct op small;
    struct gwait wait; /* of the stackless goroutine that awaits it */
} PyAwait;

/* Nobody resumes it: what it gets is for others. */
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
