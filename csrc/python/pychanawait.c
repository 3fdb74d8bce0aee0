/* pychanawait.c: the awaitables of channels, select, sleep, gosched and join: each an operation of the runtime in the
 * form that pyawait.c asks for. */
#include "pygopy.h"

/* ---- channels ---- */

static enum await_result send_result(PyAwait *a, enum chan_result r, PyObject *value, enum wake w)
{
    if (likely(r == CHAN_OK)) {
        a->value = new_ref(Py_None);
        return AWAIT_DONE;
    }
    Py_DECREF(value);
    if (r != CHAN_CLOSED)
        return await_failed(w);
    PyErr_SetString(hooks.ClosedChannelError, "send on closed channel");
    return AWAIT_RAISED;
}

static enum await_result send_begin(PyAwait *a, struct g *gp)
{
    struct hchan *c = ((PyChan *)a->obj)->c;
    PyObject *value = a->value;
    if (c == NULL) {
        if (gp)
            wait_begin(gp, WAIT_CHAN_SEND_NIL);
        return AWAIT_PARK;
    }
    a->value = NULL; /* the channel's, or the sudog's */
    enum chan_result r = chansend_begin(c, gp, value);
    if (r == CHAN_PARK)
        return AWAIT_PARK;
    if (r == CHAN_BLOCK) {
        a->value = value;
        return AWAIT_PARK;
    }
    return send_result(a, r, value, WAKE_OP);
}

static enum await_result send_finish(PyAwait *a, struct g *gp, enum wake w)
{
    struct hchan *c = ((PyChan *)a->obj)->c;
    if (c == NULL)
        return await_failed(w);
    enum chan_result r = chansend_finish(c, gp, w);
    PyObject *value = gp->wait->sg.elem;
    gp->wait->sg.elem = NULL;
    return send_result(a, r, value, w);
}

static const struct await_ops send_await = {"asend", send_begin, send_finish};

static void recv_undo(PyAwait *a) { await_give_back(a, ((PyChan *)a->obj)->c); }

static enum await_result recv_begin(PyAwait *a, struct g *gp);
static enum await_result recv_finish(PyAwait *a, struct g *gp, enum wake w);

static const struct await_ops recv_await = {"arecv", recv_begin, recv_finish, recv_undo};
static const struct await_ops anext_await = {"async for", recv_begin, recv_finish, recv_undo};

/* recv_ok: like arecv, with a pair as its result. It is made when the awaitable is resumed, so that what it holds
 * until then is the value alone, to be given back if need be. */
static void recv_ok_undo(PyAwait *a)
{
    PyObject *pair = a->value;
    if (pair && PyTuple_GET_ITEM(pair, 1) == Py_True) {
        a->value = new_ref(PyTuple_GET_ITEM(pair, 0));
        Py_DECREF(pair);
        recv_undo(a);
    }
}

static const struct await_ops recv_ok_await = {"arecv_ok", recv_begin, recv_finish, recv_ok_undo};

static enum await_result recv_result(PyAwait *a, enum chan_result r, PyObject *value, enum wake w)
{
    if (unlikely(r > CHAN_CLOSED))
        return await_failed(w);
    if (r == CHAN_CLOSED) {
        if (a->ops == &anext_await) {
            PyErr_SetNone(PyExc_StopAsyncIteration);
            return AWAIT_RAISED;
        }
        value = new_ref(((PyChan *)a->obj)->owner->zero);
    } else if ((value = received(((PyChan *)a->obj)->c, value)) == NULL) {
        return AWAIT_RAISED;
    }
    a->value = value;
    if (a->ops == &recv_ok_await) {
        a->value = PyTuple_Pack(2, value, r == CHAN_OK ? Py_True : Py_False);
        Py_DECREF(value);
        if (a->value == NULL)
            return AWAIT_RAISED;
    }
    return AWAIT_DONE;
}

static enum await_result recv_begin(PyAwait *a, struct g *gp)
{
    struct hchan *c = ((PyChan *)a->obj)->c;
    void *elem = NULL;
    if (c == NULL) {
        if (gp)
            wait_begin(gp, WAIT_CHAN_RECEIVE_NIL);
        return AWAIT_PARK;
    }
    enum chan_result r = chanrecv_begin(c, gp, &elem);
    if (r == CHAN_PARK || r == CHAN_BLOCK)
        return AWAIT_PARK;
    return recv_result(a, r, elem, WAKE_OP);
}

static enum await_result recv_finish(PyAwait *a, struct g *gp, enum wake w)
{
    struct hchan *c = ((PyChan *)a->obj)->c;
    void *elem = NULL;
    if (c == NULL)
        return await_failed(w);
    enum chan_result r = chanrecv_finish(c, gp, w, &elem);
    return recv_result(a, r, elem, w);
}

PyObject *chan_asend(PyObject *self, PyObject *value)
{
    return (PyObject *)await_new(&send_await, self, value);
}

PyObject *chan_arecv(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&recv_await, self, NULL);
}

PyObject *chan_arecv_ok(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&recv_ok_await, self, NULL);
}

/* `async for v in ch`: the iterator is the channel's ChanIter, which only refers to it. */
PyObject *chan_anext(PyObject *ch) { return (PyObject *)await_new(&anext_await, ch, NULL); }

/* ---- select ---- */

/* obj is the tuple of cases, data a struct selecting. */
struct selecting {
    struct selectstate s;
    Py_ssize_t dflt;
    uint32_t casei;
};

static struct selecting *selecting_new(Py_ssize_t n)
{
    size_t size = sizeof(struct selecting) + (size_t)n * (sizeof(struct scase) + sizeof(struct sudog)) +
                  2 * (size_t)n * sizeof(uint16_t);
    struct selecting *k = PyMem_RawCalloc(1, size);
    if (k) {
        k->s.n = (uint32_t)n;
        k->s.cases = (struct scase *)(k + 1);
        k->s.sudogs = (struct sudog *)(k->s.cases + n);
        k->s.pollorder = (uint16_t *)(k->s.sudogs + n);
        k->s.lockorder = k->s.pollorder + n;
    }
    return k;
}

static enum await_result selected(PyAwait *a, enum chan_result r, enum wake w)
{
    struct selecting *k = a->data;
    if (w != WAKE_OP)
        return await_failed(w);
    a->value = select_result(&k->s, &PyTuple_GET_ITEM(a->obj, 0), r, k->casei, k->dflt);
    return a->value ? AWAIT_DONE : AWAIT_RAISED;
}

static enum await_result select_await_begin(PyAwait *a, struct g *gp)
{
    struct selecting *k = a->data;
    enum chan_result r = select_begin(&k->s, gp, select_seed(), &k->casei);
    if (r == CHAN_PARK || (r == CHAN_BLOCK && k->dflt < 0))
        return AWAIT_PARK;
    return selected(a, r, WAKE_OP);
}

static enum await_result select_await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    struct selecting *k = a->data;
    return selected(a, select_finish(&k->s, gp, w, &k->casei), w);
}

/* The values that were not sent: select_result has dropped them, unless it never came to that. */
static void select_await_free(PyAwait *a)
{
    struct selecting *k = a->data;
    for (uint32_t i = 0; i < k->s.n; i++)
        if (k->s.cases[i].send)
            Py_XDECREF((PyObject *)k->s.cases[i].elem);
    PyMem_RawFree(k);
}

static void select_await_undo(PyAwait *a)
{
    struct selecting *k = a->data;
    PyObject *result = a->value;
    if (result == NULL || k->s.n == 0 || k->casei >= k->s.n || k->s.cases[k->casei].send ||
        PyTuple_GET_ITEM(result, 2) != Py_True ||
        PyLong_AsLong(PyTuple_GET_ITEM(result, 0)) != (long)k->casei || k->s.cases[k->casei].c == NULL)
        return;
    a->value = new_ref(PyTuple_GET_ITEM(result, 1));
    Py_DECREF(result);
    await_give_back(a, k->s.cases[k->casei].c);
}

static const struct await_ops select_await = {
    .name = "aselect",
    .begin = select_await_begin,
    .finish = select_await_finish,
    .undo = select_await_undo,
    .free = select_await_free,
};

PyObject *core_aselect(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    PyObject *cases = PyTuple_New(nargs);
    struct selecting *k = selecting_new(nargs);
    PyAwait *a = NULL;
    if (cases == NULL || k == NULL || nargs > MOST_CASES) {
        if (nargs > MOST_CASES)
            PyErr_Format(PyExc_ValueError, "`cases` must be at most %d", MOST_CASES);
        else
            PyErr_NoMemory();
        PyMem_RawFree(k);
        Py_XDECREF(cases);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        PyTuple_SET_ITEM(cases, i, new_ref(args[i]));
    if ((k->dflt = select_collect(&k->s, args, nargs)) == -2) {
        PyMem_RawFree(k);
    } else if ((a = await_new(&select_await, cases, NULL)) != NULL) {
        a->data = k;
    }
    Py_DECREF(cases);
    return (PyObject *)a;
}

/* ---- sleep, gosched, join ---- */

static enum await_result sleep_await_begin(PyAwait *a, struct g *gp)
{
    if (a->when == DEADLINE_PAST) {
        a->value = new_ref(Py_None);
        return AWAIT_DONE;
    }
    if (gp == NULL || gosleep_begin(gp, a->when))
        return AWAIT_PARK;
    wait_claim(gp);
    PyErr_NoMemory();
    return AWAIT_RAISED;
}

static enum await_result sleep_await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    gosleep_finish(gp);
    if (w != WAKE_TIMEOUT)
        return await_failed(w);
    a->value = new_ref(Py_None);
    return AWAIT_DONE;
}

const struct await_ops sleep_await = {"asleep", sleep_await_begin, sleep_await_finish};

PyObject *core_asleep(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t deadline;
    if (seconds == Py_None) {
        type_error("seconds", "a number of seconds", seconds);
        return NULL;
    }
    if (parse_timeout(seconds, "seconds", &deadline) < 0)
        return NULL;
    PyAwait *a = await_new(&sleep_await, NULL, NULL);
    if (a)
        a->when = deadline;
    return (PyObject *)a;
}

static enum await_result gosched_await_begin(PyAwait *a, struct g *gp)
{
    if (gp && gp->kind == GTASK) { /* asyncio calls back in its next round */
        a->value = new_ref(Py_None);
        return AWAIT_DONE;
    }
    if (gp)
        gosched_begin(gp);
    return AWAIT_PARK;
}

static enum await_result gosched_await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    (void)gp, (void)w;
    a->value = new_ref(Py_None);
    return AWAIT_DONE;
}

static const struct await_ops gosched_await = {"agosched", gosched_await_begin, gosched_await_finish};

PyObject *core_agosched(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return (PyObject *)await_new(&gosched_await, NULL, NULL);
}

static enum await_result join_await_begin(PyAwait *a, struct g *gp)
{
    struct g *other = &((Goroutine *)a->obj)->g;
    if (gp == other) {
        PyErr_SetString(PyExc_RuntimeError, "a goroutine cannot join itself");
        return AWAIT_RAISED;
    }
    if (goroutine_join_begin(gp, other))
        return AWAIT_PARK;
    a->value = new_ref(Py_None);
    return AWAIT_DONE;
}

static enum await_result join_await_finish(PyAwait *a, struct g *gp, enum wake w)
{
    goroutine_join_finish(gp, &((Goroutine *)a->obj)->g, w);
    if (w != WAKE_OP)
        return await_failed(w);
    a->value = new_ref(Py_None);
    return AWAIT_DONE;
}

static const struct await_ops join_await = {"ajoin", join_await_begin, join_await_finish};

PyObject *goroutine_ajoin(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return (PyObject *)await_new(&join_await, self, NULL);
}
