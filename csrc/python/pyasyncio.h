/* pyasyncio.h: an awaitable as an asyncio task sees it. */
#ifndef GOPY_PYASYNCIO_H
#define GOPY_PYASYNCIO_H

#include "pyawait.h"

extern PyTypeObject LoopQueue_Type;

void taskwait_free(struct taskwait *tw);
int taskwait_traverse(struct taskwait *tw, visitproc visit, void *arg);
void taskwait_clear(struct taskwait *tw);
bool taskwait_end(PyAwait *a);
enum op_result taskwait_finish(PyAwait *a);
struct g *value_keeper(void);         /* a G to keep a value with (chanunrecv); NULL: out of memory */
void value_keeper_free(struct g *gp); /* gp keeps no value */
bool await_leave(PyAwait *a);         /* end the wait of a's task; false: not yet, or there is none */
PyObject *await_get_loop(PyObject *self, PyObject *noargs);
PyObject *await_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *await_cancel(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *await_result_method(PyObject *self, PyObject *noargs);
PyObject *await_done(PyObject *self, PyObject *noargs);
PyObject *await_cancelled(PyObject *self, PyObject *noargs);
PyObject *await_expire(PyObject *self, PyObject *noargs);
PyObject *await_get_blocking(PyObject *self, void *closure);
int await_set_blocking(PyObject *self, PyObject *value, void *closure);

#endif
