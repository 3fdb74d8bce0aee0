/* pychan.c: the types Chan, SendChan and RecvChan, its one-sided views, and iteration. Sending and receiving: pychanop.c.
 *
 * All three share one layout, PyChan: a Chan has its hchan in itself, a view refers to its Chan. A value in
 * a channel or on its way through one is one strong reference, which moves with the elem (runtime/chan.h). */
#include "pychan.h"

#include "pyerror.h"

static PyChan *chan_alloc(PyTypeObject *type)
{
    PyChan *ch = (PyChan *)type->tp_alloc(type, 0); /* zeroed */
    if (ch)
        ch->owner = ch;
    return ch;
}

static PyObject *chan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", "zero", NULL};
    PyObject *capacity = NULL, *zero = Py_None;
    Py_ssize_t size = 0;
    preempt_point();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$O:Chan", names, &capacity, &zero))
        return NULL;
    if (capacity) {
        if (!PyIndex_Check(capacity)) {
            type_error("capacity", "an int", capacity);
            return NULL;
        }
        size = PyNumber_AsSsize_t(capacity, PyExc_OverflowError);
        if (size == -1 && PyErr_Occurred()) {
            if (PyErr_ExceptionMatches(PyExc_OverflowError))
                PyErr_SetString(PyExc_ValueError, "`capacity` is out of range");
            return NULL;
        }
        if (size < 0) {
            PyErr_Format(PyExc_ValueError, "`capacity` must be 0 or more, got %zd", size);
            return NULL;
        }
    }
    PyChan *ch = chan_alloc(type);
    if (ch == NULL)
        return NULL;
    if (!chaninit(&ch->own, (size_t)size)) {
        Py_DECREF(ch);
        return PyErr_NoMemory();
    }
    ch->c = &ch->own;
    ch->zero = new_ref(zero);
    return (PyObject *)ch;
}

static int chan_traverse(PyObject *self, visitproc visit, void *arg)
{
    PyChan *ch = (PyChan *)self;
    Py_VISIT(ch->zero);
    if (ch->owner != ch)
        Py_VISIT(ch->owner);
    for (size_t i = 0, at = ch->own.recvx; i < ch->own.count; i++) {
        Py_VISIT((PyObject *)ch->own.buf[at]);
        at = at + 1 == ch->own.size ? 0 : at + 1;
    }
    return 0;
}

static int chan_clear(PyObject *self)
{
    PyChan *ch = (PyChan *)self;
    Py_CLEAR(ch->zero);
    /* Nobody waits: a waiter would hold a reference to the channel. */
    for (PyObject *value; (value = chandrop(&ch->own)) != NULL;)
        Py_DECREF(value);
    return 0;
}

static void chan_dealloc(PyObject *self)
{
    PyChan *ch = (PyChan *)self;
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, chan_dealloc) /* channels in channels may nest deeper than the C stack */
        if (ch->weakrefs) PyObject_ClearWeakRefs(self);
    chan_clear(self);
    chanfree(&ch->own);
    if (ch->owner != ch)
        Py_DECREF(ch->owner);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyObject *chan_close(PyObject *self, PyObject *noargs)
{
    PyChan *ch = (PyChan *)self;
    (void)noargs;
    preempt_point();
    if (ch->c == NULL)
        PyErr_SetString(hooks.Panic, "close of nil channel");
    else if (chan_foreign(ch->c, NULL))
        PyErr_SetString(hooks.Panic, "close of synctest channel from outside bubble");
    else if (closechan(ch->c))
        Py_RETURN_NONE;
    else
        PyErr_SetString(hooks.ClosedChannelError, "close of closed channel");
    return NULL;
}

/* ---- the rest of the protocol ---- */

/* A timer's channel shows nothing of its buffer: whether it is due is seen when somebody looks. */
static size_t chan_count(PyChan *ch) { return ch->c && !chan_timed(ch->c) ? apeek(&ch->c->count) : 0; }

static Py_ssize_t chan_len(PyObject *self)
{
    PyChan *ch = (PyChan *)self;
    preempt_point();
    return (Py_ssize_t)chan_count(ch);
}

static size_t chan_size(PyChan *ch) { return ch->c && !chan_timed(ch->c) ? ch->c->size : 0; }

static int chan_bool(PyObject *self)
{
    (void)self;
    return 1;
}

static PyObject *chan_cap(PyObject *self, void *closure)
{
    PyChan *ch = (PyChan *)self;
    (void)closure;
    preempt_point();
    return PyLong_FromSize_t(chan_size(ch));
}

static PyObject *view(PyObject *self, PyTypeObject *type)
{
    preempt_point();
    PyChan *ch = chan_alloc(type);
    if (ch) {
        ch->owner = (PyChan *)new_ref((PyObject *)((PyChan *)self)->owner);
        ch->c = ch->owner->c;
    }
    return (PyObject *)ch;
}

static PyObject *chan_send_only(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return view(self, &SendChan_Type);
}

static PyObject *chan_recv_only(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return view(self, &RecvChan_Type);
}

static PyObject *chan_compare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || !PyObject_TypeCheck(other, &ChanBase_Type))
        Py_RETURN_NOTIMPLEMENTED;
    bool same = ((PyChan *)self)->owner == ((PyChan *)other)->owner;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t chan_hash(PyObject *self)
{
    Py_hash_t h = (Py_hash_t)((uintptr_t)((PyChan *)self)->owner >> 4);
    return h == -1 ? -2 : h;
}

static PyObject *chan_repr(PyObject *self)
{
    PyChan *ch = (PyChan *)self;
    if (ch->c == NULL)
        return PyUnicode_FromString("gopy.nilchan");
    return PyUnicode_FromFormat("<%s %p len=%zd cap=%zd%s>", Py_TYPE(self)->tp_name, ch->owner,
                                (Py_ssize_t)chan_count(ch), (Py_ssize_t)chan_size(ch),
                                chan_closed(ch->c) ? " closed" : "");
}

typedef struct {
    PyObject_HEAD
    PyChan *ch;
} ChanIter;

static PyObject *chan_iter(PyObject *self)
{
    ChanIter *it = PyObject_GC_New(ChanIter, &ChanIter_Type);
    if (it) {
        it->ch = (PyChan *)new_ref(self);
        PyObject_GC_Track(it);
    }
    return (PyObject *)it;
}

static PyObject *iter_next(PyObject *self) { return chan_next((PyObject *)((ChanIter *)self)->ch); }

static PyObject *iter_anext(PyObject *self) { return chan_anext((PyObject *)((ChanIter *)self)->ch); }

static PyAsyncMethods iter_async = {.am_aiter = PyObject_SelfIter, .am_anext = iter_anext};
static PyAsyncMethods chan_async = {.am_aiter = chan_iter};

static void iter_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, iter_dealloc) Py_DECREF(((ChanIter *)self)->ch);
    PyObject_GC_Del(self);
    Py_TRASHCAN_END
}

static int iter_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((ChanIter *)self)->ch);
    return 0;
}

#define GENERIC                                                                                              \
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type checkers: Chan[int] is Chan."}

#define SEND                                                                                                 \
    {"send", FASTKW(chan_send),                                                                              \
     "send($self, value, /, *, timeout=None)\n--\n\n"                                                        \
     "Send value; park until a receiver or the buffer takes it.\n\n"                                         \
     "ClosedChannelError if the channel is closed, also while parked. TimeoutError after `timeout`\n"        \
     "seconds; the value is then not sent."}
#define CLOSE                                                                                                \
    {"close", chan_close, METH_NOARGS,                                                                       \
     "close($self)\n--\n\n"                                                                                  \
     "No value will be sent any more: wakes every goroutine that waits here.\n\n"                            \
     "ClosedChannelError if it is closed already."}
#define RECV                                                                                                 \
    {"recv", FASTKW(chan_recv),                                                                              \
     "recv($self, *, timeout=None)\n--\n\n"                                                                  \
     "Receive a value; park until there is one.\n\n"                                                         \
     "On a channel that is closed and drained: its `zero`, at once. TimeoutError after `timeout` seconds."}
#define RECV_OK                                                                                              \
    {"recv_ok", FASTKW(chan_recv_ok),                                                                        \
     "recv_ok($self, *, timeout=None)\n--\n\n"                                                               \
     "Receive (value, True), or (zero, False) if closed and drained.\n\n"                                    \
     "Parks and times out as recv() does."}

#define ASEND                                                                                                \
    {"asend", FASTKW(chan_asend),                                                                            \
     "asend($self, value, /, *, timeout=None)\n--\n\n"                                                       \
     "An awaitable: send() for `async def` and generator goroutines, and asyncio."}
#define ARECV                                                                                                \
    {"arecv", FASTKW(chan_arecv),                                                                            \
     "arecv($self, *, timeout=None)\n--\n\n"                                                                 \
     "An awaitable: recv() for `async def` and generator goroutines, and asyncio."}
#define ARECV_OK                                                                                             \
    {"arecv_ok", FASTKW(chan_arecv_ok),                                                                      \
     "arecv_ok($self, *, timeout=None)\n--\n\n"                                                              \
     "An awaitable: recv_ok() for `async def` and generator goroutines, and asyncio."}

static PyMethodDef send_methods[] = {SEND, ASEND, CLOSE, GENERIC, {0}};
static PyMethodDef recv_methods[] = {RECV, RECV_OK, ARECV, ARECV_OK, GENERIC, {0}};

/* Chan has the methods of both sides once more as its own: the interpreter calls a C method straight away
 * only if the object is exactly of the type that defines it, which saves a third of an operation that need
 * not wait. */
static PyMethodDef chan_methods[] = {
    SEND,
    CLOSE,
    RECV,
    RECV_OK,
    ASEND,
    ARECV,
    ARECV_OK,
    {"send_only", chan_send_only, METH_NOARGS,
     "send_only($self)\n--\n\nThis channel, seen from its sending side. == and hash agree with it."},
    {"recv_only", chan_recv_only, METH_NOARGS,
     "recv_only($self)\n--\n\nThis channel, seen from its receiving side. == and hash agree with it."},
    GENERIC,
    {0},
};

static PyGetSetDef chan_getset[] = {
    {"cap", chan_cap, NULL, "How many values the buffer holds; 0: unbuffered.", NULL},
    {0},
};

static PyNumberMethods chan_number = {.nb_bool = chan_bool};
static PySequenceMethods chan_sequence = {.sq_length = chan_len};

PyTypeObject ChanBase_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core._ChanBase",
    .tp_basicsize = sizeof(PyChan),
    .tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = chan_traverse,
    .tp_clear = chan_clear,
    .tp_dealloc = chan_dealloc,
    .tp_weaklistoffset = offsetof(PyChan, weakrefs),
    .tp_as_number = &chan_number,
    .tp_as_sequence = &chan_sequence,
    .tp_richcompare = chan_compare,
    .tp_hash = chan_hash,
    .tp_repr = chan_repr,
    .tp_getset = chan_getset,
};

#define SIDE(NAME, DOC)                                                                                      \
    .tp_name = "gopy." NAME, .tp_doc = DOC, .tp_basicsize = sizeof(PyChan), .tp_base = &ChanBase_Type,       \
    .tp_traverse = chan_traverse, .tp_clear = chan_clear, .tp_dealloc = chan_dealloc,                        \
    .tp_richcompare = chan_compare, .tp_hash = chan_hash

PyTypeObject SendChan_Type = {
    PyVarObject_HEAD_INIT(NULL, 0) SIDE("SendChan", "The sending side of a channel, Go's chan<- T."),
    .tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_methods = send_methods,
};

PyTypeObject RecvChan_Type = {
    PyVarObject_HEAD_INIT(NULL, 0) SIDE("RecvChan", "The receiving side of a channel, Go's <-chan T."),
    .tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_methods = recv_methods,
    .tp_iter = chan_iter,
    .tp_as_async = &chan_async,
};

PyTypeObject Chan_Type = {
    PyVarObject_HEAD_INIT(NULL, 0) SIDE(
        "Chan",
        "Chan(capacity=0, *, zero=None)\n--\n\n"
        "A channel, as in Go: unbuffered by default, FIFO among waiters, safe from any thread.\n\n"
        "recv() on a closed, drained channel returns `zero`; recv_ok() then returns (zero, False).\n"
        "send() on a closed channel, and close() of a closed one, raise ClosedChannelError. A timeout, in\n"
        "seconds, raises TimeoutError and leaves the channel untouched. bool(ch) is always True.\n"
        "ValueError: negative capacity."),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_methods = chan_methods,
    .tp_iter = chan_iter,
    .tp_as_async = &chan_async,
    .tp_new = chan_new,
};

PyTypeObject ChanIter_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core._ChanIter",
    .tp_basicsize = sizeof(ChanIter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = iter_dealloc,
    .tp_traverse = iter_traverse,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = iter_next,
    .tp_as_async = &iter_async,
};
