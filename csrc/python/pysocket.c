/* pysocket.c: recv, recv_into, send and sendall of socket.socket in a patched program (gopy/monkey/_sockets.py), by the steps of
 * pynetop.c.
 *
 * They serve what is usual: a goroutine, a socket whose user wants it to wait, plain arguments. Anything else is left to
 * a method written in Python, `slow`, which also says what is wrong with arguments. The descriptor stays as its user has
 * it: each call says MSG_DONTWAIT.
 *
 * The first object that comes with a descriptor joins (netpolljoin), and so has it registered once for its life. That ends
 * when a socket object closes or detaches the descriptor, or dies: all of these say so first (core_fd_closing, and
 * socket_del here). A second object of the same descriptor goes the slow way, as does any on a descriptor of gopy.net. */
#include "pysocket.h"

#include <errno.h>
#include <sys/socket.h>

#include "pyerror.h"
#include "pyident.h"
#include "pyversion.h"

enum { RECV, RECV_INTO, SEND, SENDALL, NMETHODS };

/* Of the program that is patched. */
static PyObject *slow[NMETHODS];
static PyObject *get_fd, *get_timeout, *finalize; /* methods of _socket.socket */
static PyObject *timeouts;                        /* {id(socket): seconds, a float} */

static PyObject *slowly(int which, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *method = PyMethod_New(slow[which], self);
    PyObject *result = method ? PyObject_Vectorcall(method, args, (size_t)nargs, kwnames) : NULL;
    Py_XDECREF(method);
    return result;
}

static int fileno_of(PyObject *self)
{
    PyObject *o = PyObject_CallOneArg(get_fd, self);
    int fd = o ? (int)PyLong_AsLong(o) : -1;
    Py_XDECREF(o);
    return fd;
}

/* When a wait of self's is to end that begins at this moment. -1: it is not to wait, or another knows. */
static int limit_of(PyObject *self, int64_t *limit)
{
    PyObject *seconds = PyObject_CallOneArg(get_timeout, self);
    bool in_c = seconds != Py_None;
    Py_XDECREF(seconds);
    *limit = NEVER;
    if (in_c)
        return -1;
    if (PyDict_GET_SIZE(timeouts) == 0)
        return 0;
    PyObject *key = PyLong_FromVoidPtr(self);
    int found = key ? dict_get(timeouts, key, &seconds) : -1;
    if (found > 0) {
        if (parse_timeout(seconds, "timeout", limit) < 0)
            found = -1;
        Py_DECREF(seconds);
    }
    Py_XDECREF(key);
    return found < 0 ? -1 : 0;
}

/* Is the call one of those that are served here? If so f is the descriptor that io is to work on. Nothing is raised. */
static bool serve(PyObject *self, struct netop *io, NetFD *f)
{
    if (!parks_here())
        return false;
    f->fd = fileno_of(self);
    bool yes = f->fd >= 0 && limit_of(self, &io->w.limit) == 0 && netpolljoin(f->fd, self, &f->seq);
    if (!yes)
        PyErr_Clear();
    f->opened = true;
    io->op.obj = (PyObject *)f;
    io->op.deadline = NEVER;
    io->flags |= MSG_DONTWAIT;
    return yes;
}

/* args[i], an int of 0 or more, if there is such an argument. false: it is something else. */
static bool number(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t i, int32_t *n)
{
    return nargs <= i || (small_int(args[i], n) && *n >= 0);
}

/* MSG_WAITALL does not go together with MSG_DONTWAIT. */
static bool flags_of(struct netop *io, PyObject *const *args, Py_ssize_t nargs, Py_ssize_t i)
{
    return number(args, nargs, i, &io->flags) && !(io->flags & (MSG_DONTWAIT | MSG_WAITALL));
}

static PyObject *run(struct netop *io)
{
    PyObject *result = op_run(&io->op);
    netop_clear(&io->op);
    return result;
}

static PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct netop io = {.op.kind = &netop_late, .step = step_recv, .result = result_got, .w.mode = POLL_READ};
    NetFD f = {0};
    int32_t size = 0;
    if (nargs < 1 || nargs > 2 || kwnames || !number(args, nargs, 0, &size) || size == 0 ||
        !flags_of(&io, args, nargs, 1) || !serve(self, &io, &f))
        return slowly(RECV, self, args, nargs, kwnames);
    io.len = size;
    return run(&io);
}

static PyObject *socket_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct netop io = {
        .op.kind = &netop_late, .step = step_read_into, .result = result_done, .w.mode = POLL_READ};
    NetFD f = {0};
    int32_t size = 0;
    if (nargs < 1 || nargs > 3 || kwnames || !number(args, nargs, 1, &size) ||
        !flags_of(&io, args, nargs, 2) || !serve(self, &io, &f))
        return slowly(RECV_INTO, self, args, nargs, kwnames);
    bool writable = PyObject_GetBuffer(args[0], &io.view, PyBUF_WRITABLE) == 0;
    if (!writable || size > io.view.len || io.view.len == 0) {
        PyErr_Clear();
        netop_clear(&io.op);
        return slowly(RECV_INTO, self, args, nargs, kwnames);
    }
    io.buf = io.view.buf;
    io.len = size ? size : io.view.len;
    return run(&io);
}

static inline PyObject *send_(int which, PyObject *self, struct netop *io, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    NetFD f = {0};
    if (nargs < 1 || nargs > 2 || kwnames || !flags_of(io, args, nargs, 1) || !serve(self, io, &f))
        return slowly(which, self, args, nargs, kwnames);
    if (PyObject_GetBuffer(args[0], &io->view, PyBUF_SIMPLE) < 0 || io->view.len == 0) {
        PyErr_Clear();
        netop_clear(&io->op);
        return slowly(which, self, args, nargs, kwnames);
    }
    io->buf = io->view.buf;
    io->len = io->view.len;
    return run(io);
}

static PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct netop io = {
        .op.kind = &netop_write, .step = step_send, .result = result_done, .w.mode = POLL_WRITE};
    return send_(SEND, self, &io, args, nargs, kwnames);
}

static enum op_result result_none(struct netop *io) { return op_none(&io->op); }

static PyObject *socket_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct netop io = {
        .op.kind = &netop_write, .step = step_write, .result = result_none, .w.mode = POLL_WRITE};
    return send_(SENDALL, self, &io, args, nargs, kwnames);
}

/* (socket, write, fn, *args): fn(*args), which does not wait, until it does not raise BlockingIOError. NotImplemented: it is not
 * served here, and has not been called. */
static PyObject *core_socket_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct netop io = {.op.kind = &netop_late, .step = step_call, .result = result_got};
    NetFD f = {0};
    (void)self;
    int write = nargs < 3 ? -1 : PyObject_IsTrue(args[1]);
    if (write < 0 || !serve(args[0], &io, &f)) {
        PyErr_Clear();
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *call[8] = {args[2]}; /* as step_call has it */
    for (Py_ssize_t i = 3; i < nargs && i < 10; i++)
        call[i - 1] = args[i];
    io.w.mode = write ? POLL_WRITE : POLL_READ;
    io.args = call;
    io.len = nargs - 1;
    return run(&io);
}

/* In C, since a ResourceWarning is told of whoever lets the socket go. */
static PyObject *socket_del(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    int fd = fileno_of(self);
    if (fd >= 0)
        fdwait_evict(fd);
    else
        PyErr_Clear();
    PyObject *key = PyDict_GET_SIZE(timeouts) ? PyLong_FromVoidPtr(self) : NULL;
    if (key && PyDict_DelItem(timeouts, key) < 0)
        PyErr_Clear();
    Py_XDECREF(key);
    return PyObject_CallOneArg(finalize, self);
}

static PyMethodDef methods[] = {
    {"recv", FASTKW(socket_recv), NULL},        {"recv_into", FASTKW(socket_recv_into), NULL},
    {"send", FASTKW(socket_send), NULL},        {"sendall", FASTKW(socket_sendall), NULL},
    {"__del__", socket_del, METH_NOARGS, NULL}, {0},
};

/* (socket.socket, timeouts, slow methods): the methods, by name. */
static PyObject *core_socket_methods(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (!check_nargs("socket_methods", nargs, 3))
        return NULL;
    PyTypeObject *cls = (PyTypeObject *)args[0];
    PyObject *base = (PyObject *)cls->tp_base, *made = PyDict_New();
    timeouts = new_ref(args[1]);
    for (int i = 0; i < NMETHODS; i++)
        slow[i] = new_ref(PyTuple_GET_ITEM(args[2], i));
    if ((get_fd = PyObject_GetAttrString(base, "fileno")) == NULL ||
        (get_timeout = PyObject_GetAttrString(base, "gettimeout")) == NULL ||
        (finalize = PyObject_GetAttrString(base, "__del__")) == NULL)
        Py_CLEAR(made);
    for (PyMethodDef *def = methods; made && def->ml_name; def++) {
        PyObject *was = PyObject_GetAttrString(base, def->ml_name), *method = NULL;
        if (was && Py_IS_TYPE(was, &PyMethodDescr_Type))
            def->ml_doc = ((PyMethodDescrObject *)was)->d_method->ml_doc;
        if (was == NULL || (method = PyDescr_NewMethod(cls, def)) == NULL ||
            PyDict_SetItemString(made, def->ml_name, method) < 0)
            Py_CLEAR(made);
        Py_XDECREF(was);
        Py_XDECREF(method);
    }
    return made;
}

PyMethodDef socket_functions[] = {
    {"socket_methods", FAST(core_socket_methods), NULL},
    {"socket_call", FAST(core_socket_call), NULL},
    {0},
};
