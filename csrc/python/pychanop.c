/* pychanop.c: sending to a channel and receiving from it, as operations (pyop.h), and the methods that run them.
 *
 * The values are the runtime's elems: a strong reference, which moves with the elem (runtime/chan.h). While a sender is
 * queued its value is in its sudog; otherwise in op->value. */
#include "pychan.h"

#include "pyasyncio.h"
#include "pyerror.h"

static struct hchan *hchan_of(struct op *op) { return ((PyChan *)op->obj)->c; }

/* On a nil channel nothing is ever sent or received: only a deadline, an interrupt or a cancellation ends the wait. */
static enum op_result wait_on_nil(struct g *gp, uint8_t reason)
{
    if (gp)
        wait_begin(gp, reason | durably_alone(gp));
    return OP_PARK;
}

PyObject *time_received(struct hchan *c, void *elem) { return PyFloat_FromDouble(timechan_value(c, elem)); }

void chan_give_back(struct hchan *c, PyObject *value)
{
    struct g *keeper = chan_timed(c) ? NULL : value_keeper();
    if (chan_timed(c))
        timechan_unrecv((struct timechan *)c, PyFloat_AS_DOUBLE(value));
    else if (keeper && chanunrecv(c, keeper, value))
        return;
    else if (keeper)
        value = NULL;  /* in the buffer, or with another receiver */
    Py_XDECREF(value); /* also if there is no memory: then it is lost with its receiver */
    value_keeper_free(keeper);
}

/* ---- sending ---- */

static enum op_result sent(struct op *op, enum chan_result r)
{
    if (likely(r == CHAN_OK))
        return op_none(op);
    if (r == CHAN_BUBBLE)
        PyErr_SetString(hooks.Panic, "send on synctest channel from outside bubble");
    else
        PyErr_SetString(hooks.ClosedChannelError, "send on closed channel");
    return OP_RAISED;
}

static enum op_result send_begin(struct op *op, struct g *gp)
{
    struct hchan *c = hchan_of(op);
    if (unlikely(c == NULL))
        return wait_on_nil(gp, WAIT_CHAN_SEND_NIL);
    enum chan_result r = chansend_begin(c, gp, op->value);
    if (r == CHAN_BLOCK || r == CHAN_PARK) {
        if (r == CHAN_PARK)
            op->value = NULL;
        return OP_PARK;
    }
    return sent(op, r);
}

static enum op_result send_finish(struct op *op, struct g *gp, enum wake w)
{
    struct hchan *c = hchan_of(op);
    if (unlikely(c == NULL))
        return op_failed(w);
    enum chan_result r = chansend_finish(c, gp, w);
    PyObject *value = gp->wait->sg.elem;
    gp->wait->sg.elem = NULL;
    if (likely(r == CHAN_OK))
        return op_none(op);
    op->value = value;
    return r == CHAN_CLOSED ? sent(op, r) : op_failed(w);
}

static const struct op_kind send_kind = {.name = "asend", .begin = send_begin, .finish = send_finish};

/* ---- receiving ---- */

static enum op_result recv_begin(struct op *op, struct g *gp);
static enum op_result recv_finish(struct op *op, struct g *gp, enum wake w);
static void recv_undo(struct op *op);

static const struct op_kind recv_kind = {"arecv", recv_begin, recv_finish, recv_undo};
static const struct op_kind recv_ok_kind = {"arecv_ok", recv_begin, recv_finish, recv_undo};
static const struct op_kind next_kind = {"next", recv_begin, recv_finish, recv_undo};
static const struct op_kind anext_kind = {"async for", recv_begin, recv_finish, recv_undo};

static void recv_undo(struct op *op)
{
    if (!op->ok) /* of a closed channel there is nothing to give back */
        return;
    PyObject *value = op->value;
    op->value = NULL;
    if (op->kind == &recv_ok_kind) {
        PyObject *pair = value;
        value = new_ref(PyTuple_GET_ITEM(pair, 0));
        Py_DECREF(pair);
    }
    chan_give_back(hchan_of(op), value);
}

static enum op_result received_pair(struct op *op, PyObject *value) /* steals value */
{
    op->value = PyTuple_Pack(2, value, op->ok ? Py_True : Py_False);
    Py_DECREF(value);
    return op->value ? OP_DONE : OP_RAISED;
}

/* What a closed and drained channel gives differs: its zero, (zero, False), or the end of a loop. */
static enum op_result received_nothing(struct op *op)
{
    PyObject *zero = ((PyChan *)op->obj)->owner->zero;
    if (op->kind == &next_kind)
        return OP_RAISED; /* without an exception: so ends a loop */
    if (op->kind == &anext_kind) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return OP_RAISED;
    }
    if (op->kind == &recv_ok_kind)
        return received_pair(op, new_ref(zero));
    op->value = new_ref(zero);
    return OP_DONE;
}

static inline enum op_result recv_result(struct op *op, enum chan_result r, void *elem)
{
    if (unlikely(r == CHAN_CLOSED))
        return received_nothing(op);
    PyObject *value = received(hchan_of(op), elem);
    if (unlikely(value == NULL))
        return OP_RAISED;
    op->ok = true;
    if (op->kind == &recv_ok_kind)
        return received_pair(op, value);
    op->value = value;
    return OP_DONE;
}

/* A begin has said r, which is not that it waits. */
static enum op_result began(struct op *op, enum chan_result r, void *elem)
{
    if (likely(r != CHAN_NOMEM && r != CHAN_BUBBLE))
        return recv_result(op, r, elem);
    if (r == CHAN_NOMEM)
        return op_failed(WAKE_NOMEM);
    PyErr_SetString(hooks.Panic, "receive on synctest channel from outside bubble");
    return OP_RAISED;
}

static enum op_result recv_begin(struct op *op, struct g *gp)
{
    struct hchan *c = hchan_of(op);
    void *elem = NULL;
    if (unlikely(c == NULL))
        return wait_on_nil(gp, WAIT_CHAN_RECEIVE_NIL);
    enum chan_result r = chanrecv_begin(c, gp, &elem);
    if (r == CHAN_BLOCK || r == CHAN_PARK)
        return OP_PARK;
    return began(op, r, elem);
}

static enum op_result recv_finish(struct op *op, struct g *gp, enum wake w)
{
    struct hchan *c = hchan_of(op);
    void *elem = NULL;
    if (unlikely(c == NULL))
        return op_failed(w);
    enum chan_result r = chanrecv_finish(c, gp, w, &elem);
    return r == CHAN_OK || r == CHAN_CLOSED ? recv_result(op, r, elem) : op_failed(w);
}

/* ---- the methods ----
 *
 * A call that has nothing else to look at (may_try) tries the channel first, without an operation: through op_run a buffered
 * pair would take a third longer. What needs no other goroutine is done in the method itself, which calls nothing
 * but at its end, and so saves no registers. */

static inline bool may_try(PyChan *ch) { return likely(ch->c && !real_peek(&sched.attention)); }

/* The G that a try may queue; NULL: it must not queue any. */
static inline struct g *may_queue(int64_t deadline)
{
    struct m *mp = getm();
    return likely(mp && deadline != DEADLINE_PAST) ? mp->curg : NULL;
}

/* Steals value. */
__attribute__((noinline)) static PyObject *send_slowly(PyObject *self, PyObject *value, int64_t deadline)
{
    PyChan *ch = (PyChan *)self;
    struct op op = {.kind = &send_kind, .obj = self, .value = value, .deadline = deadline};
    struct g *gp = may_queue(deadline);
    enum chan_result r = may_try(ch) ? chansend_begin(ch->c, gp, value) : CHAN_BLOCK;
    if (r == CHAN_BLOCK)
        return op_run(&op);
    if (r == CHAN_PARK) {
        op.value = NULL;
        return op_wait(&op, gp, OP_PARK);
    }
    return op_wait(&op, gp, sent(&op, r));
}

__attribute__((noinline)) static PyObject *send_parsed(PyObject *self, PyObject *const *args,
                                                       Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (parse_timeout_kw(args, nargs, 1, kwnames, "send", &deadline) < 0)
        return NULL;
    return send_slowly(self, new_ref(args[0]), deadline);
}

PyObject *chan_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyChan *ch = (PyChan *)self;
    if (unlikely(nargs != 1 || kwnames))
        return send_parsed(self, args, nargs, kwnames);
    PyObject *value = new_ref(args[0]);
    if (may_try(ch) && likely(chan_put(ch->c, value)))
        Py_RETURN_NONE;
    return send_slowly(self, value, NEVER);
}

/* A receive of some kind. */
__attribute__((noinline)) static PyObject *recv_slowly(const struct op_kind *kind, PyObject *self,
                                                       int64_t deadline)
{
    PyChan *ch = (PyChan *)self;
    struct op op = {.kind = kind, .obj = self, .deadline = deadline};
    void *elem = NULL;
    struct g *gp = may_queue(deadline);
    enum chan_result r = may_try(ch) ? chanrecv_begin(ch->c, gp, &elem) : CHAN_BLOCK;
    if (r == CHAN_BLOCK)
        return op_run(&op);
    if (r == CHAN_PARK)
        return op_wait(&op, gp, OP_PARK);
    return op_wait(&op, gp, began(&op, r, elem));
}

__attribute__((noinline)) static PyObject *recv_parsed(const struct op_kind *kind, PyObject *self,
                                                       PyObject *const *args, Py_ssize_t nargs,
                                                       PyObject *kwnames)
{
    int64_t deadline = NEVER;
    const char *name = kind == &recv_kind ? "recv" : "recv_ok";
    if (parse_timeout_kw(args, nargs, 0, kwnames, name, &deadline) < 0)
        return NULL;
    return recv_slowly(kind, self, deadline);
}

static inline PyObject *receive(const struct op_kind *kind, PyObject *self)
{
    PyChan *ch = (PyChan *)self;
    void *elem = may_try(ch) ? chan_take(ch->c) : NULL;
    return likely(elem != NULL) ? (PyObject *)elem : recv_slowly(kind, self, NEVER);
}

PyObject *chan_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (unlikely(nargs != 0 || kwnames))
        return recv_parsed(&recv_kind, self, args, nargs, kwnames);
    return receive(&recv_kind, self);
}

PyObject *chan_recv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (unlikely(nargs != 0 || kwnames))
        return recv_parsed(&recv_ok_kind, self, args, nargs, kwnames);
    return recv_slowly(&recv_ok_kind, self, NEVER);
}

/* NULL without an exception: closed and drained. */
PyObject *chan_next(PyObject *ch) { return receive(&next_kind, ch); }

PyObject *chan_asend(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (unlikely(nargs != 1 || kwnames) && parse_timeout_kw(args, nargs, 1, kwnames, "asend", &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(&send_kind, self, args[0], deadline);
}

PyObject *chan_arecv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) && parse_timeout_kw(args, nargs, 0, kwnames, "arecv", &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(&recv_kind, self, NULL, deadline);
}

PyObject *chan_arecv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (unlikely(nargs != 0 || kwnames) &&
        parse_timeout_kw(args, nargs, 0, kwnames, "arecv_ok", &deadline) < 0)
        return NULL;
    return (PyObject *)await_new(&recv_ok_kind, self, NULL, deadline);
}

/* `async for v in ch`: the iterator is the channel's ChanIter, which only refers to it. */
PyObject *chan_anext(PyObject *ch) { return (PyObject *)await_new(&anext_kind, ch, NULL, NEVER); }
