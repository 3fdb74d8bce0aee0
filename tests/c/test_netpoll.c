/* test_netpoll.c: descriptors, on socket pairs and pipes. Here no M sleeps in the poller: the tests poll themselves, or,
 * where several threads wait, a thread of theirs does. With a GIL there is one thread: only what need not wait. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "runtime/iowait.h"
#include "runtime/sudog.h"

#define MS 1000000
#define HOUR (3600LL * 1000 * MS) /* what does not pass while a test runs */

struct end { /* of a connection */
    int fd;
    uint32_t seq;
};

static void pair(struct end ends[2])
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0);
        ends[i].fd = fds[i];
        CHECK(netpollopen(fds[i], &ends[i].seq) == 0);
    }
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static struct iowait op(struct end *e, enum pollmode mode)
{
    return (struct iowait){
        .fd = e->fd, .seq = e->seq, .mode = mode, .pd = polldesc_of(e->fd), .limit = NEVER};
}

/* Whom the poller finds ready. */
static uint32_t poll_once(int64_t wait)
{
    struct pollevents evs;
    struct gqueue list = {0};
    int64_t until = wait ? nanotime() + wait : 0;
    int err;
    while ((err = np.backend->poll(&evs, until)) == EINTR) /* the process was stopped, and goes on */
        ;
    CHECK(err == 0);
    netpollready(&evs, &list);
    uint32_t n = list.n;
    for (struct g *gp; (gp = gq_pop(&list)) != NULL;)
        goready(gp);
    return n;
}

/* A goroutine that nobody runs: begin and finish are driven by hand. */
struct fake {
    struct g g;
    struct gwait wait;
    struct note note;
};

static void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->g.kind = GFOREIGN;
    f->g.note = &f->note;
    f->g.wait = &f->wait;
    f->wait.sg.g = &f->g;
    f->g.epoch = sched.epoch;
}

static bool woken(struct fake *f)
{
    bool was = real_load(&f->note.key);
    note_clear(&f->note);
    return was;
}

static void test_states(void)
{
    struct end e[2];
    struct fake a, b;
    char c;
    pair(e);
    fake_init(&a);
    fake_init(&b);
    struct iowait w = op(&e[0], POLL_READ), v = op(&e[0], POLL_READ);
    uint32_t nreg = np.nreg;

    CHECK(iowait_begin(&w, &a.g) == IO_OK);
    CHECK(np.nreg == nreg); /* what never waits is not registered */
    CHECK(iowait_begin(&v, &b.g) == IO_PARK);
    CHECK(recv(e[0].fd, &c, 1, 0) < 0 && errno == EAGAIN);
    CHECK(iowait_again(&w, &a.g) == IO_PARK);
    CHECK(np.nreg == nreg + 1 && np.nwaiters == 1);
    poll_once(0);
    CHECK(!woken(&a) && !woken(&b));
    CHECK(write(e[1].fd, "x", 1) == 1);
    CHECK(poll_once(1000 * MS) == 1 && woken(&a) && !woken(&b));
    CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_OK && np.nwaiters == 0);
    CHECK(recv(e[0].fd, &c, 1, 0) == 1 && c == 'x');
    iowait_end(&w, false); /* the next one's turn */
    CHECK(woken(&b));
    CHECK(iowait_finish(&v, &b.g, WAKE_OP) == IO_OK);
    CHECK(recv(e[0].fd, &c, 1, 0) < 0 && errno == EAGAIN);

    /* An event between the system call and the parking is not lost. */
    CHECK(write(e[1].fd, "y", 1) == 1);
    poll_once(1000 * MS);
    enum io_result r = iowait_again(&v, &b.g);
    if (np.backend->level) { /* that polls what is the case, not what has happened */
        CHECK(r == IO_PARK && poll_once(0) == 1 && woken(&b));
        r = iowait_finish(&v, &b.g, WAKE_OP);
    }
    CHECK(r == IO_OK && recv(e[0].fd, &c, 1, 0) == 1 && c == 'y');
    iowait_end(&v, false);

    /* Nobody to park: it only says so, and has ended. */
    bool edge = !np.backend->level;
    CHECK(iowait_begin(&w, NULL) == IO_OK && !w.empty);
    CHECK(iowait_again(&w, NULL) == IO_PARK);
    /* Who tries again, or waits now, need not make the system call. */
    CHECK(iowait_begin(&w, NULL) == IO_OK && w.empty == edge);
    CHECK(iowait_again(&w, NULL) == IO_PARK);
    CHECK(iowait_begin(&w, &a.g) == IO_OK && w.empty == edge);
    iowait_end(&w, false);

    /* What has been drained need not be tried again, unless an event has come since. */
    CHECK(iowait_begin(&w, &a.g) == IO_OK && !w.empty);
    iowait_end(&w, true);
    CHECK(iowait_begin(&w, &a.g) == IO_OK && w.empty == edge);
    CHECK(iowait_again(&w, &a.g) == IO_PARK);
    CHECK(write(e[1].fd, "z", 1) == 1);
    CHECK(poll_once(1000 * MS) == 1 && woken(&a) && iowait_finish(&w, &a.g, WAKE_OP) == IO_OK);
    CHECK(!w.empty); /* whoever goes on tries */
    CHECK(recv(e[0].fd, &c, 1, 0) == 1);
    iowait_end(&w, true);
    CHECK(iowait_begin(&w, &a.g) == IO_OK && w.empty == edge);
    CHECK(write(e[1].fd, "z", 1) == 1);
    if (edge) {
        poll_once(1000 * MS);
        CHECK(iowait_again(&w, &a.g) == IO_OK && !w.empty);
    }
    CHECK(recv(e[0].fd, &c, 1, 0) == 1);
    iowait_end(&w, true);
    CHECK(write(e[1].fd, "z", 1) == 1);
    poll_once(edge ? 1000 * MS : 0);
    CHECK(iowait_begin(&w, &a.g) == IO_OK && !w.empty);
    CHECK(recv(e[0].fd, &c, 1, 0) == 1);
    CHECK(shutdown(e[1].fd, SHUT_WR) == 0); /* seen, or not yet: it may not be told again */
    poll_once(edge ? 1000 * MS : 0);
    iowait_end(&w, true);
    CHECK(iowait_begin(&w, &a.g) == IO_OK && !w.empty);
    iowait_end(&w, false);

    CHECK(iowait_close(e[0].fd, e[0].seq) && !is_open(e[0].fd));
    CHECK(!iowait_close(e[0].fd, e[0].seq));
    CHECK(iowait_begin(&w, &a.g) == IO_CLOSED);
    CHECK(iowait_close(e[1].fd, e[1].seq));
    CHECK(np.nreg == nreg);
}

static void test_close(void)
{
    struct end e[2];
    struct fake a, b, c;
    pair(e);
    fake_init(&a);
    fake_init(&b);
    fake_init(&c);
    struct iowait w = op(&e[0], POLL_READ), v = op(&e[0], POLL_READ), u;
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_again(&w, &a.g) == IO_PARK);
    CHECK(iowait_begin(&v, &b.g) == IO_PARK);
    CHECK(fdwait_begin(&u, e[0].fd, POLL_READ, &c.g) == IO_PARK);
    CHECK(iowait_close(e[0].fd, e[0].seq) && !is_open(e[0].fd));
    CHECK(woken(&a) && woken(&b) && woken(&c));
    CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_CLOSED);
    CHECK(iowait_finish(&v, &b.g, WAKE_OP) == IO_CLOSED);
    CHECK(fdwait_finish(&u, &c.g, WAKE_OP) == IO_CLOSED);
    CHECK(np.nwaiters == 0);

    /* In a system call while it is closed: it stays open until that is over. */
    w = op(&e[1], POLL_READ);
    CHECK(iowait_begin(&w, &a.g) == IO_OK);
    CHECK(iowait_close(e[1].fd, e[1].seq) && is_open(e[1].fd));
    CHECK(iowait_again(&w, &a.g) == IO_CLOSED && !is_open(e[1].fd));

    /* Held by two at once, beside an operation: the last of them closes it. */
    struct end h[2];
    pair(h);
    w = op(&h[0], POLL_READ);
    CHECK(iowait_hold(h[0].fd, h[0].seq) && iowait_hold(h[0].fd, h[0].seq));
    CHECK(iowait_begin(&w, &a.g) == IO_OK);
    CHECK(iowait_close(h[0].fd, h[0].seq) && !iowait_hold(h[0].fd, h[0].seq));
    iowait_release(h[0].fd);
    iowait_end(&w, false);
    CHECK(is_open(h[0].fd));
    iowait_release(h[0].fd);
    CHECK(!is_open(h[0].fd));
    CHECK(iowait_hold(h[1].fd, h[1].seq));
    iowait_release(h[1].fd);
    CHECK(is_open(h[1].fd) && iowait_close(h[1].fd, h[1].seq) && !is_open(h[1].fd));

    /* The number has a new owner: the old one's title is worth nothing, events for it neither. */
    struct end f[2];
    pair(f);
    v = op(&f[0], POLL_READ);
    CHECK(iowait_begin(&v, &b.g) == IO_OK && iowait_again(&v, &b.g) == IO_PARK);
    struct pollevents late = {.n = 1, .ev = {{.fd = f[0].fd, .seq = f[0].seq - 1, .modes = 3}}};
    struct gqueue list = {0};
    netpollready(&late, &list);
    CHECK(list.head == NULL && !woken(&b));
    for (int i = 0; i < 2; i++)
        CHECK(iowait_close(f[i].fd, f[i].seq));
    CHECK(iowait_finish(&v, &b.g, WAKE_OP) == IO_CLOSED);
}

static void test_deadlines(void)
{
    struct end e[2];
    struct fake a, b;
    pair(e);
    fake_init(&a);
    fake_init(&b);
    struct iowait w = op(&e[0], POLL_READ), v = op(&e[0], POLL_READ);
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, 0));
    CHECK(iowait_begin(&w, &a.g) == IO_ENDED);
    int64_t soon = nanotime() + HOUR;
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, soon));
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_again(&w, &a.g) == IO_PARK && w.deadline == soon);
    CHECK(iowait_begin(&v, &b.g) == IO_PARK);

    /* Moved while parked: it looks again and parks with the new one. */
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, soon + 1) && woken(&a) && !woken(&b));
    CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_OK);
    CHECK(iowait_again(&w, &a.g) == IO_PARK && w.deadline == soon + 1);

    /* Moved into the past: everybody's is over. */
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, 0) && woken(&a));
    CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_ENDED);
    CHECK(woken(&b) && iowait_finish(&v, &b.g, WAKE_OP) == IO_ENDED);

    /* One that has got a part keeps its side until it has put that where the next one finds it. */
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, soon));
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_begin(&v, &b.g) == IO_PARK);
    w.partial = true;
    CHECK(iowait_again(&w, &a.g) == IO_PARK);
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, 0) && woken(&a));
    CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_ENDED && w.ended == WAKE_TIMEOUT && !woken(&b));
    iowait_leave(&w);
    CHECK(woken(&b) && iowait_finish(&v, &b.g, WAKE_OP) == IO_ENDED);
    w.partial = false;

    struct iowait other = op(&e[0], POLL_WRITE);
    CHECK(iowait_begin(&other, &a.g) == IO_OK); /* the other side has its own */
    iowait_end(&other, false);

    /* A timeout leaves nothing on any queue, and what arrives meanwhile is not lost. */
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, soon));
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_again(&w, &a.g) == IO_PARK && w.deadline == soon);
    w.pd->side[POLL_READ].deadline = nanotime(); /* as if the time had come */
    CHECK(wait_claim(&a.g) && write(e[1].fd, "z", 1) == 1);
    poll_once(1000 * MS);
    CHECK(!woken(&a) && iowait_finish(&w, &a.g, WAKE_TIMEOUT) == IO_ENDED);
    CHECK(a.wait.sg.q == NULL && np.nwaiters == 0);
    CHECK(iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, NEVER));
    char c;
    CHECK(iowait_begin(&w, &a.g) == IO_OK && recv(e[0].fd, &c, 1, 0) == 1 && c == 'z');
    iowait_end(&w, false);
    for (int i = 0; i < 2; i++)
        CHECK(iowait_close(e[i].fd, e[i].seq));
    CHECK(!iowait_setdeadline(e[0].fd, e[0].seq, POLL_READ, NEVER));
}

static void test_anybodys(void)
{
    int fds[2], copy;
    struct fake a, b;
    struct iowait w, v;
    fake_init(&a);
    fake_init(&b);
    CHECK(pipe(fds) == 0);
    CHECK(fdwait_begin(&w, fds[1], POLL_WRITE, &a.g) == IO_OK);
    CHECK(fdwait_begin(&w, fds[0], POLL_READ, NULL) == IO_PARK);
    CHECK(fdwait_begin(&w, fds[0], POLL_READ, &a.g) == IO_PARK);
    CHECK(fdwait_begin(&v, fds[0], POLL_READ, &b.g) == IO_PARK);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(poll_once(1000 * MS) == 2 && woken(&a) && woken(&b));
    char c;
    CHECK(read(fds[0], &c, 1) == 1);
    CHECK(fdwait_finish(&w, &a.g, WAKE_OP) == IO_PARK); /* it was somebody else's */
    CHECK(fdwait_finish(&v, &b.g, WAKE_CANCEL) == IO_ENDED && v.ended == WAKE_CANCEL);

    /* Closed behind our back, the number used again: the next wait registers the new one. */
    CHECK(wait_claim(&a.g) && fdwait_finish(&w, &a.g, WAKE_TIMEOUT) == IO_ENDED);
    copy = dup(fds[0]);
    int more[2];
    CHECK(pipe(more) == 0 && dup2(more[0], fds[0]) == fds[0]);
    CHECK(fdwait_begin(&w, fds[0], POLL_READ, &a.g) == IO_PARK);
    CHECK(write(more[1], "y", 1) == 1);
    CHECK(poll_once(1000 * MS) == 1 && woken(&a) && fdwait_finish(&w, &a.g, WAKE_OP) == IO_OK);
    CHECK(read(fds[0], &c, 1) == 1);

    /* Its owner says that it will be closed. */
    CHECK(fdwait_begin(&w, fds[0], POLL_READ, &a.g) == IO_PARK);
    fdwait_evict(fds[0]);
    CHECK(woken(&a) && fdwait_finish(&w, &a.g, WAKE_OP) == IO_CLOSED);

    CHECK(fdwait_begin(&w, 1000000, POLL_READ, &a.g) == IO_CLOSED);
    CHECK(fdwait_begin(&w, -1, POLL_READ, &a.g) != IO_PARK);
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK(file >= 0 && fdwait_begin(&w, file, POLL_READ, &a.g) == IO_OK);
    close(file);
    close(copy);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(more[i]);
    }
    CHECK(np.nwaiters == 0);
}

/* A descriptor of somebody's who says when it will be closed. */
static void test_joined(void)
{
    int fds[2], who, another;
    struct fake a, b;
    uint32_t seq, nreg = np.nreg;
    char c;
    fake_init(&a);
    fake_init(&b);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    struct iowait u;
    CHECK(fdwait_begin(&u, fds[0], POLL_READ, &b.g) == IO_PARK);
    CHECK(netpolljoin(fds[0], &who, &seq) && !netpolljoin(fds[0], &another, &seq));
    struct iowait w = {
        .fd = fds[0], .seq = seq, .mode = POLL_READ, .pd = polldesc_of(fds[0]), .limit = NEVER};

    /* Registered once; whoever waited before goes on waiting. */
    for (int i = 0; i < 3; i++) {
        CHECK(iowait_begin(&w, &a.g) == IO_OK && recv(fds[0], &c, 1, 0) < 0);
        CHECK(iowait_again(&w, &a.g) == IO_PARK && np.nreg == nreg + 1);
        CHECK(write(fds[1], "x", 1) == 1 && poll_once(1000 * MS) > 0 && woken(&a));
        CHECK(i > 0 || woken(&b));
        CHECK(iowait_finish(&w, &a.g, WAKE_OP) == IO_OK && recv(fds[0], &c, 1, 0) == 1);
        iowait_end(&w, false);
    }
    CHECK(fdwait_finish(&u, &b.g, WAKE_OP) == IO_PARK);
    CHECK(wait_claim(&b.g) && fdwait_finish(&u, &b.g, WAKE_CANCEL) == IO_ENDED);

    /* An operation's own deadline, whoever has the side. */
    w.limit = nanotime() + HOUR;
    struct iowait v = w;
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_begin(&v, &b.g) == IO_PARK && v.deadline == v.limit);
    CHECK(iowait_again(&w, &a.g) == IO_PARK && w.deadline == w.limit);
    v.limit = w.limit = nanotime(); /* as if the time had come */
    CHECK(wait_claim(&b.g) && iowait_finish(&v, &b.g, WAKE_TIMEOUT) == IO_ENDED);
    CHECK(wait_claim(&a.g) && iowait_finish(&w, &a.g, WAKE_TIMEOUT) == IO_ENDED);

    /* Its end; then it is another's. What the runtime owns is not to be joined. */
    w.limit = NEVER;
    CHECK(iowait_begin(&w, &a.g) == IO_OK && iowait_again(&w, &a.g) == IO_PARK);
    fdwait_evict(fds[0]);
    CHECK(woken(&a) && iowait_finish(&w, &a.g, WAKE_OP) == IO_CLOSED && np.nreg == nreg);
    CHECK(netpolljoin(fds[0], &another, &seq) && seq != w.seq);
    CHECK(netpollopen(fds[0], &seq) == 0 && !netpolljoin(fds[0], &another, &seq));
    CHECK(iowait_close(fds[0], seq) && !is_open(fds[0]));
    close(fds[1]);
    CHECK(np.nwaiters == 0);
}

static enum note_result sleep_until(struct note *n, int64_t until)
{
    struct pollevents evs = {0};
    enum note_result r;
    while ((r = netpollsleep(n, &evs, until)) == NOTE_INTERRUPTED) /* as above */
        ;
    return r;
}

static void test_sleep(void)
{
    struct note n = {.breakfd = np.breakfd};
    int64_t until = nanotime() + 3 * MS;
    CHECK(sleep_until(&n, until) == NOTE_TIMEOUT && nanotime() >= until);
    note_wakeup(&n); /* the break comes with the note */
    CHECK(sleep_until(&n, NEVER) == NOTE_WOKEN);
    note_clear(&n); /* and a break that nobody saw is no wake-up */
    until = nanotime() + 3 * MS;
    CHECK(sleep_until(&n, until) == NOTE_TIMEOUT && nanotime() >= until);
}

/* ---- threads ---- */

#define PAIRS 4
#define BYTES 200000

static uint32_t polling;

static void *poller(void *arg)
{
    (void)arg;
    while (real_load(&polling))
        poll_once(MS);
    return NULL;
}

/* Like a connection's read or write. -> bytes, or -1 with *r */
static ssize_t transfer(struct end *e, enum pollmode mode, char *buf, size_t n, enum io_result *r)
{
    struct g *gp = calling_g();
    struct iowait w = op(e, mode);
    for (*r = iowait_begin(&w, gp);;) {
        while (*r == IO_PARK)
            *r = iowait_finish(&w, gp, gowait(gp, w.deadline));
        if (*r != IO_OK)
            return -1;
        ssize_t did = mode == POLL_READ ? recv(e->fd, buf, n, 0) : send(e->fd, buf, n, MSG_NOSIGNAL);
        if (did >= 0 || errno != EAGAIN) {
            iowait_end(&w, false);
            return did;
        }
        *r = iowait_again(&w, gp);
    }
}

struct talk {
    struct end ends[2];
    uint64_t sums[2];
    uint32_t ntimeouts;
};

static void *talk_write(void *arg)
{
    struct talk *t = arg;
    char buf[3000];
    enum io_result r;
    for (size_t done = 0; done < BYTES;) {
        size_t n = BYTES - done < sizeof(buf) ? BYTES - done : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = (char)((done + i) % 251);
        ssize_t did = transfer(&t->ends[0], POLL_WRITE, buf, n, &r);
        CHECK(did > 0);
        for (ssize_t i = 0; i < did; i++)
            t->sums[0] += (uint64_t)(unsigned char)buf[i];
        done += (size_t)did;
    }
    return NULL;
}

static void *talk_read(void *arg)
{
    struct talk *t = arg;
    char buf[701];
    enum io_result r;
    for (size_t done = 0; done < BYTES;) {
        iowait_setdeadline(t->ends[1].fd, t->ends[1].seq, POLL_READ,
                           done % 3 ? NEVER : nanotime() + (int64_t)(done % 7) * 20000);
        ssize_t did = transfer(&t->ends[1], POLL_READ, buf, sizeof(buf), &r);
        if (did < 0) {
            CHECK(r == IO_ENDED);
            t->ntimeouts++;
            iowait_setdeadline(t->ends[1].fd, t->ends[1].seq, POLL_READ, NEVER);
            did = transfer(&t->ends[1], POLL_READ, buf, 1, &r);
            CHECK(did == 1);
        }
        for (ssize_t i = 0; i < did; i++)
            t->sums[1] += (uint64_t)(unsigned char)buf[i];
        done += (size_t)did;
    }
    return NULL;
}

/* Waits until it is closed, which happens at any moment. */
static void *reads_until_closed(void *arg)
{
    struct end *e = arg;
    char c;
    enum io_result r;
    while (transfer(e, POLL_READ, &c, 1, &r) == 1)
        ;
    CHECK(r == IO_CLOSED);
    return NULL;
}

static void test_threads(void)
{
    static struct talk talks[PAIRS];
    pthread_t threads[PAIRS][2], p, readers[3];
    real_store(&polling, 1);
    pthread_create(&p, NULL, poller, NULL);
    for (int i = 0; i < PAIRS; i++) {
        pair(talks[i].ends);
        pthread_create(&threads[i][0], NULL, talk_write, &talks[i]);
        pthread_create(&threads[i][1], NULL, talk_read, &talks[i]);
    }
    for (int round = 0; round < 100; round++) {
        struct end e[2];
        pair(e);
        for (int i = 0; i < 3; i++)
            pthread_create(&readers[i], NULL, reads_until_closed, &e[0]);
        for (int i = 0; i < round % 5; i++)
            CHECK(write(e[1].fd, "x", 1) == 1);
        CHECK(iowait_close(e[0].fd, e[0].seq));
        for (int i = 0; i < 3; i++)
            pthread_join(readers[i], NULL);
        CHECK(!is_open(e[0].fd) || polldesc_of(e[0].fd)->seq != e[0].seq);
        CHECK(iowait_close(e[1].fd, e[1].seq));
    }
    for (int i = 0; i < PAIRS; i++)
        for (int j = 0; j < 2; j++)
            pthread_join(threads[i][j], NULL);
    real_store(&polling, 0);
    pthread_join(p, NULL);
    for (int i = 0; i < PAIRS; i++) {
        CHECK(talks[i].sums[0] == talks[i].sums[1]);
        for (int j = 0; j < 2; j++)
            CHECK(iowait_close(talks[i].ends[j].fd, talks[i].ends[j].seq));
    }
    CHECK(np.nwaiters == 0 && np.nreg == 0);
}

static void test_all(const char *name)
{
    CHECK(netpollinit() == 0);
    test_states();
    test_close();
    test_deadlines();
    test_anybodys();
    test_joined();
    test_sleep();
    printf("ok %s: states, close, deadlines, anybody's, sleep\n", name);
    if (GOPY_THREADED) {
        np.nreg = 0; /* what was closed behind our back still counts */
        test_threads();
        printf("ok %s: between threads\n", name);
    }
}

int main(void)
{
    rt_start(2);
    test_all(np.backend->name);
    netpollfork(); /* as if in a child: everything afresh */
    CHECK(np.gen == 0 && np.nreg == 0);
    np.backend = &netpoller_poll;
    test_all(np.backend->name);
    for (int i = 0; i < sched.nprocs; i++)
        free(sched.allp[i]);
    return 0;
}
