/* pyio.c: wait_read and wait_write, for anybody's descriptor, and what all calls on descriptors share. */
#include "pygopy.h"

#include <errno.h>

PyObject *raise_errno(int err)
{
    errno = err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

void raise_io(enum io_result r, int err)
{
    switch (r) {
    case IO_CLOSED:
        raise_errno(EBADF);
        return;
    case IO_ERRNO:
        raise_errno(err);
        return;
    default:
        raise_chan(r == IO_TIMEOUT ? CHAN_TIMEOUT : r == IO_INTERRUPT ? CHAN_INTERRUPT : CHAN_NOMEM);
    }
}

static int parse_fd(PyObject *o)
{
    if (!PyLong_Check(o) && !PyObject_HasAttrString(o, "fileno"))
        return type_error("fd", "an int or an object with fileno()", o);
    return PyObject_AsFileDescriptor(o);
}

static PyObject *wait_fd(const char *name, enum pollmode mode, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    int64_t deadline = NEVER;
    if (nargs == 2 && kwnames == NULL) {
        if (parse_timeout(args[1], "timeout", &deadline) < 0)
            return NULL;
    } else if ((nargs != 1 || kwnames) && parse_timeout_kw(args, nargs, 1, kwnames, name, &deadline) < 0) {
        return NULL;
    }
    int fd = parse_fd(args[0]);
    struct g *gp = fd < 0 ? NULL : current_g();
    if (gp == NULL)
        return NULL;
    struct iowait w;
    enum io_result r = fdwait_begin(&w, fd, mode, deadline == DEADLINE_PAST ? NULL : gp, deadline);
    if (r == IO_PARK && deadline == DEADLINE_PAST)
        r = IO_TIMEOUT;
    while (r == IO_PARK)
        r = fdwait_finish(&w, gp, gowait(gp, deadline));
    if (r == IO_OK)
        Py_RETURN_NONE;
    raise_io(r, w.err);
    return NULL;
}

static PyObject *core_wait_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return wait_fd("wait_read", POLL_READ, args, nargs, kwnames);
}

static PyObject *core_wait_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    return wait_fd("wait_write", POLL_WRITE, args, nargs, kwnames);
}

/* await_read() and await_write(): when is the descriptor, data its iowait. */
static enum await_result await_fd_result(PyAwait *a, enum io_result r, int err)
{
    if (r == IO_PARK)
        return AWAIT_PARK;
    if (r == IO_OK) {
        a->value = new_ref(Py_None);
        return AWAIT_DONE;
    }
    if (r != IO_CANCEL)
        raise_io(r, err);
    return AWAIT_RAISED;
}

static enum await_result await_fd_begin(PyAwait *a, struct g *gp, enum pollmode mode)
{
    struct iowait failed = {0}, *w = gp ? a->data : &failed; /* a may be gone once gp is queued */
    enum io_result r = fdwait_begin(w, (int)a->when, mode, gp, NEVER);
    return r == IO_PARK ? AWAIT_PARK : await_fd_result(a, r, w->err);
}

static enum await_result await_read_begin(PyAwait *a, struct g *gp)
{
    return await_fd_begin(a, gp, POLL_READ);
}

static enum await_result await_write_begin(PyAwait *a, struct g *gp)
{
    return await_fd_begin(a, gp, POLL_WRITE);
}

static enum await_result await_fd_finish(PyAwait *a, struct g *gp, enum wake how)
{
    struct iowait *w = a->data;
    enum io_result r = fdwait_finish(w, gp, how);
    return r == IO_PARK ? AWAIT_PARK : await_fd_result(a, r, w->err);
}

static void await_fd_free(PyAwait *a) { PyMem_RawFree(a->data); }

static const struct await_ops read_await = {
    .name = "await_read", .begin = await_read_begin, .finish = await_fd_finish, .free = await_fd_free};
static const struct await_ops write_await = {
    .name = "await_write", .begin = await_write_begin, .finish = await_fd_finish, .free = await_fd_free};

static PyObject *await_fd(const struct await_ops *ops, PyObject *o)
{
    int fd = parse_fd(o);
    PyAwait *a = fd < 0 ? NULL : await_new(ops, o, NULL);
    if (a == NULL)
        return NULL;
    a->when = fd;
    if ((a->data = PyMem_RawCalloc(1, sizeof(struct iowait))) == NULL) {
        Py_DECREF(a);
        return PyErr_NoMemory();
    }
    return (PyObject *)a;
}

static PyObject *core_await_read(PyObject *self, PyObject *fd)
{
    (void)self;
    return await_fd(&read_await, fd);
}

static PyObject *core_await_write(PyObject *self, PyObject *fd)
{
    (void)self;
    return await_fd(&write_await, fd);
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

static PyObject *core_use_netpoller(PyObject *self, PyObject *o)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8(o);
    return name ? PyBool_FromLong(netpolluse(name)) : NULL;
}

PyMethodDef io_functions[] = {
    {"wait_read", (PyCFunction)(void (*)(void))core_wait_read, METH_FASTCALL | METH_KEYWORDS,
     "wait_read($module, fd, /, timeout=None)\n--\n\n"
     "Park until fd, an int or an object with fileno(), is readable, or at its end, or broken.\n\n"
     "Regular files always are. TimeoutError after `timeout` seconds. OSError (EBADF) if it is not open, or is a\n"
     "gopy.net connection's and closed meanwhile; a close() behind gopy's back is not seen."},
    {"wait_write", (PyCFunction)(void (*)(void))core_wait_write, METH_FASTCALL | METH_KEYWORDS,
     "wait_write($module, fd, /, timeout=None)\n--\n\n"
     "Park until fd, an int or an object with fileno(), is writable, or broken. As wait_read()."},
    {"await_read", core_await_read, METH_O,
     "await_read($module, fd, /)\n--\n\n"
     "An awaitable: wait_read() for `async def` and generator goroutines, and asyncio."},
    {"await_write", core_await_write, METH_O,
     "await_write($module, fd, /)\n--\n\n"
     "An awaitable: wait_write() for `async def` and generator goroutines, and asyncio."},
    {"fd_closing", core_fd_closing, METH_O, NULL},
    {"use_netpoller", core_use_netpoller, METH_O, NULL},
    {0},
};
