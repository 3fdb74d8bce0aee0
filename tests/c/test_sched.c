/* test_sched.c: the scheduler with real Ms under a mix of everything: spawn, park, steal, close, select, timers, joins,
 * blocked threads, threads that end, foreign threads, GOMAXPROCS changed all the while. Every value that is sent
 * must be received once. A goroutine is a thread here (host_threads.c), so that ThreadSanitizer sees it all. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "check.h"
#include "host_threads.h"
#include "parking.h"
#include "runtime/host.h"
#include "runtime/iowait.h"

#define SENDERS 6
#define FOREIGN 2
#define RECEIVERS 5
#define OTHERS 8
#define MOST 200000 /* values a sender may send */
#define ENOUGH 200  /* values that are sent, however long that takes */
#define TALKS 3     /* pairs of goroutines over a socket pair; in the last, one of them is a plain thread */

static struct hchan chans[4];
static uint8_t *sent[SENDERS + FOREIGN], *got[SENDERS + FOREIGN]; /* by number */
static uint32_t nsent, nended, over;
static int64_t ends;
static uint32_t seed;

/* Until the time is over, but at least until enough has been sent: the machine may be busy with others. */
static bool on(void) { return nanotime() < ends || __atomic_load_n(&nsent, __ATOMIC_RELAXED) < ENOUGH; }

/* No order between threads comes from this, or ThreadSanitizer would see less. */
static void count_sent(void)
{
    if (__atomic_load_n(&nsent, __ATOMIC_RELAXED) < ENOUGH)
        __atomic_fetch_add(&nsent, 1, __ATOMIC_RELAXED);
}

static int64_t soon(uint32_t *x)
{
    static const int64_t delays[] = {0, 1000, 30000, 1000000};
    return nanotime() + delays[rnd(x) % 4];
}

static enum chan_result select2(struct scase *cases, int64_t deadline, uint32_t *x, uint32_t *casei)
{
    struct g *gp = calling_g();
    uint16_t order[4];
    struct sudog *sudogs = calloc(2, sizeof(*sudogs)); /* others write to them: not on this stack */
    struct scase *kept = malloc(2 * sizeof(*kept));
    memcpy(kept, cases, 2 * sizeof(*kept));
    struct selectstate s = {2, order, order + 2, kept, sudogs};
    enum chan_result r = select_begin(&s, gp, rnd(x), casei);
    while (r == CHAN_PARK)
        r = select_finish(&s, gp, gowait(gp, deadline), casei);
    memcpy(cases, kept, 2 * sizeof(*kept));
    free(kept);
    free(sudogs);
    return r;
}

static void sends(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    uint32_t x = seed * 31 + (uint32_t)me + 1;
    for (uintptr_t n = 0; n < MOST && on(); n++) {
        void *elem = (void *)((n * (SENDERS + FOREIGN) + me) << 1 | 1);
        struct hchan *c = &chans[rnd(&x) % 4];
        enum chan_result r;
        if (rnd(&x) % 3) {
            r = chansend(c, calling_g(), elem, rnd(&x) % 4 ? nanotime() + 5000000 : soon(&x));
        } else {
            struct scase cases[2] = {{c, elem, true}, {&chans[(rnd(&x) + 1) % 4], elem, true}};
            uint32_t casei;
            r = select2(cases, soon(&x), &x, &casei);
        }
        CHECK(r == CHAN_OK || r == CHAN_ENDED);
        sent[me][n] = r == CHAN_OK;
        if (r == CHAN_OK)
            count_sent();
    }
    real_add(&nended, 1);
}

static void took(void *elem)
{
    uintptr_t n = (uintptr_t)elem >> 1;
    CHECK(__atomic_exchange_n(&got[n % (SENDERS + FOREIGN)][n / (SENDERS + FOREIGN)], 1, __ATOMIC_RELAXED) ==
          0);
}

static void receives(void *arg)
{
    uint32_t x = seed * 17 + (uint32_t)(uintptr_t)arg + 1;
    for (;;) {
        void *elem = NULL;
        enum chan_result r;
        if (rnd(&x) % 2) {
            r = chanrecv(&chans[rnd(&x) % 4], calling_g(), &elem, nanotime() + 1000000);
        } else {
            struct scase cases[2] = {{&chans[rnd(&x) % 4], NULL, false}, {&chans[rnd(&x) % 4], NULL, false}};
            uint32_t casei;
            r = select2(cases, nanotime() + 1000000, &x, &casei);
            elem = r == CHAN_OK ? cases[casei].elem : NULL;
        }
        if (r == CHAN_OK)
            took(elem);
        else if (real_load(&over))
            break;
    }
    real_add(&nended, 1);
}

/* ---- goroutines that come and go ---- */

struct round {
    struct hchan gate;
    uint32_t x, nclosed;
    struct goroutine children[8];
};

static void child(void *arg)
{
    struct round *round = arg;
    void *elem;
    CHECK(chanrecv(&round->gate, calling_g(), &elem, NEVER) == CHAN_CLOSED);
    real_add(&round->nclosed, 1);
}

static void locked(void *arg)
{
    (void)arg;
    struct g *gp = calling_g();
    goroutine_lock(gp);
    gosleep(gp, nanotime() + 20000);
} /* it ends locked, and its thread with it */

/* Runs on past its time slice, calling: sysmon asks it to yield. */
static void hogs(void *arg)
{
    (void)arg;
    for (int64_t until = nanotime() + 25000000; nanotime() < until;)
        preempt_point();
}

/* Runs on without a call: sysmon hands its P to another M. */
static void computes(void *arg)
{
    (void)arg;
    for (int64_t until = nanotime() + 25000000; nanotime() < until;)
        cpu_relax();
}

static void blocks(void *arg)
{
    struct timespec ts = {0, 12000000};
    (void)arg;
    void *left = host_leave();
    nanosleep(&ts, NULL); /* long enough for sysmon to take its P */
    host_enter(left);
}

/* In most rounds the children wait at the gate; in those of the first kinds they do something that the scheduler has
 * to cope with. */
#define ODD 5

static void start(struct goroutine *child_, uint32_t kind, struct round *round)
{
    static void (*const odd[ODD])(void *) = {locked, blocks, hogs, computes, locked};
    if (kind == ODD - 1)
        CHECK(go_locked(child_, odd[kind], round));
    else
        go(child_, kind < ODD ? odd[kind] : child, round);
}

static void comes_and_goes(void *arg)
{
    uint32_t x = seed * 13 + (uint32_t)(uintptr_t)arg + 1;
    while (on()) {
        struct round *round = calloc(1, sizeof(*round)); /* kept: a goroutine's memory must outlive its end */
        uint32_t n = 1 + rnd(&x) % 8, kind = rnd(&x) % 32;
        CHECK(chaninit(&round->gate, 0));
        for (uint32_t i = 0; i < n; i++)
            start(&round->children[i], kind, round);
        if (x % 2)
            gosleep(calling_g(), soon(&x));
        else
            gosched(calling_g()->boundm, calling_g());
        closechan(&round->gate);
        for (uint32_t i = 0; i < n; i++)
            while (goroutine_join(calling_g(), &round->children[i].g, soon(&x)) != WAKE_OP)
                ;
        CHECK(kind < ODD || real_load(&round->nclosed) == n);
    }
    real_add(&nended, 1);
}

static void resizes(void *arg)
{
    uint32_t x = seed * 7 + 1;
    (void)arg;
    while (on()) {
        procresize(1 + (int)(rnd(&x) % 8));
        gosleep(calling_g(), soon(&x));
    }
    real_add(&nended, 1);
}

/* ---- descriptors ---- */

struct talk {
    int fds[2];
    uint32_t seqs[2];
    struct goroutine parties[2];
    uint32_t nbytes, last; /* last: how many the writer has written, + 1, at its end */
};

static struct talk talks[TALKS];

/* One byte, or 0 at the end of the stream, or -1: the deadline has passed. */
static int transfer(struct talk *t, int party, char *c)
{
    struct g *gp = calling_g();
    struct iowait w = {.fd = t->fds[party],
                       .seq = t->seqs[party],
                       .mode = party ? POLL_READ : POLL_WRITE,
                       .pd = polldesc_of(t->fds[party]),
                       .limit = NEVER};
    enum io_result r = iowait_begin(&w, gp);
    for (;;) {
        while (r == IO_PARK)
            r = iowait_finish(&w, gp, gowait(gp, w.deadline));
        if (r != IO_OK) {
            CHECK(r == IO_ENDED);
            return -1;
        }
        ssize_t n = party ? recv(w.fd, c, 1, 0) : send(w.fd, c, 1, MSG_NOSIGNAL);
        if (n >= 0 || errno != EAGAIN) {
            CHECK(n >= 0);
            iowait_end(&w, false);
            return (int)n;
        }
        r = iowait_again(&w, gp);
    }
}

static void writes(void *arg)
{
    struct talk *t = arg;
    uint32_t x = seed * 5 + (uint32_t)(t - talks) + 1, n = 0;
    for (; on(); n++) {
        char c = (char)n;
        CHECK(transfer(t, 0, &c) == 1);
        if (rnd(&x) % 8 == 0)
            gosleep(calling_g(), soon(&x));
    }
    real_store(&t->last, n + 1);
    CHECK(iowait_close(t->fds[0], t->seqs[0]));
    real_add(&nended, 1);
}

static void reads(void *arg)
{
    struct talk *t = arg;
    uint32_t x = seed * 3 + (uint32_t)(t - talks) + 1;
    for (int r = 1; r != 0;) {
        char c;
        CHECK(iowait_setdeadline(t->fds[1], t->seqs[1], POLL_READ, rnd(&x) % 4 ? NEVER : soon(&x)));
        r = transfer(t, 1, &c);
        CHECK(r < 1 || c == (char)t->nbytes);
        t->nbytes += r == 1;
    }
    CHECK(t->nbytes + 1 == real_load(&t->last));
    CHECK(iowait_close(t->fds[1], t->seqs[1]));
    real_add(&nended, 1);
}

static void *foreign_reads(void *arg)
{
    reads(arg);
    return NULL;
}

static pthread_t start_talks(void)
{
    pthread_t thread;
    for (int i = 0; i < TALKS; i++) {
        struct talk *t = &talks[i];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, t->fds) == 0);
        for (int j = 0; j < 2; j++)
            CHECK(fcntl(t->fds[j], F_SETFL, O_NONBLOCK) == 0 && netpollopen(t->fds[j], &t->seqs[j]) == 0);
        go(&t->parties[0], writes, t);
        if (i < TALKS - 1)
            go(&t->parties[1], reads, t);
        else
            pthread_create(&thread, NULL, foreign_reads, t);
    }
    return thread;
}

static void *foreign(void *arg)
{
    sends(arg);
    return NULL;
}

static struct goroutine senders[SENDERS], receivers[RECEIVERS], others[OTHERS], resizer;

static void wait_for(uint32_t n)
{
    while (real_load(&nended) < n)
        gosleep(calling_g(), nanotime() + 1000000);
}

/* With one too many that spin, wakep() would never wake anybody again. */
static bool at_rest(void) { return num_goroutine() == 1 && aload_sc(&sched.nmspinning) == 0; }

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : (uint32_t)nanotime() | 1;
    printf("seed %u\n", seed);
    ends = nanotime() + (int64_t)(seconds * 1e9);
    for (int i = 0; i < SENDERS + FOREIGN; i++) {
        sent[i] = calloc(MOST, 1);
        got[i] = calloc(MOST, 1);
    }
    for (size_t i = 0; i < 4; i++)
        CHECK(chaninit(&chans[i], (size_t[]){0, 0, 1, 16}[i]));
    host_start(4);
    for (uintptr_t i = 0; i < RECEIVERS; i++)
        go(&receivers[i], receives, (void *)i);
    for (uintptr_t i = 0; i < SENDERS; i++)
        go(&senders[i], sends, (void *)i);
    for (uintptr_t i = 0; i < OTHERS; i++)
        go(&others[i], comes_and_goes, (void *)i);
    go(&resizer, resizes, NULL);
    pthread_t threads[FOREIGN];
    for (uintptr_t i = 0; i < FOREIGN; i++)
        pthread_create(&threads[i], NULL, foreign, (void *)(SENDERS + i));
    pthread_t talker = start_talks();
    wait_for(SENDERS + FOREIGN + OTHERS + 1 + 2 * TALKS);
    pthread_join(talker, NULL);
    for (int i = 0; i < FOREIGN; i++)
        pthread_join(threads[i], NULL);
    real_store(&over, 1);
    wait_for(SENDERS + FOREIGN + OTHERS + 1 + 2 * TALKS + RECEIVERS);
    for (int i = 0; i < 4; i++)
        for (void *elem; chanrecv_begin(&chans[i], NULL, &elem) == CHAN_OK;)
            took(elem);
    int waited = 0; /* for those who have counted themselves to end, and for Ms to find nothing to do */
    for (; waited < 10000 && !at_rest(); waited++)
        gosleep(calling_g(), nanotime() + 1000000);
    CHECK(waited < 10000);
    size_t n = 0;
    for (int i = 0; i < SENDERS + FOREIGN; i++) {
        CHECK(memcmp(sent[i], got[i], MOST) == 0);
        for (size_t k = 0; k < MOST; k++)
            n += got[i][k];
    }
    CHECK(n >= ENOUGH && np.nwaiters == 0 && np.nreg == 0);
    printf("ok scheduler: %zu values, %u bytes, %d Ms made, %llu hand-offs\n", n,
           talks[0].nbytes + talks[TALKS - 1].nbytes, sched.nmever, (unsigned long long)sched.nhandoffs);
    fflush(stdout);
    real_store(&sched.exiting, 1);
    _Exit(0); /* Ms that sleep and memory that was kept are nobody's business any more */
}
