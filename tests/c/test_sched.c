/* test_sched.c: the scheduler with real Ms under a mix of everything: spawn, park, steal, close, select, timers, joins,
 * blocked threads, threads that end, foreign threads, GOMAXPROCS changed all the while. Every value that is sent
 * must be received once. A goroutine is a thread here (host_threads.c), so that ThreadSanitizer sees it all. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host_threads.h"
#include "runtime/host.h"

#define CHECK(x)                                                                                             \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#define SENDERS 6
#define FOREIGN 2
#define RECEIVERS 5
#define OTHERS 8
#define MOST 200000 /* values a sender may send */

static struct hchan chans[4];
static uint8_t *sent[SENDERS + FOREIGN], *got[SENDERS + FOREIGN]; /* by number */
static uint32_t nended, over;
static int64_t ends;
static uint32_t seed;

static uint32_t rnd(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    return *x ^= *x << 5;
}

static bool on(void) { return nanotime() < ends; }

static int64_t soon(uint32_t *x)
{
    static const int64_t delays[] = {0, 1000, 30000, 1000000};
    return nanotime() + delays[rnd(x) % 4];
}

static enum chan_result select2(struct scase *cases, int64_t deadline, uint32_t *x, uint32_t *casei)
{
    struct g *gp = getg();
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
            r = chansend(c, getg(), elem, rnd(&x) % 4 ? nanotime() + 5000000 : soon(&x));
        } else {
            struct scase cases[2] = {{c, elem, true}, {&chans[(rnd(&x) + 1) % 4], elem, true}};
            uint32_t casei;
            r = select2(cases, soon(&x), &x, &casei);
        }
        CHECK(r == CHAN_OK || r == CHAN_TIMEOUT);
        sent[me][n] = r == CHAN_OK;
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
            r = chanrecv(&chans[rnd(&x) % 4], getg(), &elem, nanotime() + 1000000);
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
    CHECK(chanrecv(&round->gate, getg(), &elem, NEVER) == CHAN_CLOSED);
    real_add(&round->nclosed, 1);
}

static void locked(void *arg)
{
    (void)arg;
    struct g *gp = getg();
    gp->lockedm->lockedg = gp;
    gp->lockedm->lockcount++;
    gosleep(gp, nanotime() + 20000);
} /* it ends locked, and its thread with it */

static void blocks(void *arg)
{
    struct timespec ts = {0, 12000000};
    (void)arg;
    void *left = host_leave();
    nanosleep(&ts, NULL); /* long enough for sysmon to take its P */
    host_enter(left);
}

static void comes_and_goes(void *arg)
{
    uint32_t x = seed * 13 + (uint32_t)(uintptr_t)arg + 1;
    while (on()) {
        struct round *round = calloc(1, sizeof(*round)); /* kept: a goroutine's memory must outlive its end */
        uint32_t n = 1 + rnd(&x) % 8, kind = rnd(&x) % 16;
        CHECK(chaninit(&round->gate, 0));
        for (uint32_t i = 0; i < n; i++)
            go(&round->children[i], kind == 0 ? locked : kind == 1 ? blocks : child, round);
        if (x % 2)
            gosleep(getg(), soon(&x));
        else
            gosched(getg()->lockedm, getg());
        closechan(&round->gate);
        for (uint32_t i = 0; i < n; i++)
            while (goroutine_join(getg(), &round->children[i].g, soon(&x)) != WAKE_OP)
                ;
        CHECK(kind < 2 || real_load(&round->nclosed) == n);
    }
    real_add(&nended, 1);
}

static void resizes(void *arg)
{
    uint32_t x = seed * 7 + 1;
    (void)arg;
    while (on()) {
        procresize(1 + (int)(rnd(&x) % 8));
        gosleep(getg(), soon(&x));
    }
    real_add(&nended, 1);
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
        gosleep(getg(), nanotime() + 1000000);
}

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
    wait_for(SENDERS + FOREIGN + OTHERS + 1);
    for (int i = 0; i < FOREIGN; i++)
        pthread_join(threads[i], NULL);
    real_store(&over, 1);
    wait_for(SENDERS + FOREIGN + OTHERS + 1 + RECEIVERS);
    for (int i = 0; i < 4; i++)
        for (void *elem; chanrecv_begin(&chans[i], NULL, &elem) == CHAN_OK;)
            took(elem);
    for (int i = 0; i < 5000 && aload_sc(&sched.nmspinning) != 0; i++)
        gosleep(getg(), nanotime() + 1000000);
    CHECK(sched.nmspinning == 0); /* with one too many, wakep() would never wake anybody again */
    size_t n = 0;
    for (int i = 0; i < SENDERS + FOREIGN; i++) {
        CHECK(memcmp(sent[i], got[i], MOST) == 0);
        for (size_t k = 0; k < MOST; k++)
            n += got[i][k];
    }
    CHECK(n > 100 && num_goroutine() == 1);
    printf("ok scheduler: %zu values, %d Ms made, %llu hand-offs\n", n, sched.nmever,
           (unsigned long long)sched.nhandoffs);
    fflush(stdout);
    real_store(&sched.exiting, 1);
    _Exit(0); /* Ms that sleep and memory that was kept are nobody's business any more */
}
