/* pyio.c: wait_read and wait_write, for anybody's descriptor, and what all calls on descriptors share. */
#include "pyio.h"

#include <errno.h>
#include <sys/uio.h>

#include "pyawait.h"
#include "pyerror.h"

/* The operation that w is of has not been done: r says why. */
enum op_result io_failed(const struct iowait *w, enum io_result r)
{
    if (r == IO_ENDED)
        return op_failed((enum wake)w->ended);
    raise_errno(r == IO_CLOSED ? EBADF : w->err);
    return OP_RAISED;
}

static int parse_fd(PyObject *o)
{
    if (!PyLong_Check(o) && !PyObject_HasAttrString(o, "fileno"))
        return type_error("fd", "an int or an object with fileno()", o);
    return PyObject_AsFileDescriptor(o);
}

/* ---- waiting for a descriptor ---- */

struct fdop {
    struct op op;
    int fd;
    struct iowait w;
};

static enum op_result fd_result(struct op *op, enum io_result r)
{
    if (r == IO_OK)
        return op_none(op);
    return r == IO_PARK ? OP_PARK : io_failed(&OP_OF(struct fdop, op)->w, r);
}

static enum op_result fd_begin(struct op *op, struct g *gp, enum pollmode mode)
{
    struct fdop *f = OP_OF(struct fdop, op);
    return fd_result(op, fdwait_begin(&f->w, f->fd, mode, gp));
}

static enum op_result read_begin(struct op *op, struct g *gp) { return fd_begin(op, gp, POLL_READ); }

static enum op_result write_begin(struct op *op, struct g *gp) { return fd_begin(op, gp, POLL_WRITE); }

static enum op_result fd_finish(struct op *op, struct g *gp, enum wake how)
{
    return fd_result(op, fdwait_finish(&OP_OF(struct fdop, op)->w, gp, how));
}

static const struct op_kind read_kind = {
    .name = "await_read", .begin = read_begin, .finish = fd_finish, .size = sizeof(struct fdop)};
static const struct op_kind write_kind = {
    .name = "await_write", .begin = write_begin, .finish = fd_finish, .size = sizeof(struct fdop)};

/* -> the descriptor, or -1: raised. */
static int parse_wait(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                      int64_t *deadline)
{
    *deadline = NEVER;
    if (nargs == 2 && kwnames == NULL) {
        if (parse_timeout(args[1], "timeout", deadline) < 0)
            return -1;
    } else if ((nargs != 1 || kwnames) && parse_timeout_kw(args, nargs, 1, kwnames, name, deadline) < 0) {
        return -1;
    }
    *deadline = bubble_real(bubble_here(), *deadline);
    return parse_fd(args[0]);
}

static PyObject *wait_fd(const struct op_kind *kind, const char *name, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    struct fdop f = {.op.kind = kind};
    f.fd = parse_wait(name, args, nargs, kwnames, &f.op.deadline);
    return f.fd < 0 ? NULL : op_run(&f.op);
}

static PyObject *await_fd(const struct op_kind *kind, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    int64_t deadline;
    int fd = parse_wait(kind->name, args, nargs, kwnames, &deadline);
    PyAwait *a = fd < 0 ? NULL : await_new(kind, args[0], NULL, deadline);
    if (a)
        OP_OF(struct fdop, a->op)->fd = fd;
    return (PyObject *)a;
}

static PyObject *core_wait_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return wait_fd(&read_kind, "wait_read", args, nargs, kwnames);
}

static PyObject *core_wait_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return wait_fd(&write_kind, "wait_write", args, nargs, kwnames);
}

static PyObject *core_await_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return await_fd(&read_kind, args, nargs, kwnames);
}

static PyObject *core_await_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return await_fd(&write_kind, args, nargs, kwnames);
}

static PyObject *core_fd_closing(PyObject *self, PyObject *o)
{
    (void)self;
    int fd = parse_fd(o);
    if (fd < 0)
        return NULL;
    fdwait_evict(fd);
    Py_RETURN_NONE;
}

/* -> how many bytes; -1: errno says why not. EOPNOTSUPP: of such a descriptor the system cannot tell whether it would wait */
static ssize_t read_now(int fd, void *buf, size_t n)
{
#ifdef RWF_NOWAIT
    struct iovec v = {buf, n};
    ssize_t got;
    while ((got = preadv2(fd, &v, 1, -1, RWF_NOWAIT)) < 0 && errno == EINTR)
        ;
    if (got < 0 && (errno == ENOSYS || errno == EINVAL || errno == ESPIPE))
        errno = EOPNOTSUPP;
    return got;
#else
    (void)fd, (void)buf, (void)n;
    errno = EOPNOTSUPP;
    return -1;
#endif
}

/* (fd, n): what os.read() returns, if it need not wait. None: it would have to. NotImplemented: that cannot be told. */
static PyObject *core_read_now(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (!check_nargs("read_now", nargs, 2))
        return NULL;
    int fd = parse_fd(args[0]);
    Py_ssize_t n = fd < 0 ? -1 : PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (n < 0)
        return PyErr_Occurred() ? NULL : raise_errno(EINVAL);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, n);
    if (bytes == NULL)
        return NULL;
    ssize_t got = read_now(fd, PyBytes_AS_STRING(bytes), (size_t)n);
    int err = errno;
    if (got >= 0) {
        if (got != n)
            _PyBytes_Resize(&bytes, got);
        return bytes;
    }
    Py_DECREF(bytes);
    if (err == EAGAIN)
        Py_RETURN_NONE;
    if (err == EOPNOTSUPP)
        Py_RETURN_NOTIMPLEMENTED;
    return raise_errno(err);
}

static PyObject *core_use_netpoller(PyObject *self, PyObject *o)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8(o);
    return name ? PyBool_FromLong(netpolluse(name)) : NULL;
}

PyMethodDef io_functions[] = {
    {"wait_read", FASTKW(core_wait_read),
     "wait_read($module, fd, /, timeout=None)\n--\n\n"
     "Park until fd, an int or an object with fileno(), is readable, or at its end, or broken.\n\n"
     "Regular files always are. TimeoutError after `timeout` seconds. OSError (EBADF) if it is not open, or is a\n"
     "gopy.net connection's and closed meanwhile; a close() behind gopy's back is not seen."},
    {"wait_write", FASTKW(core_wait_write),
     "wait_write($module, fd, /, timeout=None)\n--\n\n"
     "Park until fd, an int or an object with fileno(), is writable, or broken. As wait_read()."},
    {"await_read", FASTKW(core_await_read),
     "await_read($module, fd, /, timeout=None)\n--\n\n"
     "An awaitable: wait_read() for `async def` and generator goroutines, and asyncio."},
    {"await_write", FASTKW(core_await_write),
     "await_write($module, fd, /, timeout=None)\n--\n\n"
     "An awaitable: wait_write() for `async def` and generator goroutines, and asyncio."},
    {"fd_closing", core_fd_closing, METH_O, NULL},
    {"read_now", FAST(core_read_now), NULL},
    {"use_netpoller", core_use_netpoller, METH_O, NULL},
    {0},
};
