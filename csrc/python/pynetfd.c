/* pynetfd.c: NetFD, a socket whose calls park the goroutine, under gopy.net's connections.
 *
 * Whatever makes a system call with the descriptor holds it meanwhile, so that a close() by another takes place after
 * the call, and the number cannot come to stand for something else: operations by iowait_begin (pynetop.c), anything
 * else by control(). Only fileno() lends the number. */
#include "pynetfd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pyawait.h"
#include "pyerror.h"
#include "pyio.h"
#include "pynetop.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Every call comes in two forms: one runs the operation, the other makes an awaitable of it, which *io is copied to. */
enum form { BLOCKING, AWAITABLE };

static PyObject *perform(PyObject *self, enum form form, struct netop *io)
{
    io->op.obj = self;
    io->op.deadline = io->w.limit = NEVER; /* the descriptor has a deadline of its own */
    if (form == BLOCKING) {
        PyObject *r = op_run(&io->op);
        netop_clear(&io->op);
        return r;
    }
    PyAwait *a = await_new(io->op.kind, self, NULL, NEVER);
    if (a == NULL) {
        netop_clear(&io->op);
        return NULL;
    }
    io->op = *a->op;
    *OP_OF(struct netop, a->op) = *io;
    return (PyObject *)a;
}

/* ---- reading ---- */

/* How many bytes to read: 0 or more. -1: raised. */
static Py_ssize_t parse_size(PyObject *o)
{
    if (!PyIndex_Check(o))
        return type_error("n", "an int", o);
    Py_ssize_t n = PyNumber_AsSsize_t(o, PyExc_OverflowError);
    if (n < 0) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "`n` must be between 0 and sys.maxsize, got %R", o);
        return -1;
    }
    return n;
}

static inline PyObject *read_(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                              enum form form)
{
    const char *name = form == BLOCKING ? "read" : "aread";
    struct netop io = {
        .op.kind = &netop_late, .step = step_read, .result = result_got, .w.mode = POLL_READ, .len = 65536};
    if (unlikely(kwnames && PyTuple_GET_SIZE(kwnames))) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, 0);
        if (nargs || PyTuple_GET_SIZE(kwnames) > 1 || PyUnicode_CompareWithASCIIString(key, "n") != 0)
            return PyErr_Format(PyExc_TypeError, "%s() takes one argument, n", name);
        nargs = 1;
    }
    if (unlikely(nargs > 1))
        return PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", name, nargs);
    if (nargs == 1 && (io.len = parse_size(args[0])) < 0)
        return NULL;
    if ((io.nothing = io.len == 0) && (io.got = PyBytes_FromStringAndSize(NULL, 0)) == NULL)
        return NULL;
    return perform(self, form, &io);
}

static PyObject *netfd_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return read_(self, args, nargs, kwnames, BLOCKING);
}

static PyObject *netfd_aread(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return read_(self, args, nargs, kwnames, AWAITABLE);
}

static PyObject *read_into(PyObject *self, PyObject *buffer, enum form form)
{
    struct netop io = {
        .op.kind = &netop_late, .step = step_read_into, .result = result_done, .w.mode = POLL_READ};
    if (PyObject_GetBuffer(buffer, &io.view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        type_error("buffer", "a writable buffer", buffer);
        return NULL;
    }
    io.buf = io.view.buf;
    io.len = io.view.len;
    io.nothing = io.len == 0;
    return perform(self, form, &io);
}

static PyObject *netfd_read_into(PyObject *self, PyObject *buffer)
{
    return read_into(self, buffer, BLOCKING);
}

static PyObject *netfd_aread_into(PyObject *self, PyObject *buffer)
{
    return read_into(self, buffer, AWAITABLE);
}

/* The result of read_full(): the bytes object that has been read into, to which nobody else refers. */
static enum op_result result_held(struct netop *io)
{
    io->op.value = io->held;
    io->held = NULL;
    return OP_DONE;
}

static PyObject *read_full(PyObject *self, PyObject *arg, enum form form)
{
    struct netop io = {.op.kind = &netop_late,
                       .step = step_read_full,
                       .result = result_held,
                       .w.mode = POLL_READ,
                       .len = parse_size(arg)};
    if (io.len < 0 || (io.held = PyBytes_FromStringAndSize(NULL, io.len)) == NULL)
        return NULL;
    io.buf = PyBytes_AS_STRING(io.held);
    io.nothing = io.len == 0;
    return perform(self, form, &io);
}

static PyObject *netfd_read_full(PyObject *self, PyObject *n) { return read_full(self, n, BLOCKING); }

static PyObject *netfd_aread_full(PyObject *self, PyObject *n) { return read_full(self, n, AWAITABLE); }

/* ---- writing ---- */

static PyObject *write_(PyObject *self, PyObject *data, enum form form)
{
    struct netop io = {.op.kind = &netop_write,
                       .step = step_write,
                       .result = result_done,
                       .w.mode = POLL_WRITE,
                       .flags = MSG_NOSIGNAL};
    if (PyObject_GetBuffer(data, &io.view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        type_error("data", "bytes-like", data);
        return NULL;
    }
    io.buf = io.view.buf;
    io.len = io.view.len;
    return perform(self, form, &io);
}

static PyObject *netfd_write(PyObject *self, PyObject *data) { return write_(self, data, BLOCKING); }

static PyObject *netfd_awrite(PyObject *self, PyObject *data) { return write_(self, data, AWAITABLE); }

/* ---- accepting, and anything else ---- */

static int netfd_open(NetFD *self, int fd)
{
    int err = netpollopen(fd, &self->seq);
    if (err) {
        raise_errno(err);
        return -1;
    }
    self->fd = fd;
    self->opened = true;
    return 0;
}

/* The connection is io->done, of the class io->held. */
static enum op_result result_accepted(struct netop *io)
{
    PyTypeObject *type = (PyTypeObject *)io->held;
    PyObject *conn = type->tp_alloc(type, 0);
    if (conn == NULL || netfd_open((NetFD *)conn, (int)io->done) < 0) {
        close((int)io->done);
        Py_XDECREF(conn);
        return OP_RAISED;
    }
    ((NetFD *)conn)->peer = io->got;
    io->got = NULL;
    io->op.value = conn;
    return OP_DONE;
}

static PyObject *accept_(PyObject *self, PyObject *type, enum form form)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &NetFD_Type)) {
        type_error("cls", "a subclass of NetFD", type);
        return NULL;
    }
    struct netop io = {.op.kind = &netop_late,
                       .step = step_accept,
                       .result = result_accepted,
                       .w.mode = POLL_READ,
                       .held = new_ref(type)};
    return perform(self, form, &io);
}

static PyObject *netfd_accept(PyObject *self, PyObject *type) { return accept_(self, type, BLOCKING); }

static PyObject *netfd_aaccept(PyObject *self, PyObject *type) { return accept_(self, type, AWAITABLE); }

static PyObject *retry(PyObject *self, PyObject *const *args, Py_ssize_t nargs, enum form form)
{
    int write = nargs < 2 ? -1 : PyObject_IsTrue(args[1]);
    if (nargs < 2 || !PyCallable_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "%s() takes a callable, a bool and arguments",
                            form == BLOCKING ? "retry" : "aretry");
    if (write < 0)
        return NULL;
    struct netop io = {.op.kind = &netop_late,
                       .step = step_call,
                       .result = result_got,
                       .w.mode = write ? POLL_WRITE : POLL_READ,
                       .args = args,
                       .len = nargs};
    if (form == AWAITABLE) {
        if ((io.held = PyTuple_New(nargs)) == NULL)
            return NULL;
        for (Py_ssize_t i = 0; i < nargs; i++)
            PyTuple_SET_ITEM(io.held, i, new_ref(args[i]));
        io.args = &PyTuple_GET_ITEM(io.held, 0);
    }
    return perform(self, form, &io);
}

static PyObject *netfd_retry(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return retry(self, args, nargs, BLOCKING);
}

static PyObject *netfd_aretry(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return retry(self, args, nargs, AWAITABLE);
}

static PyObject *netfd_control(PyObject *self, PyObject *fn)
{
    NetFD *f = (NetFD *)self;
    preempt_point();
    if (!PyCallable_Check(fn)) {
        type_error("fn", "callable", fn);
        return NULL;
    }
    if (!f->opened || !iowait_hold(f->fd, f->seq))
        return raise_errno(EBADF);
    PyObject *fd = PyLong_FromLong(f->fd);
    PyObject *result = fd ? PyObject_CallOneArg(fn, fd) : NULL;
    Py_XDECREF(fd);
    iowait_release(f->fd);
    return result;
}

/* ---- the rest ---- */

static PyObject *netfd_close(PyObject *self, PyObject *noargs)
{
    NetFD *f = (NetFD *)self;
    (void)noargs;
    preempt_point();
    if (f->opened)
        iowait_close(f->fd, f->seq);
    Py_RETURN_NONE;
}

static PyObject *set_deadline(NetFD *f, PyObject *seconds, bool read, bool write)
{
    preempt_point();
    int64_t deadline;
    if (parse_timeout(seconds, "seconds_from_now", &deadline) < 0)
        return NULL;
    deadline = bubble_real(bubble_here(), deadline);
    if (!f->opened || (read && !iowait_setdeadline(f->fd, f->seq, POLL_READ, deadline)) ||
        (write && !iowait_setdeadline(f->fd, f->seq, POLL_WRITE, deadline)))
        return raise_errno(EBADF);
    Py_RETURN_NONE;
}

static PyObject *netfd_set_deadline(PyObject *self, PyObject *seconds)
{
    return set_deadline((NetFD *)self, seconds, true, true);
}

static PyObject *netfd_set_read_deadline(PyObject *self, PyObject *seconds)
{
    return set_deadline((NetFD *)self, seconds, true, false);
}

static PyObject *netfd_set_write_deadline(PyObject *self, PyObject *seconds)
{
    return set_deadline((NetFD *)self, seconds, false, true);
}

/* ---- what can be asked ---- */

static PyObject *netfd_fileno(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return netfd_is_open((NetFD *)self) ? PyLong_FromLong(((NetFD *)self)->fd) : raise_errno(EBADF);
}

static PyObject *netfd_get_closed(PyObject *self, void *closure)
{
    (void)closure;
    preempt_point();
    return PyBool_FromLong(!netfd_is_open((NetFD *)self));
}

/* A sockaddr as the socket module has it: (host, port), or the name of a unix socket as bytes. */
static PyObject *address_object(const struct sockaddr *sa, size_t len)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
    const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
    size_t before = offsetof(struct sockaddr_un, sun_path);
    if (len >= sizeof(*in) && sa->sa_family == AF_INET)
        return Py_BuildValue("si", inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
                             ntohs(in->sin_port));
    if (len >= sizeof(*in6) && sa->sa_family == AF_INET6)
        return Py_BuildValue("si", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
                             ntohs(in6->sin6_port));
    size_t n = len > before ? len - before : 0; /* an abstract name may hold null bytes */
    return PyBytes_FromStringAndSize(un->sun_path,
                                     (Py_ssize_t)(n && un->sun_path[0] ? strnlen(un->sun_path, n) : n));
}

static PyObject *netfd_get_peer(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *peer = ((NetFD *)self)->peer;
    if (peer == NULL)
        Py_RETURN_NONE;
    return address_object((struct sockaddr *)PyBytes_AS_STRING(peer), (size_t)PyBytes_GET_SIZE(peer));
}

static PyObject *netfd_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    /* Without a descriptor the object is as if closed: so is one that stands for another NetFD. */
    int fd = -1;
    if ((kwargs && PyDict_GET_SIZE(kwargs)) || !PyArg_ParseTuple(args, "|i:NetFD", &fd))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "NetFD() takes no keyword arguments");
    PyObject *self = type->tp_alloc(type, 0);
    if (self && PyTuple_GET_SIZE(args) && netfd_open((NetFD *)self, fd) < 0)
        Py_CLEAR(self);
    return self;
}

static void netfd_dealloc(PyObject *self)
{
    NetFD *f = (NetFD *)self;
    if (f->weakrefs)
        PyObject_ClearWeakRefs(self);
    if (f->opened)
        iowait_close(f->fd, f->seq);
    Py_XDECREF(f->peer);
    Py_XDECREF(f->unread);
    Py_TYPE(self)->tp_free(self);
}

#define DEADLINE(WHICH) "set_" WHICH "deadline($self, seconds_from_now, /)\n--\n\n"

static PyMethodDef netfd_methods[] = {
    {"read", FASTKW(netfd_read),
     "read($self, n=65536)\n--\n\n"
     "Read up to n bytes; park until there is at least one. b\"\" at the end of the stream.\n\n"
     "TimeoutError when the read deadline has passed. OSError: the connection failed; EBADF: it was closed, also while\n"
     "parked."},
    {"read_into", netfd_read_into, METH_O,
     "read_into($self, buffer, /)\n--\n\n"
     "Read into a writable buffer, at most what it holds; how many bytes. Parks and fails as read()."},
    {"read_full", netfd_read_full, METH_O,
     "read_full($self, n, /)\n--\n\nRead exactly n bytes. EOFError if the stream ends first.\n\n"
     "What it has got when a deadline or Ctrl-C ends its wait is the next reader's."},
    {"write", netfd_write, METH_O,
     "write($self, data, /)\n--\n\n"
     "Write all of data, parking as often as it takes; how many bytes that was.\n\n"
     "TimeoutError when the write deadline has passed: some of it may have been written. OSError: the connection\n"
     "failed; EBADF: it was closed, also while parked. Two writers take turns, a write each."},
    {"aread", FASTKW(netfd_aread),
     "aread($self, n=65536)\n--\n\n"
     "An awaitable: read() for `async def` and generator goroutines, and asyncio.\n\n"
     "A task that is cancelled takes nothing: the bytes are the next reader's."},
    {"aread_into", netfd_aread_into, METH_O,
     "aread_into($self, buffer, /)\n--\n\nAn awaitable: read_into(), as aread()."},
    {"aread_full", netfd_aread_full, METH_O,
     "aread_full($self, n, /)\n--\n\nAn awaitable: read_full(), as aread()."},
    {"awrite", netfd_awrite, METH_O,
     "awrite($self, data, /)\n--\n\n"
     "An awaitable: write() for `async def` and generator goroutines, and asyncio.\n\n"
     "A task that is cancelled may have written some of it: close the connection."},
    {"accept", netfd_accept, METH_O, "accept($self, cls, /)\n--\n\nA new cls for the next connection."},
    {"retry", FAST(netfd_retry),
     "retry($self, fn, write, /, *args)\n--\n\n"
     "fn(*args), which must not block, parking until the socket is ready as long as it raises BlockingIOError."},
    {"aaccept", netfd_aaccept, METH_O, "aaccept($self, cls, /)\n--\n\nAn awaitable: accept()."},
    {"aretry", FAST(netfd_aretry), "aretry($self, fn, write, /, *args)\n--\n\nAn awaitable: retry()."},
    {"control", netfd_control, METH_O,
     "control($self, fn, /)\n--\n\n"
     "fn(descriptor), which must not block: a close() meanwhile takes place when it has returned. What it returns.\n\n"
     "After Go's RawConn.Control. OSError (EBADF): it is closed."},
    {"close", netfd_close, METH_NOARGS,
     "close($self)\n--\n\nClose it: whoever is parked on it gets OSError (EBADF). Closing it again does nothing."},
    {"set_deadline", netfd_set_deadline, METH_O,
     "set_deadline($self, seconds_from_now, /)\n--\n\n"
     "set_read_deadline() and set_write_deadline() at once."},
    {"set_read_deadline", netfd_set_read_deadline, METH_O,
     "set_read_deadline($self, seconds_from_now, /)\n--\n\n"
     "From then on reads raise TimeoutError, those parked by then included. None: never."},
    {"set_write_deadline", netfd_set_write_deadline, METH_O,
     "set_write_deadline($self, seconds_from_now, /)\n--\n\n"
     "From then on writes raise TimeoutError, those parked by then included. None: never."},
    {"fileno", netfd_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "The descriptor, which stays this object's: its number may come to stand for something else as soon as it is\n"
     "closed. control() lends it for a call. OSError (EBADF) once it is closed."},
    {0},
};

static PyGetSetDef netfd_getset[] = {
    {"closed", netfd_get_closed, NULL, "Whether it has been closed.", NULL},
    {"_peer", netfd_get_peer, NULL,
     "Of an accepted one: the peer's address, as the socket module has it; else None.", NULL},
    {0},
};

PyTypeObject NetFD_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core.NetFD",
    .tp_doc = "NetFD(fd, /)\n--\n\nA non-blocking socket, owned from now on, whose calls park the goroutine.",
    .tp_basicsize = sizeof(NetFD),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = netfd_new,
    .tp_dealloc = netfd_dealloc,
    .tp_weaklistoffset = offsetof(NetFD, weakrefs),
    .tp_methods = netfd_methods,
    .tp_getset = netfd_getset,
};
