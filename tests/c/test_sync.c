/* test_sync.c: Mutex, RWMutex, WaitGroup and Cond of the plain-C core: random programs of one thread against models,
 * in every build, then threads. The goroutines of a model are of kind GTASK, which host_fake wakes by counting,
 * so a program decides itself when a woken one goes on, and when a waiting one times out. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "parking.h"

enum { IDLE, WAITING, HOLDING, TRANSIT };

#define TASKS 8

static struct task {
    struct g g;
    struct gwait wait;
    struct sudog sg; /* a Cond's */
    int state;
    bool write;
} tasks[TASKS];

static void reset(void)
{
    memset(tasks, 0, sizeof(tasks));
    for (int i = 0; i < TASKS; i++) {
        struct task *t = &tasks[i];
        t->g.kind = GTASK;
        t->g.epoch = sched.epoch;
        t->g.wait = &t->wait;
        t->wait.sg.g = &t->g;
    }
}

/* Has it been woken? host_wake_task counts that in the id. */
static bool woken(struct task *t) { return t->state == WAITING && t->g.id > 0; }

static int count(int state)
{
    int n = 0;
    for (int i = 0; i < TASKS; i++)
        n += tasks[i].state == state;
    return n;
}

/* ---- Mutex ---- */

static struct mutex mu;
static struct task *holder;

static void mutex_settle(struct task *t, enum sync_result r)
{
    if (r == SYNC_OK) {
        CHECK(holder == NULL || holder == t);
        holder = t;
        t->state = HOLDING;
    } else {
        CHECK(r == SYNC_PARK && holder);
        t->state = WAITING;
    }
}

static void mutex_step(struct task *t, uint32_t what)
{
    if (t->state == IDLE && what % 4 == 0) {
        bool ok = mutextrylock(&mu);
        CHECK(ok == (holder == NULL));
        if (ok)
            mutex_settle(t, SYNC_OK);
    } else if (t->state == IDLE) {
        mutex_settle(t, mutexlock_begin(&mu, &t->g));
    } else if (t->state == HOLDING) {
        struct sudog *first = mu.state & MUTEX_STARVING ? mu.q.first : NULL;
        t->state = IDLE;
        CHECK(mutexunlock(&mu));
        holder = NULL;
        for (int i = 0; i < TASKS; i++)
            if (woken(&tasks[i]) && tasks[i].wait.sg.success)
                holder = &tasks[i]; /* it was handed over */
        CHECK((first != NULL) == (holder != NULL) && (!first || &holder->wait.sg == first));
    } else if (woken(t)) {
        t->g.id = 0;
        mutex_settle(t, mutexlock_finish(&mu, &t->g, WAKE_OP));
    } else if (what % 8 == 0) {
        CHECK(wait_claim(&t->g));
        CHECK(mutexlock_finish(&mu, &t->g, WAKE_TIMEOUT) == SYNC_ENDED);
        t->state = IDLE;
    } else if (what % 8 == 1) {
        t->wait.since -= 1000000; /* as if a millisecond had passed */
    }
}

static void mutex_check(void)
{
    int nwoken = 0, nwaiting = 0;
    for (int i = 0; i < TASKS; i++) {
        nwoken += woken(&tasks[i]);
        nwaiting += tasks[i].state == WAITING && !woken(&tasks[i]);
    }
    CHECK((holder != NULL) == !!(mu.state & MUTEX_LOCKED));
    CHECK((mu.q.first != NULL) == !!(mu.state & MUTEX_WAITERS));
    CHECK(holder || nwoken || !nwaiting); /* no wake-up is lost */
    CHECK(!(mu.state & MUTEX_STARVING) || (mu.state & (MUTEX_LOCKED | MUTEX_WAITERS)) == 3);
    CHECK(nwoken <= 2); /* one of them has been handed it */
}

static void test_mutex_model(uint32_t seed)
{
    reset();
    uint32_t modes = 0;
    for (int step = 0; step < 200000; step++) {
        mutex_step(&tasks[rnd(&seed) % TASKS], rnd(&seed));
        mutex_check();
        modes |= mu.state;
    }
    CHECK(modes == (MUTEX_LOCKED | MUTEX_WAITERS | MUTEX_WOKEN | MUTEX_STARVING));
    for (int step = 0; count(IDLE) < TASKS; step++) { /* nobody begins anything any more */
        struct task *t = &tasks[step % TASKS];
        CHECK(step < 1000);
        if (t->state != IDLE && (t->state == HOLDING || woken(t)))
            mutex_step(t, 3);
        mutex_check();
    }
    CHECK(mu.state == 0 && !mutexunlock(&mu));
}

/* A fork leaves behind a waiter that was woken: in the child others must be. */
static void test_mutex_fork(void)
{
    reset();
    CHECK(mutexlock_begin(&mu, &tasks[0].g) == SYNC_OK);
    CHECK(mutexlock_begin(&mu, &tasks[1].g) == SYNC_PARK && mutexlock_begin(&mu, &tasks[2].g) == SYNC_PARK);
    CHECK(mutexunlock(&mu) && tasks[1].g.id == 1);
    sched.epoch++;
    tasks[0].g.epoch = tasks[3].g.epoch = sched.epoch;
    CHECK(mutexlock_begin(&mu, &tasks[0].g) == SYNC_OK && mutexlock_begin(&mu, &tasks[3].g) == SYNC_PARK);
    CHECK(mutexunlock(&mu) && tasks[2].g.id == 0 && tasks[3].g.id == 1);
    CHECK(mutexlock_finish(&mu, &tasks[3].g, WAKE_OP) == SYNC_OK && mutexunlock(&mu) && mu.state == 0);
}

/* ---- RWMutex ---- */

static struct rwmutex rw;

static int readers_now, writers_now;

static void rw_settle(struct task *t, enum sync_result r)
{
    t->state = r == SYNC_OK ? HOLDING : WAITING;
    CHECK(r == SYNC_OK || r == SYNC_PARK);
}

static void rw_step(struct task *t, uint32_t what)
{
    if (t->state == IDLE) {
        t->write = what & 64;
        if (what % 4)
            rw_settle(t, rwlock_begin(&rw, &t->g, t->write));
        else if (rwtrylock(&rw, t->write))
            t->state = HOLDING;
    } else if (t->state == HOLDING) {
        CHECK(!rwunlock(&rw, !t->write));
        CHECK(rwunlock(&rw, t->write));
        t->state = IDLE;
    } else if (woken(t)) {
        t->g.id = 0;
        rw_settle(t, rwlock_finish(&rw, &t->g, t->write, WAKE_OP));
        CHECK(t->state == HOLDING);
    } else if (what % 8 == 0) {
        CHECK(wait_claim(&t->g));
        CHECK(rwlock_finish(&rw, &t->g, t->write, WAKE_TIMEOUT) == SYNC_ENDED);
        t->state = IDLE;
    }
}

static void rw_check(void)
{
    int nreading = 0, nwriting = 0, readers = 0, writers = 0;
    for (int i = 0; i < TASKS; i++) {
        struct task *t = &tasks[i];
        if (t->state == HOLDING || woken(t)) /* whoever is woken has it */
            t->write ? nwriting++ : nreading++;
        else if (t->state == WAITING)
            t->write ? writers++ : readers++;
    }
    readers_now = nreading, writers_now = nwriting;
    CHECK(nwriting <= 1 && !(nwriting && nreading));
    CHECK(rw.state ==
          (uint32_t)nreading * RW_READER + (nwriting ? RW_WRITER : 0) + (readers + writers ? RW_WAITERS : 0));
    CHECK(!writers || nwriting || nreading);
    CHECK(!readers || nwriting || writers); /* only a writer holds a reader back */
    CHECK(rwtrylock(&rw, false) == (!nwriting && !writers) && (nwriting || writers || rwunlock(&rw, false)));
}

static void test_rwmutex_model(uint32_t seed)
{
    reset();
    for (int step = 0; step < 200000; step++) {
        rw_step(&tasks[rnd(&seed) % TASKS], rnd(&seed));
        rw_check();
    }
    for (int step = 0; count(IDLE) < TASKS; step++) {
        struct task *t = &tasks[step % TASKS];
        CHECK(step < 1000);
        if (t->state != IDLE && (t->state == HOLDING || woken(t)))
            rw_step(t, 3);
        rw_check();
    }
    CHECK(rw.state == 0 && !rwunlock(&rw, true) && !rwunlock(&rw, false));
}

/* ---- WaitGroup ---- */

static struct waitgroup wg;

static void test_waitgroup_model(uint32_t seed)
{
    int64_t counter = 0;
    reset();
    for (int step = 0; step < 200000; step++) {
        struct task *t = &tasks[rnd(&seed) % TASKS];
        uint32_t what = rnd(&seed);
        if (what % 4 == 0) {
            int32_t delta = (int32_t)(rnd(&seed) % 7) - 3;
            enum sync_result want = counter + delta < 0 ? SYNC_NEGATIVE : SYNC_OK;
            CHECK((wgadd_fast(&wg, delta) ? SYNC_OK : wgadd(&wg, delta)) == want);
            counter += want == SYNC_OK ? delta : 0;
        } else if (t->state == IDLE) {
            CHECK(wgwait_begin(&wg, NULL) == (counter ? SYNC_BLOCK : SYNC_OK));
            enum sync_result r = wgwait_begin(&wg, &t->g);
            CHECK(r == (counter ? SYNC_PARK : SYNC_OK));
            t->state = r == SYNC_PARK ? WAITING : IDLE;
        } else if (woken(t)) {
            t->g.id = 0;
            t->state = IDLE;
            CHECK(wgwait_finish(&wg, &t->g, WAKE_OP) == (wg.state ? SYNC_REUSED : SYNC_OK));
        } else if (what % 8 == 1) {
            CHECK(wait_claim(&t->g) && wgwait_finish(&wg, &t->g, WAKE_TIMEOUT) == SYNC_ENDED);
            t->state = IDLE;
        }
        uint32_t waiting = 0;
        for (int i = 0; i < TASKS; i++)
            waiting += tasks[i].state == WAITING && !woken(&tasks[i]);
        CHECK(WG_COUNT(wg.state) == counter && WG_WAITERS(wg.state) == waiting);
        CHECK(counter || !waiting);
    }
    CHECK(wgadd(&wg, INT32_MAX) == (counter ? SYNC_TOO_MANY : SYNC_OK));
}

/* ---- Cond ---- */

static struct cond cond;
static struct task *order[TASKS]; /* those that a signal would reach, in their order */
static int norder;

static void leaves(int at)
{
    norder--;
    memmove(&order[at], &order[at + 1], (size_t)(norder - at) * sizeof(*order));
}

/* The model's signal: -> who gets it */
static struct task *signalled(void)
{
    struct task *t = norder ? order[0] : NULL;
    if (t)
        leaves(0);
    return t;
}

static void expect(struct task *t) { CHECK(t->sg.success && (t->state == TRANSIT || woken(t))); }

static void cond_step(struct task *t, uint32_t what)
{
    int at = 0;
    while (at < norder && order[at] != t)
        at++;
    if (t->state == IDLE) {
        condadd(&cond, &t->g, &t->sg);
        t->state = TRANSIT;
        order[norder++] = t;
    } else if (t->state == TRANSIT && what % 4 == 0) {
        struct task *other = at == norder ? signalled() : NULL; /* it passes its signal on */
        if (at < norder && order[at] == t)
            leaves(at);
        condremove(&cond, &t->sg);
        if (other)
            expect(other);
        t->state = IDLE;
    } else if (t->state == TRANSIT) {
        enum sync_result r = condwait_begin(&cond, &t->g, &t->sg);
        CHECK(r == (at == norder ? SYNC_OK : SYNC_PARK));
        t->state = r == SYNC_OK ? IDLE : WAITING;
    } else if (woken(t)) {
        CHECK(at == norder && condwait_finish(&cond, &t->sg, WAKE_OP) == SYNC_OK);
        t->g.id = 0;
        t->state = IDLE;
    } else if (what % 4 == 0) {
        CHECK(at < norder && wait_claim(&t->g));
        if (what & 64) { /* a signal may come before it has left: it is not for this one */
            leaves(at);
            struct task *other = signalled();
            condsignal(&cond);
            if (other)
                expect(other);
        } else {
            leaves(at);
        }
        CHECK(condwait_finish(&cond, &t->sg, WAKE_TIMEOUT) == SYNC_ENDED);
        t->state = IDLE;
    }
}

static void test_cond_model(uint32_t seed)
{
    reset();
    for (int step = 0; step < 200000; step++) {
        uint32_t what = rnd(&seed);
        if (what % 6 == 0) {
            struct task *t = signalled();
            condsignal(&cond);
            if (t)
                expect(t);
        } else if (what % 60 == 1) {
            size_t many = what % 120 == 1 ? SIZE_MAX : what / 120 % 4;
            condsignal_many(&cond, many);
            for (struct task *t; many > 0 && (t = signalled()) != NULL; many--)
                expect(t);
        } else {
            cond_step(&tasks[rnd(&seed) % TASKS], rnd(&seed));
        }
        int n = 0;
        for (struct sudog *sg = cond.q.first; sg; sg = sg->next)
            CHECK(n < norder && sg == &order[n++]->sg);
        CHECK(n == norder && condlen(&cond) == (size_t)n);
    }
}

/* ---- threads ---- */

#if GOPY_THREADED
#define THREADS 6
#define ROUNDS 4000

static int64_t soon(uint32_t *x) { return rnd(x) % 4 ? NEVER : nanotime() + rnd(x) % 50000; }

static int inside, guarded;
static uint32_t entered, rw_reading;

static void *mutex_thread(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg * 977 + 3;
    for (int i = 0; i < ROUNDS; i++) {
        enum sync_result r = mutexlock(&mu, calling_g(), soon(&x));
        CHECK(r == SYNC_OK || r == SYNC_ENDED);
        if (r == SYNC_OK) {
            CHECK(++inside == 1);
            guarded++;
            for (uint32_t k = rnd(&x) % 64; k > 0; k--)
                cpu_relax();
            inside--;
            CHECK(mutexunlock(&mu));
            real_add(&entered, 1);
        }
    }
    return NULL;
}

static void *rw_thread(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg * 577 + 3;
    for (int i = 0; i < ROUNDS; i++) {
        bool write = rnd(&x) % 3 == 0;
        if (rwlock(&rw, calling_g(), write, soon(&x)) != SYNC_OK)
            continue;
        if (write) {
            CHECK(++inside == 1 && real_load(&rw_reading) == 0);
            inside--;
        } else {
            real_add(&rw_reading, 1);
            CHECK(inside == 0);
            real_add(&rw_reading, (uint32_t)-1);
        }
        CHECK(rwunlock(&rw, write));
    }
    return NULL;
}

static struct waitgroup rounds[2];

/* A barrier that all pass together, round after round. */
static void *wg_thread(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg * 377 + 3;
    for (int i = 0; i < ROUNDS / 4; i++) {
        struct waitgroup *arrive = &rounds[i % 2];
        if (!wgadd_fast(arrive, -1))
            CHECK(wgadd(arrive, -1) == SYNC_OK);
        enum sync_result r;
        while ((r = wgwait(arrive, calling_g(), soon(&x))) == SYNC_ENDED)
            ;
        CHECK(r == SYNC_OK);
        if (real_add(&entered, 1) % THREADS == 0) /* the last one out opens the round after the next */
            CHECK(wgadd(arrive, THREADS) == SYNC_OK);
        while (real_load(&entered) < (uint32_t)(i + 1) * THREADS)
            sched_yield();
    }
    return NULL;
}

static int items, taken;
static struct cond nonempty;

static void cond_wait(uint32_t *x)
{
    struct sudog sg;
    struct g *gp = calling_g();
    condadd(&nonempty, gp, &sg);
    CHECK(mutexunlock(&mu));
    enum sync_result r = condwait_begin(&nonempty, gp, &sg);
    if (r == SYNC_PARK)
        r = condwait_finish(&nonempty, &sg, gowait(gp, soon(x)));
    CHECK(r == SYNC_OK || r == SYNC_ENDED);
    CHECK(mutexlock(&mu, gp, NEVER) == SYNC_OK);
}

static void *cond_thread(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg * 277 + 3;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(mutexlock(&mu, calling_g(), NEVER) == SYNC_OK);
        if ((uintptr_t)arg % 2) {
            items++;
            condsignal(&nonempty);
        } else {
            while (items == 0)
                cond_wait(&x);
            items--;
            taken++;
        }
        CHECK(mutexunlock(&mu));
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *))
{
    pthread_t t[THREADS];
    entered = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, fn, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void test_threads(void)
{
    run_threads(mutex_thread);
    CHECK(mu.state == 0 && guarded == (int)entered);
    run_threads(rw_thread);
    CHECK(rw.state == 0);
    CHECK(wgadd(&rounds[0], THREADS) == SYNC_OK && wgadd(&rounds[1], THREADS) == SYNC_OK);
    run_threads(wg_thread);
    run_threads(cond_thread);
    CHECK(items == 0 && taken == THREADS / 2 * ROUNDS && !nonempty.q.first && mu.state == 0);
}
#endif

int main(int argc, char **argv)
{
    uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : (uint32_t)nanotime() | 1;
    printf("seed %u\n", seed);
    rt_start(2);
    test_mutex_model(seed);
    test_mutex_fork();
    puts("ok mutex");
    test_rwmutex_model(seed);
    puts("ok rwmutex");
    test_waitgroup_model(seed);
    puts("ok waitgroup");
    test_cond_model(seed);
    puts("ok cond");
#if GOPY_THREADED
    test_threads();
    puts("ok threads");
#endif
    for (int i = 0; i < sched.nprocs; i++)
        free(sched.allp[i]);
    return 0;
}
