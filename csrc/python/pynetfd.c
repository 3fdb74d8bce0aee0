/* pynetfd.c: NetFD, a socket whose calls park the goroutine, under gopy.net's connections.
 *
 * Whatever makes a system call with the descriptor holds it meanwhile, so that a close() by another takes place after
 * the call, and the number cannot come to stand for something else: operations by iowait_begin (pynetop.c), anything
 * else by control(). Only fileno() lends the number. */
#include "pygopy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_open(NetFD *f)
{
    struct polldesc *pd = f->opened ? polldesc_of(f->fd) : NULL;
    return pd && apeek(&pd->seq) == f->seq;
}

/* b"", for those who want no bytes. */
static PyObject *nothing(NetFD *f)
{
    return is_open(f) ? PyBytes_FromStringAndSize(NULL, 0) : raise_errno(EBADF);
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

static PyObject *netfd_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct netop op = {.step = step_read, .len = 65536};
    if (unlikely(kwnames && PyTuple_GET_SIZE(kwnames))) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, 0);
        if (nargs || PyTuple_GET_SIZE(kwnames) > 1 || PyUnicode_CompareWithASCIIString(key, "n") != 0)
            return PyErr_Format(PyExc_TypeError, "read() takes one argument, n");
        nargs = 1;
    }
    if (unlikely(nargs > 1))
        return PyErr_Format(PyExc_TypeError, "read() takes at most 1 argument (%zd given)", nargs);
    if (nargs == 1 && (op.len = parse_size(args[0])) < 0)
        return NULL;
    if (op.len == 0)
        return nothing((NetFD *)self);
    if (unlikely(netop_run((NetFD *)self, POLL_READ, &op) < 0))
        Py_CLEAR(op.result);
    return op.result;
}

static PyObject *netfd_read_into(PyObject *self, PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        type_error("buffer", "a writable buffer", buffer);
        return NULL;
    }
    struct netop op = {.step = step_read_into, .buf = view.buf, .len = view.len};
    int r = view.len == 0 && is_open((NetFD *)self) ? 0 : netop_run((NetFD *)self, POLL_READ, &op);
    PyBuffer_Release(&view);
    return r < 0 ? NULL : PyLong_FromSsize_t(op.done);
}

static PyObject *netfd_read_full(PyObject *self, PyObject *arg)
{
    struct netop op = {.step = step_read_full, .len = parse_size(arg)};
    if (op.len < 0)
        return NULL;
    if (op.len == 0)
        return nothing((NetFD *)self);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, op.len);
    if (bytes == NULL)
        return NULL;
    op.buf = PyBytes_AS_STRING(bytes);
    if (netop_run((NetFD *)self, POLL_READ, &op) < 0)
        Py_CLEAR(bytes);
    return bytes;
}

/* ---- writing ---- */

static PyObject *netfd_write(PyObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        type_error("data", "bytes-like", data);
        return NULL;
    }
    struct netop op = {.step = step_write, .buf = view.buf, .len = view.len};
    int r = netop_run((NetFD *)self, POLL_WRITE, &op);
    PyBuffer_Release(&view);
    return r < 0 ? NULL : PyLong_FromSsize_t(op.done);
}

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

static PyObject *netfd_accept(PyObject *self, PyObject *type)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &NetFD_Type)) {
        type_error("cls", "a subclass of NetFD", type);
        return NULL;
    }
    struct netop op = {.step = step_accept};
    if (netop_run((NetFD *)self, POLL_READ, &op) < 0)
        return NULL;
    PyObject *conn = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (conn == NULL || netfd_open((NetFD *)conn, (int)op.done) < 0) {
        close((int)op.done);
        Py_DECREF(op.result);
        Py_CLEAR(conn);
    } else {
        ((NetFD *)conn)->peer = op.result;
    }
    return conn;
}

static PyObject *netfd_retry(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 2 || !PyCallable_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "retry() takes a callable, a bool and arguments");
    struct netop op = {.step = step_call, .args = args, .len = nargs};
    int write = PyObject_IsTrue(args[1]);
    if (write < 0 || netop_run((NetFD *)self, write ? POLL_WRITE : POLL_READ, &op) < 0)
        Py_CLEAR(op.result);
    return op.result;
}

static PyObject *netfd_control(PyObject *self, PyObject *fn)
{
    NetFD *f = (NetFD *)self;
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

/* ---- aread() and awrite() ---- */

/* An awaitable's data. What is read becomes its result; what is written stays in view. */
struct netawait {
    struct netop op;
    struct iowait w;
    Py_buffer view;
};

static enum await_result netawait_go_on(PyAwait *a, struct g *gp, enum io_result r)
{
    struct netawait *n = a->data; /* may be gone once gp is queued */
    enum step s = netop_go_on((NetFD *)a->obj, &n->op, &n->w, gp, r);
    if (s == AGAIN)
        return AWAIT_PARK;
    if (s == DONE)
        a->value = n->op.result ? n->op.result : PyLong_FromSsize_t(n->op.done);
    else
        Py_XDECREF(n->op.result);
    n->op.result = NULL;
    return a->value ? AWAIT_DONE : AWAIT_RAISED;
}

static enum await_result netawait_begin(PyAwait *a, struct g *gp)
{
    struct netawait *n = a->data;
    if (gp == NULL && n->w.mode == POLL_WRITE) /* half a write must not let go of its turn */
        return AWAIT_PARK;
    if (!netop_aim((NetFD *)a->obj, &n->w))
        return AWAIT_RAISED;
    n->w.arms = gp != NULL;
    return netawait_go_on(a, gp, iowait_begin(&n->w, gp));
}

static enum await_result netawait_finish(PyAwait *a, struct g *gp, enum wake how)
{
    struct netawait *n = a->data;
    enum io_result r = iowait_finish(&n->w, gp, how);
    if (r == IO_OK && a->leaving) { /* what its task would read is for the next one */
        iowait_end(&n->w, false);
        return AWAIT_RAISED;
    }
    return netawait_go_on(a, gp, r);
}

static void netawait_free(PyAwait *a)
{
    struct netawait *n = a->data;
    if (n == NULL)
        return;
    if (n->view.obj)
        PyBuffer_Release(&n->view);
    PyMem_RawFree(n);
}

static const struct await_ops netawait = {
    .name = "I/O", .begin = netawait_begin, .finish = netawait_finish, .free = netawait_free};

static struct netawait *netawait_new(PyObject *self, PyAwait **a, enum pollmode mode)
{
    struct netawait *n = PyMem_RawCalloc(1, sizeof(*n));
    if (n == NULL || (*a = await_new(&netawait, self, NULL)) == NULL) {
        PyMem_RawFree(n);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    n->w.mode = (uint8_t)mode;
    (*a)->data = n;
    return n;
}

static PyObject *netfd_aread(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", NULL};
    PyObject *size = NULL;
    Py_ssize_t len = 65536;
    PyAwait *a;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:aread", names, &size) ||
        (size && (len = parse_size(size)) < 0))
        return NULL;
    struct netawait *n = netawait_new(self, &a, POLL_READ);
    if (n == NULL)
        return NULL;
    n->op = (struct netop){.step = len ? step_read : step_nothing, .len = len};
    return (PyObject *)a;
}

static PyObject *netfd_awrite(PyObject *self, PyObject *data)
{
    PyAwait *a;
    struct netawait *n = netawait_new(self, &a, POLL_WRITE);
    if (n == NULL)
        return NULL;
    if (PyObject_GetBuffer(data, &n->view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        type_error("data", "bytes-like", data);
        Py_DECREF(a);
        return NULL;
    }
    n->op = (struct netop){.step = step_write, .buf = n->view.buf, .len = n->view.len};
    return (PyObject *)a;
}

/* ---- what can be asked ---- */

static PyObject *netfd_fileno(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    return is_open((NetFD *)self) ? PyLong_FromLong(((NetFD *)self)->fd) : raise_errno(EBADF);
}

static PyObject *netfd_get_closed(PyObject *self, void *closure)
{
    (void)closure;
    preempt_point();
    return PyBool_FromLong(!is_open((NetFD *)self));
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
    int fd = -1; /* without one, it is as if closed: a subclass stands for another NetFD */
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
    Py_TYPE(self)->tp_free(self);
}

#define DEADLINE(WHICH) "set_" WHICH "deadline($self, seconds_from_now, /)\n--\n\n"

static PyMethodDef netfd_methods[] = {
    {"read", (PyCFunction)(void (*)(void))netfd_read, METH_FASTCALL | METH_KEYWORDS,
     "read($self, n=65536)\n--\n\n"
     "Read up to n bytes; park until there is at least one. b\"\" at the end of the stream.\n\n"
     "TimeoutError when the read deadline has passed. OSError: the connection failed; EBADF: it was closed, also while\n"
     "parked."},
    {"read_into", netfd_read_into, METH_O,
     "read_into($self, buffer, /)\n--\n\n"
     "Read into a writable buffer, at most what it holds; how many bytes. Parks and fails as read()."},
    {"read_full", netfd_read_full, METH_O,
     "read_full($self, n, /)\n--\n\nRead exactly n bytes. EOFError if the stream ends first."},
    {"write", netfd_write, METH_O,
     "write($self, data, /)\n--\n\n"
     "Write all of data, parking as often as it takes; how many bytes that was.\n\n"
     "TimeoutError when the write deadline has passed: some of it may have been written. OSError: the connection\n"
     "failed; EBADF: it was closed, also while parked. Two writers take turns, a write each."},
    {"aread", (PyCFunction)(void (*)(void))netfd_aread, METH_VARARGS | METH_KEYWORDS,
     "aread($self, n=65536)\n--\n\n"
     "An awaitable: read() for `async def` and generator goroutines, and asyncio.\n\n"
     "A task that is cancelled in the instant in which bytes arrive may take them with it: close the connection."},
    {"awrite", netfd_awrite, METH_O,
     "awrite($self, data, /)\n--\n\nAn awaitable: write() for `async def` and generator goroutines, and asyncio."},
    {"accept", netfd_accept, METH_O, "accept($self, cls, /)\n--\n\nA new cls for the next connection."},
    {"retry", (PyCFunction)(void (*)(void))netfd_retry, METH_FASTCALL,
     "retry($self, fn, write, /, *args)\n--\n\n"
     "fn(*args), which must not block, parking until the socket is ready as long as it raises BlockingIOError."},
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
