/* pynetop.c: the calls on a NetFD, in steps, and what goes round them, whoever waits.
 *
 * Every operation first tries the system call, which does not block, without detaching; only if that says EAGAIN does it
 * park (iowait.h). While an operation is parked its iowait and its buffers' descriptions are on a stack that may be
 * switched out: nobody but itself touches them. Received bytes go through a small buffer on the stack, so a parked
 * reader holds no memory for what may never come. */
#include "pygopy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL 16384 /* bytes; what is received is copied once up to here */

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Does a short read say that nothing is left? See iowait_end. */
static bool is_tcp(NetFD *self, int fd)
{
#ifdef SO_PROTOCOL
    if (unlikely(apeek(&self->tcp) == 0)) {
        int protocol = 0;
        socklen_t len = sizeof(protocol);
        bool yes = getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP;
        apoke(&self->tcp, yes ? 1 : 2);
    }
#endif
    return apeek(&self->tcp) == 1;
}

/* r is what iowait said last: take steps until op is DONE, or RAISED, which raises unless it was cancelled. AGAIN: gp is
 * queued, and neither op nor w is to be touched but by whoever goes on with it. */
enum step netop_go_on(NetFD *self, struct netop *op, struct iowait *w, struct g *gp, enum io_result r)
{
    while (likely(r == IO_OK)) {
        enum step s = w->empty && op->step != step_nothing ? AGAIN : op->step(op, w->fd);
        w->empty = false;
        if (s == AGAIN) {
            r = iowait_again(w, gp);
            continue;
        }
        int err = errno;
        iowait_end(w, op->drained && is_tcp(self, w->fd));
        if (s == DONE)
            return DONE;
        if (s == FAILED)
            raise_errno(err);
        return RAISED;
    }
    if (r == IO_PARK)
        return AGAIN;
    if (r != IO_CANCEL)
        raise_io(r, w->err);
    return RAISED;
}

/* Say what w is to wait for. false: raised. */
bool netop_aim(NetFD *self, struct iowait *w)
{
    if (unlikely(!self->opened)) {
        raise_errno(EBADF);
        return false;
    }
    w->fd = self->fd;
    w->seq = self->seq;
    w->pd = polldesc_of(self->fd);
    return true;
}

/* Do op, parking as often as it takes. 0, or -1: raised. */
int netop_run(NetFD *self, enum pollmode mode, struct netop *op)
{
    struct g *gp = current_g();
    struct iowait w = {.mode = (uint8_t)mode};
    if (unlikely(gp == NULL || !netop_aim(self, &w)))
        return -1;
    enum io_result r = iowait_begin(&w, gp);
    enum step s;
    while ((s = netop_go_on(self, op, &w, gp, r)) == AGAIN)
        r = iowait_finish(&w, gp, gowait(gp, w.deadline));
    return s == DONE ? 0 : -1;
}

/* ---- the steps ---- */

static enum step step_of_errno(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? AGAIN : FAILED;
}

/* noinline: its buffer is on the stack only while it runs, never while the goroutine is parked. */
__attribute__((noinline)) enum step step_read(struct netop *op, int fd)
{
    char small[SMALL];
    size_t most = op->len < SMALL ? (size_t)op->len : SMALL;
    ssize_t n;
    while ((n = recv(fd, small, most, 0)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return step_of_errno();
    op->drained = n > 0 && n < (ssize_t)most;
    if (n < SMALL || op->len == SMALL) {
        op->result = PyBytes_FromStringAndSize(small, n);
        return op->result ? DONE : RAISED;
    }
    if ((op->result = PyBytes_FromStringAndSize(NULL, op->len)) == NULL)
        return RAISED;
    char *to = PyBytes_AS_STRING(op->result);
    memcpy(to, small, SMALL);
    ssize_t more = recv(fd, to + SMALL, (size_t)op->len - SMALL, 0); /* its error is the next call's, too */
    if (more < op->len - SMALL && _PyBytes_Resize(&op->result, n + (more > 0 ? more : 0)) < 0)
        return RAISED;
    return DONE;
}

enum step step_nothing(struct netop *op, int fd)
{
    (void)fd;
    op->result = PyBytes_FromStringAndSize(NULL, 0);
    return op->result ? DONE : RAISED;
}

enum step step_read_into(struct netop *op, int fd)
{
    ssize_t n;
    while ((n = recv(fd, op->buf, (size_t)op->len, 0)) < 0 && errno == EINTR)
        ;
    op->done = n;
    op->drained = n > 0 && n < op->len;
    return n < 0 ? step_of_errno() : DONE;
}

enum step step_read_full(struct netop *op, int fd)
{
    while (op->done < op->len) {
        ssize_t n = recv(fd, op->buf + op->done, (size_t)(op->len - op->done), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return step_of_errno();
        if (n == 0) {
            PyErr_Format(PyExc_EOFError, "the connection ended after %zd of %zd bytes", op->done, op->len);
            return RAISED;
        }
        op->done += n;
    }
    return DONE;
}

enum step step_write(struct netop *op, int fd)
{
    while (op->done < op->len) {
        ssize_t n = send(fd, op->buf + op->done, (size_t)(op->len - op->done), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return step_of_errno();
        op->done += n;
    }
    return DONE;
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

/* The connection is op->done, its peer's address op->result. */
enum step step_accept(struct netop *op, int fd)
{
    struct sockaddr_storage from;
    socklen_t len;
    int conn;
    do
        conn = accept_cloexec(fd, (struct sockaddr *)&from, (len = sizeof(from), &len));
    while (conn < 0 &&
           (errno == EINTR || errno == ECONNABORTED)); /* that one is gone: there may be another */
    if (conn < 0)
        return step_of_errno();
    op->result = PyBytes_FromStringAndSize((char *)&from, len < sizeof(from) ? len : sizeof(from));
    if (op->result == NULL) {
        close(conn);
        return RAISED;
    }
    op->done = conn;
    return DONE;
}

/* args[0](*args[2:]), until it no longer raises BlockingIOError. */
enum step step_call(struct netop *op, int fd)
{
    (void)fd;
    op->result = PyObject_Vectorcall(op->args[0], op->args + 2, (size_t)op->len - 2, NULL);
    if (op->result)
        return DONE;
    if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
        return RAISED;
    PyErr_Clear();
    return AGAIN;
}
