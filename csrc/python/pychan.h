/* pychan.h: channels, as objects: pychan.c has the types, pychanop.c the operations. */
#ifndef GOPY_PYCHAN_H
#define GOPY_PYCHAN_H

#include "pyobject.h"

/* A channel, or a view of one from one side. */
typedef struct pychan {
    PyObject_HEAD
    struct hchan *c;      /* NULL: the nil channel */
    struct pychan *owner; /* of a view: the channel, referred to; else itself, borrowed */
    PyObject *zero;
    PyObject *weakrefs;
    struct hchan own;
} PyChan;

extern PyTypeObject ChanBase_Type, SendChan_Type, RecvChan_Type, Chan_Type, ChanIter_Type;

PyObject *chan_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_recv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_next(PyObject *ch);
PyObject *chan_asend(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_arecv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_arecv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_anext(PyObject *ch);

PyObject *time_received(struct hchan *c, void *elem); /* what a timer has sent, as a float, or NULL: raised */
void chan_give_back(struct hchan *c, PyObject *value); /* for an undo: value was received from c; steals it */

/* The object that was received from c as elem; takes over its reference. NULL: raised. */
static inline PyObject *received(struct hchan *c, void *elem)
{
    return likely(!chan_timed(c)) ? (PyObject *)elem : time_received(c, elem);
}

#endif
