/* pynetop.c: the operations on a NetFD (pyop.h), made of steps.
 *
 * Every operation first tries the system call, which does not block, without detaching; only if that says EAGAIN does
 * it wait (iowait.h). While an operation waits, its memory may be on a stack that is switched out: only the operation
 * itself touches that memory. Received bytes go through a small buffer on the stack, so a parked reader holds no memory
 * for what may never come.
 *
 * What a task of asyncio takes from a descriptor cannot be given back. So all operations but writing are `late`: the
 * steps are taken as the task goes on. Only what read_full() has got before it was cancelled goes to the NetFD's
 * `unread`, for the next reader. Whoever has the reading side guards `unread`. */
#include "pynetop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyerror.h"
#include "pyio.h"

#define SMALL 16384 /* bytes; what is received is copied once up to here */

/* Does a short read say that nothing is left? See iowait_end. */
static bool is_tcp(const struct iowait *w)
{
#ifdef SO_PROTOCOL
    if (unlikely(apeek(&w->pd->tcp) == TCP_UNKNOWN)) {
        int protocol = 0;
        socklen_t len = sizeof(protocol);
        bool yes =
            getsockopt(w->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP;
        iowait_learn(w, yes ? TCP_YES : TCP_NO);
    }
#endif
    return apeek(&w->pd->tcp) == TCP_YES;
}

bool netfd_is_open(NetFD *f)
{
    struct polldesc *pd = f->opened ? polldesc_of(f->fd) : NULL;
    return pd && apeek(&pd->seq) == f->seq;
}

/* io, a read_full() that has got some bytes, is about to let go of its side: the bytes are for the next reader, which may
 * be the same one. */
static void keep_unread(struct netop *io)
{
    NetFD *self = (NetFD *)io->op.obj;
    PyObject *had = self->unread, *bytes = PyBytes_FromStringAndSize(io->buf, io->done);
    if (bytes && had)
        PyBytes_Concat(&bytes, had);
    if (bytes)
        Py_XSETREF(self->unread, bytes);
    io->done = 0;
    io->w.partial = false;
    PyErr_Clear(); /* out of memory: they are lost */
}

/* r is what iowait said last: take steps until the operation is over, or gp is queued. */
static enum op_result go_on(struct netop *io, struct g *gp, enum io_result r)
{
    NetFD *self = (NetFD *)io->op.obj;
    struct iowait *w = &io->w;
    while (likely(r == IO_OK)) {
        bool known = w->empty && !self->unread;
        enum step s = known ? AGAIN : io->step(io, w->fd);
        if (s == AGAIN) {
            w->partial = io->step == step_read_full && io->done > 0;
            r = iowait_again(w, gp);
            continue;
        }
        int err = errno;
        iowait_end(w, io->drained && is_tcp(w));
        if (s == FAILED)
            raise_errno(err);
        return s == DONE ? io->result(io) : OP_RAISED;
    }
    if (r == IO_PARK && gp) {
        io->op.deadline = w->deadline;
        return OP_PARK;
    }
    if (unlikely(w->partial) && r != IO_CLOSED) {
        keep_unread(io);
        iowait_leave(w);
    }
    return r == IO_PARK ? OP_PARK : io_failed(w, r);
}

static enum op_result netop_begin(struct op *op, struct g *gp)
{
    struct netop *io = OP_OF(struct netop, op);
    NetFD *self = (NetFD *)op->obj;
    if (unlikely(io->nothing)) {
        if (netfd_is_open(self))
            return io->result(io);
        raise_errno(EBADF);
        return OP_RAISED;
    }
    /* A try does not write: after half a write it would have to let go of its side. */
    if (gp == NULL && io->step == step_write)
        return OP_PARK;
    if (unlikely(!self->opened)) {
        raise_errno(EBADF);
        return OP_RAISED;
    }
    io->w.fd = self->fd;
    io->w.seq = self->seq;
    io->w.pd = polldesc_of(self->fd);
    enum io_result r = iowait_begin(&io->w, gp);
    if (r == IO_OK && gp && gp->kind == GTASK && io->op.kind->late) {
        /* The task takes the step when it goes on; here it is only asked whether the descriptor is ready. A try has
         * asked that before, but iowait_begin has just forgotten the events that came since, or the side was another's
         * then. */
        if (self->unread || (!io->w.empty && iowait_poll(&io->w)) ||
            (r = iowait_again(&io->w, gp)) == IO_OK) {
            io->turn = true;
            return OP_YIELD;
        }
    }
    return go_on(io, gp, r);
}

static enum op_result netop_finish(struct op *op, struct g *gp, enum wake how)
{
    struct netop *io = OP_OF(struct netop, op);
    enum io_result r = io->turn ? IO_OK : iowait_finish(&io->w, gp, how);
    io->turn = false;
    /* What the task would read is for the next reader. */
    if (r == IO_OK && op->leaving) {
        if (io->w.partial)
            keep_unread(io);
        iowait_end(&io->w, false);
        return OP_RAISED;
    }
    return go_on(io, gp, r);
}

/* An awaitable calls this as it is freed; a caller of op_run() does it itself. */
void netop_clear(struct op *op)
{
    struct netop *io = OP_OF(struct netop, op);
    if (io->view.obj)
        PyBuffer_Release(&io->view);
    Py_CLEAR(io->got);
    Py_CLEAR(io->held);
}

const struct op_kind netop_late = {.name = "I/O",
                                   .begin = netop_begin,
                                   .finish = netop_finish,
                                   .clear = netop_clear,
                                   .size = sizeof(struct netop),
                                   .late = true};
const struct op_kind netop_write = {.name = "I/O",
                                    .begin = netop_begin,
                                    .finish = netop_finish,
                                    .clear = netop_clear,
                                    .size = sizeof(struct netop)};

/* ---- results ---- */

enum op_result result_got(struct netop *io)
{
    io->op.value = io->got;
    io->got = NULL;
    return OP_DONE;
}

enum op_result result_done(struct netop *io)
{
    io->op.value = PyLong_FromSsize_t(io->done);
    return io->op.value ? OP_DONE : OP_RAISED;
}

/* ---- the steps ---- */

static enum step step_of_errno(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? AGAIN : FAILED;
}

/* Take up to `most` of the bytes that a cancelled reader has left. There are some. -> how many; -1: raised. */
static ssize_t take_unread(NetFD *self, char *to, size_t most)
{
    PyObject *had = self->unread, *rest = NULL;
    size_t len = (size_t)PyBytes_GET_SIZE(had), n = len < most ? len : most;
    memcpy(to, PyBytes_AS_STRING(had), n);
    if (n < len &&
        (rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(had) + n, (Py_ssize_t)(len - n))) == NULL)
        return -1;
    self->unread = rest;
    Py_DECREF(had);
    return (ssize_t)n;
}

/* What a cancelled reader has left, or else recv(2). io->drained: nothing is left in the kernel. */
static ssize_t receive(struct netop *io, int fd, char *to, size_t most)
{
    NetFD *self = (NetFD *)io->op.obj;
    ssize_t n;
    if (unlikely(self->unread != NULL))
        return take_unread(self, to, most);
    while ((n = recv(fd, to, most, io->flags)) < 0 && errno == EINTR)
        ;
    /* MSG_PEEK leaves what it has got, MSG_OOB what is not urgent. */
    io->drained = n > 0 && n < (ssize_t)most && (io->flags & ~MSG_DONTWAIT) == 0;
    return n;
}

static enum step receive_failed(void) { return PyErr_Occurred() ? RAISED : step_of_errno(); }

/* noinline: its buffer is on the stack only while it runs, never while the goroutine is parked. */
__attribute__((noinline)) enum step step_read(struct netop *io, int fd)
{
    char small[SMALL];
    /* If a cancelled reader has left bytes, there may be more of them than are taken here, before those of the
     * kernel. */
    bool kept = ((NetFD *)io->op.obj)->unread != NULL;
    ssize_t n = receive(io, fd, small, io->len < SMALL ? (size_t)io->len : SMALL);
    if (n < 0)
        return receive_failed();
    if (n < SMALL || io->len == SMALL || kept) {
        io->got = PyBytes_FromStringAndSize(small, n);
        return io->got ? DONE : RAISED;
    }
    if ((io->got = PyBytes_FromStringAndSize(NULL, io->len)) == NULL)
        return RAISED;
    char *to = PyBytes_AS_STRING(io->got);
    memcpy(to, small, SMALL);
    /* Should this one fail, the next call fails likewise, and says so. */
    ssize_t more = recv(fd, to + SMALL, (size_t)io->len - SMALL, 0);
    if (more < io->len - SMALL && _PyBytes_Resize(&io->got, n + (more > 0 ? more : 0)) < 0)
        return RAISED;
    return DONE;
}

/* As socket.recv(): one recv(2), whose flags may be anything. noinline: as step_read. */
__attribute__((noinline)) enum step step_recv(struct netop *io, int fd)
{
    char small[SMALL];
    PyObject *large = io->len > SMALL ? PyBytes_FromStringAndSize(NULL, io->len) : NULL;
    if (large == NULL && io->len > SMALL)
        return RAISED;
    ssize_t n = receive(io, fd, large ? PyBytes_AS_STRING(large) : small, (size_t)io->len);
    int err = errno;
    if (n >= 0 && large)
        _PyBytes_Resize(&large, n);
    else if (n >= 0)
        large = PyBytes_FromStringAndSize(small, n);
    else
        Py_CLEAR(large);
    io->got = large;
    errno = err;
    return n < 0 ? receive_failed() : large ? DONE : RAISED;
}

enum step step_read_into(struct netop *io, int fd)
{
    ssize_t n = receive(io, fd, io->buf, (size_t)io->len);
    io->done = n;
    return n < 0 ? receive_failed() : DONE;
}

enum step step_read_full(struct netop *io, int fd)
{
    while (io->done < io->len) {
        ssize_t n = receive(io, fd, io->buf + io->done, (size_t)(io->len - io->done));
        if (n < 0)
            return receive_failed();
        if (n == 0) {
            PyErr_Format(PyExc_EOFError, "the connection ended after %zd of %zd bytes", io->done, io->len);
            return RAISED;
        }
        io->done += n;
    }
    io->drained = false;
    return DONE;
}

enum step step_write(struct netop *io, int fd)
{
    while (io->done < io->len) {
        ssize_t n = send(fd, io->buf + io->done, (size_t)(io->len - io->done), io->flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return step_of_errno();
        io->done += n;
    }
    return DONE;
}

enum step step_send(struct netop *io, int fd)
{
    io->done = send(fd, io->buf, (size_t)io->len, io->flags);
    return io->done < 0 ? step_of_errno() : DONE;
}

static int accept_cloexec(int fd, struct sockaddr *from, socklen_t *len)
{
#ifdef __linux__
    return accept4(fd, from, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int conn = accept(fd, from, len);
    if (conn >= 0) {
        fcntl(conn, F_SETFD, FD_CLOEXEC);
        fcntl(conn, F_SETFL, fcntl(conn, F_GETFL) | O_NONBLOCK);
    }
    return conn;
#endif
}

/* The connection is io->done, its peer's address io->got. */
enum step step_accept(struct netop *io, int fd)
{
    struct sockaddr_storage from;
    socklen_t len;
    int conn;
    /* After ECONNABORTED that connection is gone, but there may be another. */
    do
        conn = accept_cloexec(fd, (struct sockaddr *)&from, (len = sizeof(from), &len));
    while (conn < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (conn < 0)
        return step_of_errno();
    io->got = PyBytes_FromStringAndSize((char *)&from, len < sizeof(from) ? len : sizeof(from));
    if (io->got == NULL) {
        close(conn);
        return RAISED;
    }
    io->done = conn;
    return DONE;
}

/* args[0](*args[2:]), until it no longer raises BlockingIOError. */
enum step step_call(struct netop *io, int fd)
{
    (void)fd;
    io->got = PyObject_Vectorcall(io->args[0], io->args + 2, (size_t)io->len - 2, NULL);
    if (io->got)
        return DONE;
    if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
        return RAISED;
    PyErr_Clear();
    return AGAIN;
}
