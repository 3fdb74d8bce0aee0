/* iowait.c: see iowait.h for the form of an operation, netpoll.h for the states of a descriptor.
 *
 * A side's latch `ready` is reset before each system call and looked at after it, both under pd->lock: so the
 * event that comes between a system call that found nothing and the parking is not lost. */
#include "runtime/iowait.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "runtime/sudog.h"

/* 1: ready; 0: not; else -errno. */
static int fd_ready(int fd, enum pollmode mode)
{
    struct pollfd p = {.fd = fd, .events = mode == POLL_READ ? POLLIN | POLLPRI : POLLOUT};
    int n;
    while ((n = poll(&p, 1, 0)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return -errno;
    return p.revents & POLLNVAL ? -EBADF : n;
}

static enum io_result ended(struct iowait *w, enum wake how)
{
    w->ended = how;
    return IO_ENDED;
}

static bool passed(int64_t deadline)
{
    return unlikely(deadline != NEVER) && (deadline == 0 || nanotime() >= deadline);
}

/* When w, which has tried in vain, is to give up. */
static int64_t deadline_locked(const struct iowait *w)
{
    int64_t side = w->pd->side[w->mode].deadline;
    assert_held(&w->pd->lock);
    return w->limit < side ? w->limit : side;
}

/* Begin gp's wait on q, a queue of w's side. Once the caller has unlocked pd, gp may run, and unless it is bound to
 * this M it may run elsewhere. */
static void park_locked(struct iowait *w, struct waitq *q, struct g *gp, int64_t deadline)
{
    assert_held(&w->pd->lock);
    w->deadline = deadline;
    gp->wait->sg.success = false;
    wait_begin(gp, WAIT_IO);
    enqueue(q, &gp->wait->sg);
}

/* The operation that holds this side has ended. If others wait for the side it is the first one's from here on: -> its
 * goroutine, to be readied after the unlock, or NULL. */
static struct g *release_locked(struct polldesc *pd, enum pollmode mode)
{
    struct pollside *s = &pd->side[mode];
    assert_held(&pd->lock);
    rt_assert(s->held);
    struct sudog *sg = dequeue(&s->lockers);
    s->held = sg != NULL;
    return sg ? sg->g : NULL;
}

/* w, which holds its side, ends without having been done. -> as release_locked */
static struct g *give_up_locked(struct iowait *w)
{
    return w->partial ? NULL : release_locked(w->pd, (enum pollmode)w->mode);
}

/* w holds its side. IO_OK: it may make its system call. IO_ENDED: the side's deadline has passed (*next as from
 * give_up_locked). */
static enum io_result enter_locked(struct iowait *w, struct g **next)
{
    struct pollside *s = &w->pd->side[w->mode];
    assert_held(&w->pd->lock);
    rt_assert(s->held);
    if (passed(s->deadline)) {
        *next = give_up_locked(w);
        return ended(w, WAKE_TIMEOUT);
    }
    s->ready = s->drained = w->empty = false;
    w->pd->nsys++;
    return IO_OK;
}

enum io_result iowait_begin(struct iowait *w, struct g *gp)
{
    struct polldesc *pd = w->pd;
    struct pollside *s = &pd->side[w->mode];
    struct g *next = NULL;
    enum io_result r;
    w->empty = false;
    lock(&pd->lock);
    if (unlikely(pd->seq != w->seq)) {
        r = IO_CLOSED;
    } else if (unlikely(s->held)) {
        w->locking = true;
        /* Without the side's deadline: the operation that holds the side ends by that at the latest, and then it is gp's
         * turn, which finds that the deadline has passed. */
        if (gp)
            park_locked(w, &s->lockers, gp, w->limit);
        r = IO_PARK;
    } else {
        s->held = true;
        bool empty = s->drained && !s->ready && !pd->odd && pd->gen == np.gen && !np.backend->level;
        r = enter_locked(w, &next);
        w->empty = empty;
    }
    unlock(&pd->lock);
    if (unlikely(next != NULL))
        goready(next);
    return r;
}

bool iowait_poll(const struct iowait *w) { return fd_ready(w->fd, w->mode) != 0; }

enum io_result iowait_again(struct iowait *w, struct g *gp)
{
    struct polldesc *pd = w->pd;
    struct pollside *s = &pd->side[w->mode];
    struct g *next = NULL;
    int fd = w->fd;
    uint32_t seq = w->seq;
    enum pollmode mode = w->mode;
    bool arm = false;
    enum io_result r;
    int err = gp ? netpollinit() : 0;
    lock(&pd->lock);
    bool doclose = netpollsysdone_locked(pd);
    if (unlikely(pd->seq != seq)) {
        r = IO_CLOSED;
    } else if (unlikely(err)) {
        w->err = err;
        next = give_up_locked(w);
        r = IO_ERRNO;
    } else if (s->ready && gp) {
        r = enter_locked(w, &next);
    } else if (passed(deadline_locked(w))) {
        next = give_up_locked(w);
        r = ended(w, WAKE_TIMEOUT);
    } else if (gp == NULL) {
        /* The wait that follows need not ask again. */
        s->drained = mode == POLL_READ;
        next = give_up_locked(w);
        r = IO_PARK;
    } else {
        w->locking = false;
        arm = pd->gen != np.gen || np.backend->level;
        aadd(&np.nwaiters, 1);
        park_locked(w, &s->waiters, gp, deadline_locked(w));
        unlock(&pd->lock);
        if (arm)
            netpollarm(fd, pd, seq, mode, false);
        if (gp->kind >= GFOREIGN)
            poll_watch();
        return IO_PARK;
    }
    unlock(&pd->lock);
    if (unlikely(doclose))
        close(fd);
    if (next)
        goready(next);
    return r;
}

static enum io_result finish_locked(struct iowait *w, struct g *gp, enum wake how, struct g **next)
{
    struct polldesc *pd = w->pd;
    struct pollside *s = &pd->side[w->mode];
    assert_held(&pd->lock);
    dequeue_sudog(w->locking ? &s->lockers : &s->waiters, &gp->wait->sg);
    if (unlikely(pd->seq != w->seq))
        return IO_CLOSED;
    if (w->locking)
        return how == WAKE_OP ? enter_locked(w, next) : ended(w, how);
    /* The deadline has been moved at the last moment: the operation goes on. */
    bool moved = how == WAKE_TIMEOUT && !passed(deadline_locked(w));
    if (unlikely(how == WAKE_OP && pd->armerr)) {
        w->err = pd->armerr;
        *next = give_up_locked(w);
        return IO_ERRNO;
    }
    if (how == WAKE_OP || moved)
        return enter_locked(w, next);
    *next = give_up_locked(w);
    return ended(w, how);
}

enum io_result iowait_finish(struct iowait *w, struct g *gp, enum wake how)
{
    struct g *next = NULL;
    lock(&w->pd->lock);
    enum io_result r = finish_locked(w, gp, how, &next);
    unlock(&w->pd->lock);
    if (!w->locking)
        aadd(&np.nwaiters, -1);
    if (unlikely(next != NULL))
        goready(next);
    return r;
}

void iowait_leave(struct iowait *w)
{
    struct polldesc *pd = w->pd;
    lock(&pd->lock);
    struct g *next = pd->seq == w->seq ? release_locked(pd, (enum pollmode)w->mode) : NULL;
    unlock(&pd->lock);
    if (unlikely(next != NULL))
        goready(next);
}

void iowait_end(struct iowait *w, bool drained)
{
    struct polldesc *pd = w->pd;
    struct g *next = NULL;
    lock(&pd->lock);
    bool doclose = netpollsysdone_locked(pd);
    if (likely(pd->seq == w->seq)) {
        pd->side[w->mode].drained = drained;
        next = release_locked(pd, (enum pollmode)w->mode);
    }
    unlock(&pd->lock);
    if (unlikely(doclose))
        close(w->fd);
    if (unlikely(next != NULL))
        goready(next);
}

void iowait_learn(const struct iowait *w, enum polltcp tcp)
{
    struct polldesc *pd = w->pd;
    lock(&pd->lock);
    if (pd->seq == w->seq)
        apoke(&pd->tcp, (uint8_t)tcp);
    unlock(&pd->lock);
}

bool iowait_setdeadline(int fd, uint32_t seq, enum pollmode mode, int64_t when)
{
    struct polldesc *pd = polldesc_of(fd);
    struct gqueue list = {0};
    lock(&pd->lock);
    bool open = pd->seq == seq;
    if (open) {
        struct pollside *s = &pd->side[mode];
        s->deadline = when;
        if (s->waiters.first) /* they look at the new deadline, and park again */
            netpollunblock_locked(pd, mode, &list);
    }
    unlock(&pd->lock);
    for (struct g *gp; (gp = gq_pop(&list)) != NULL;)
        goready(gp);
    return open;
}

bool iowait_close(int fd, uint32_t seq)
{
    struct gqueue list = {0};
    bool was_open = netpollclose(fd, seq, &list);
    for (struct g *gp; (gp = gq_pop(&list)) != NULL;)
        goready(gp);
    return was_open;
}

bool iowait_hold(int fd, uint32_t seq)
{
    struct polldesc *pd = polldesc_of(fd);
    lock(&pd->lock);
    bool open = pd->seq == seq;
    pd->nsys += open;
    unlock(&pd->lock);
    return open;
}

void iowait_release(int fd)
{
    struct polldesc *pd = polldesc_of(fd);
    lock(&pd->lock);
    /* nsys is 0 in the child of a fork, if the descriptor was held in the parent. */
    bool doclose = pd->nsys > 0 && netpollsysdone_locked(pd);
    unlock(&pd->lock);
    if (unlikely(doclose))
        close(fd);
}

/* ---- other people's descriptors ---- */

static enum io_result fdwait_failed(struct iowait *w, int err)
{
    w->err = err;
    return err == EBADF ? IO_CLOSED : err == ENOMEM ? ended(w, WAKE_NOMEM) : IO_ERRNO;
}

enum io_result fdwait_begin(struct iowait *w, int fd, enum pollmode mode, struct g *gp)
{
    int ready = fd_ready(fd, mode);
    if (ready < 0)
        return fdwait_failed(w, -ready);
    if (ready > 0)
        return IO_OK;
    if (gp == NULL)
        return IO_PARK;
    struct polldesc *pd = polldesc_of(fd);
    int err = pd ? netpollinit() : ENOMEM;
    if (err)
        return fdwait_failed(w, err);
    lock(&pd->lock);
    uint32_t seq = pd->seq;
    *w = (struct iowait){.fd = fd, .seq = seq, .mode = mode, .pd = pd};
    aadd(&np.nwaiters, 1);
    park_locked(w, &pd->side[mode].waiters, gp, NEVER);
    unlock(&pd->lock);
    netpollarm(fd, pd, seq, mode, true); /* reports once more what came before */
    if (gp->kind >= GFOREIGN)
        poll_watch();
    return IO_PARK;
}

enum io_result fdwait_finish(struct iowait *w, struct g *gp, enum wake how)
{
    struct polldesc *pd = w->pd;
    lock(&pd->lock);
    dequeue_sudog(&pd->side[w->mode].waiters, &gp->wait->sg);
    bool closed = pd->seq != w->seq;
    int err = pd->armerr;
    unlock(&pd->lock);
    aadd(&np.nwaiters, -1);
    if (closed)
        return IO_CLOSED;
    if (how != WAKE_OP)
        return ended(w, how);
    if (err == EPERM) /* a regular file, which never makes anybody wait */
        return IO_OK;
    return err ? fdwait_failed(w, err) : fdwait_begin(w, w->fd, w->mode, gp);
}

void fdwait_evict(int fd)
{
    struct gqueue list = {0};
    netpollevict(fd, &list);
    for (struct g *gp; (gp = gq_pop(&list)) != NULL;)
        goready(gp);
}
