/* test_runtime.c: the plain-C core against models, and under threads. Seeds are printed; each part is bounded. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "parking.h"

static void *num(uintptr_t n) { return (void *)(n << 1 | 1); }

/* ---- runq ---- */

#define ITEMS 200000
static struct runq rq;
static uint32_t seen[ITEMS + 1];
static uint32_t owner_done;

static void *thief(void *arg)
{
    struct g *batch[RUNQ_SIZE / 2];
    (void)arg;
    while (!real_load(&owner_done) || runqlen(&rq) > 0) {
        uint32_t n = runqgrab(&rq, batch);
        for (uint32_t i = 0; i < n; i++)
            real_add(&seen[(uintptr_t)batch[i] >> 1], 1);
    }
    return NULL;
}

static void test_runq(void)
{
    struct g *batch[RUNQ_SIZE];
    for (uintptr_t i = 0; i < RUNQ_SIZE; i++)
        CHECK(runqput(&rq, num(i)));
    CHECK(!runqput(&rq, num(9)));
    CHECK(runqgrab(&rq, batch) == RUNQ_SIZE / 2 && batch[0] == num(0));
    CHECK(runqtake(&rq, batch, 3) == 3 && batch[0] == num(128) && runqget(&rq) == num(131));
    while (runqget(&rq))
        ;
    CHECK(runqlen(&rq) == 0);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, thief, NULL);
    for (uintptr_t i = 1; i <= ITEMS;) {
        if (runqput(&rq, num(i)))
            i++;
        struct g *gp = i % 3 ? NULL : runqget(&rq);
        if (gp)
            real_add(&seen[(uintptr_t)gp >> 1], 1);
    }
    real_store(&owner_done, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    for (int i = 1; i <= ITEMS; i++)
        CHECK(seen[i] == 1);
}

/* ---- timers ---- */

static int64_t last_fired;
static int nfired;

static void fire(struct timer *t, int64_t now, struct gqueue *ready)
{
    CHECK(ready->n == 0);
    CHECK(t->when <= now && t->when >= last_fired);
    last_fired = t->when;
    nfired++;
}

static void count_fire(struct timer *t, int64_t now, struct gqueue *ready)
{
    (void)t, (void)now, (void)ready;
    real_add((uint32_t *)&nfired, 1);
}

static struct timers heap, other_heap;
static struct timer shared[64];
static uint32_t deleted;
static struct gqueue ready;

static void *deleter(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < 20000; i++)
        if (timer_del(&shared[rnd(&x) % 64]))
            real_add(&deleted, 1);
    return NULL;
}

static void test_timers(uint32_t seed)
{
    enum { N = 3000 };
    static struct timer t[N];
    bool pending[N] = {0};
    int npending = 0;
    int64_t now = 0;
    timers_init(&heap);
    timers_init(&other_heap);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = rnd(&seed) % N;
        if (!pending[i]) {
            t[i].fn = fire;
            CHECK(timer_add(&heap, &t[i], now + 1 + rnd(&seed) % 1000));
            pending[i] = true;
            npending++;
        } else if (rnd(&seed) % 2) {
            CHECK(timer_del(&t[i]));
            pending[i] = false;
            npending--;
        }
        if (step % 50 == 0) {
            now += rnd(&seed) % 100;
            last_fired = 0;
            nfired = 0;
            int n = timers_run(&heap, now, &ready), gone = 0;
            CHECK(n == nfired);
            for (int k = 0; k < N; k++)
                if (pending[k] && t[k].heap == NULL) {
                    CHECK(t[k].when <= now);
                    pending[k] = false;
                    gone++;
                } else if (pending[k])
                    CHECK(t[k].when > now);
            CHECK(gone == n);
            npending -= n;
            CHECK((int)heap.len == npending);
        }
    }
    CHECK(timers_move(&other_heap, &heap) && heap.len == 0 && heap.first == NEVER);
    last_fired = 0;
    CHECK(timers_run(&other_heap, INT64_MAX, &ready) == npending);
    free(heap.slots);
    free(other_heap.slots);
}

/* One thread adds, runs and moves while two others delete: each add ends exactly one way. */
static void test_timer_threads(uint32_t seed)
{
    timers_init(&heap);
    timers_init(&other_heap);
    pthread_t d[2];
    uint32_t added = 0;
    nfired = 0;
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&d[i], NULL, deleter, (void *)(seed + i));
    for (int i = 0; i < 40000; i++) {
        struct timer *s = &shared[rnd(&seed) % 64];
        if (aload(&s->heap) == NULL) {
            s->fn = count_fire;
            CHECK(timer_add(&other_heap, s, i + rnd(&seed) % 50));
            added++;
        }
        timers_run(&heap, i, &ready);
        if (i % 100 == 0)
            timers_move(&heap, &other_heap);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(d[i], NULL);
    timers_run(&heap, INT64_MAX, &ready);
    timers_run(&other_heap, INT64_MAX, &ready);
    CHECK((uint32_t)nfired + deleted == added);
    free(heap.slots);
    free(other_heap.slots);
}

/* ---- locks and notes ---- */

static struct lock mu;
static int guarded;
static struct note ping, pong;

static void *incrementer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        lock(&mu);
        guarded++;
        unlock(&mu);
    }
    return NULL;
}

static void *ponger(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3000; i++) {
        CHECK(note_sleep(&ping, NEVER) == NOTE_WOKEN);
        note_clear(&ping);
        note_wakeup(&pong);
    }
    return NULL;
}

static void test_locks(void)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, incrementer, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(guarded == 80000);
    CHECK(note_sleep(&ping, nanotime() + 1000000) == NOTE_TIMEOUT);
    pthread_create(&t[0], NULL, ponger, NULL);
    for (int i = 0; i < 3000; i++) {
        note_wakeup(&ping);
        CHECK(note_sleep(&pong, NEVER) == NOTE_WOKEN);
        note_clear(&pong);
    }
    pthread_join(t[0], NULL);
}

/* ---- channels ---- */

/* One thread, never waiting: against a model that is a plain ring. */
static void test_chan_model(uint32_t seed)
{
    for (size_t capacity = 0; capacity < 5; capacity++) {
        struct hchan c;
        size_t size = capacity;
        uintptr_t next_in = 1, next_out = 1;
        CHECK(chaninit(&c, size));
        for (int i = 0; i < 20000; i++) {
            void *elem = NULL;
            if (rnd(&seed) % 2) {
                enum chan_result r = chansend_begin(&c, NULL, num(next_in));
                CHECK(r == (next_in - next_out < size ? CHAN_OK : CHAN_BLOCK));
                next_in += r == CHAN_OK;
                if (rnd(&seed) % 1000 == 0) {
                    CHECK(changrow(&c) && (r == CHAN_BLOCK ? c.size > size : c.size >= size));
                    CHECK((c.size > size) == (next_in - next_out == size));
                    size = c.size;
                }
            } else {
                enum chan_result r = chanrecv_begin(&c, NULL, &elem);
                CHECK(r == (next_in != next_out ? CHAN_OK : CHAN_BLOCK));
                if (r == CHAN_OK)
                    CHECK(elem == num(next_out++));
            }
            CHECK(c.count == next_in - next_out);
        }
        CHECK(closechan(&c) && !closechan(&c));
        CHECK(chansend_begin(&c, NULL, num(1)) == CHAN_CLOSED);
        void *elem;
        for (; next_out < next_in; next_out++)
            CHECK(chanrecv_begin(&c, NULL, &elem) == CHAN_OK && elem == num(next_out));
        CHECK(chanrecv_begin(&c, NULL, &elem) == CHAN_CLOSED && chandrop(&c) == NULL);
        chanfree(&c);
    }
}

#define PRODUCERS 4
#define CONSUMERS 4
#define EACH 4000

static struct hchan work[2];
static uint32_t got[PRODUCERS][EACH];
static uint32_t open_producers;

static enum chan_result select2(struct scase *cases, int64_t deadline, uint32_t rand, uint32_t *casei)
{
    uint16_t orders[4];
    struct sudog sudogs[2];
    struct selectstate s = {2, orders, orders + 2, cases, sudogs};
    struct g *gp = calling_g();
    enum chan_result r = select_begin(&s, gp, rand | 1, casei);
    return r == CHAN_PARK ? select_finish(&s, gp, gowait(gp, deadline), casei) : r;
}

static void *producer(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    uint32_t x = (uint32_t)me * 77 + 5;
    for (uintptr_t i = 0; i < EACH; i++) {
        void *elem = num(me * EACH + i);
        enum chan_result r;
        do { /* some sends time out, and must then not have happened */
            int64_t deadline = rnd(&x) % 8 ? NEVER : nanotime() + rnd(&x) % 50000;
            uint32_t casei;
            struct scase cases[2] = {{&work[0], elem, true}, {&work[1], elem, true}};
            if (rnd(&x) % 2)
                r = chansend(&work[rnd(&x) % 2], calling_g(), elem, deadline);
            else
                r = select2(cases, deadline, rnd(&x), &casei);
        } while (r == CHAN_ENDED);
        CHECK(r == CHAN_OK);
    }
    if (real_add(&open_producers, (uint32_t)-1) == 0)
        CHECK(closechan(&work[0]) && closechan(&work[1]));
    return NULL;
}

static void *consumer(void *arg)
{
    uint32_t x = (uint32_t)(uintptr_t)arg * 13 + 7;
    bool closed[2] = {false, false};
    int64_t last[PRODUCERS][2];
    memset(last, -1, sizeof(last));
    while (!closed[0] || !closed[1]) {
        void *elem = NULL;
        uint32_t casei;
        enum chan_result r;
        int64_t deadline = rnd(&x) % 8 ? NEVER : nanotime() + rnd(&x) % 50000;
        if (closed[0] || closed[1]) {
            casei = closed[0];
            r = chanrecv(&work[casei], calling_g(), &elem, deadline);
        } else {
            struct scase cases[2] = {{&work[0], NULL, false}, {&work[1], NULL, false}};
            r = select2(cases, deadline, rnd(&x), &casei);
            if (r == CHAN_OK)
                elem = cases[casei].elem;
        }
        if (r == CHAN_CLOSED)
            closed[casei] = true;
        if (r == CHAN_OK) {
            int64_t n = (int64_t)((uintptr_t)elem >> 1), from = n / EACH;
            CHECK(n > last[from][casei]); /* FIFO for each producer, consumer and channel */
            last[from][casei] = n;
            real_add(&got[from][n % EACH], 1);
        } else {
            CHECK(r == CHAN_CLOSED || r == CHAN_ENDED);
        }
    }
    return NULL;
}

static void test_chan_threads(size_t size)
{
    pthread_t p[PRODUCERS], c[CONSUMERS];
    memset(got, 0, sizeof(got));
    open_producers = PRODUCERS;
    CHECK(chaninit(&work[0], size) && chaninit(&work[1], 0));
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        pthread_create(&p[i], NULL, producer, (void *)i);
    for (uintptr_t i = 0; i < CONSUMERS; i++)
        pthread_create(&c[i], NULL, consumer, (void *)i);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(p[i], NULL);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(c[i], NULL);
    for (int i = 0; i < PRODUCERS; i++)
        for (int k = 0; k < EACH; k++)
            CHECK(got[i][k] == 1);
    for (int i = 0; i < 2; i++) {
        CHECK(!work[i].recvq.first && !work[i].sendq.first);
        chanfree(&work[i]);
    }
}

/* ---- a goroutine whose step ends as it is woken ---- */

static struct g stepper;

static void *waker(void *arg)
{
    CHECK(wait_claim(&stepper));
    goready(&stepper);
    return arg;
}

/* A stackless goroutine is readied by another thread after its wait has begun and before its step has ended, so it is left
 * to the M of that step. It must not stay among those that are bound to the M: that may run one of them for long, or end
 * with the last of them. */
static void test_readied_within_its_step(void)
{
    static struct g next;
    static struct gwait wait;
    struct m *mp = m_new(), *was = getm();
    pthread_t t;
    CHECK(mp);
    tls_m = mp;
    mp->p = pidleget();
    CHECK(mp->p);
    stepper = (struct g){.kind = GSTACKLESS, .status = Grunning, .epoch = sched.epoch, .wait = &wait};
    next = (struct g){.kind = GSTACKFUL, .status = Gwaiting, .epoch = sched.epoch};
    wait.sg.g = &stepper;
    goroutine_bind(mp, &stepper);
    goroutine_bind(mp, &next);
    goready(&next);
    wait_begin(&stepper, WAIT_CHAN_RECEIVE);
    pthread_create(&t, NULL, waker, NULL);
    pthread_join(t, NULL);
    goroutine_unbind(mp, &stepper);

    CHECK(findrunnable(mp) == &next);
    CHECK(mp->lockq.head == NULL && runqlen(&mp->p->runq) == 1);
    goroutine_unbind(mp, &next);
    mp->ending = true; /* without goroutines it ends, and its P goes to others with what it has */
    struct p *pp = mp->p;
    CHECK(findrunnable(mp) == NULL && runqget(&pp->runq) == &stepper);
    m_exit(mp);
    tls_m = was;
}

/* Another thread has queued system goroutines for mp, which alone may run them, as what they ask is asked of mp. So none
 * is left where any M may take it. */
static void test_system_goroutines_are_left_to_their_thread(void)
{
    static struct g system[2];
    struct m *mp = m_new(), *was = getm();
    CHECK(mp);
    tls_m = mp;
    struct p *pp = mp->p = pidleget();
    CHECK(pp);
    for (int i = 0; i < 2; i++) {
        system[i] = (struct g){.kind = GSYSTEM, .status = Grunnable, .epoch = sched.epoch};
        readyremote(&system[i], mp);
    }
    CHECK(findrunnable(mp) == &system[0]);
    CHECK(runqlen(&pp->runq) == 0 && pp->runnext == 0);
    CHECK(findrunnable(mp) == &system[1]);
    mp->ending = true;
    CHECK(findrunnable(mp) == NULL);
    m_exit(mp);
    tls_m = was;
}

int main(int argc, char **argv)
{
    uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : (uint32_t)nanotime() | 1;
    printf("seed %u\n", seed);
    rt_start(2);
    test_chan_model(seed);
    puts("ok chan model");
    test_timers(seed);
    puts("ok timers");
    if (GOPY_THREADED) {
        test_timer_threads(seed);
        puts("ok timers between threads");
        test_runq();
        puts("ok runq");
        test_locks();
        puts("ok locks and notes");
        test_chan_threads(0);
        test_chan_threads(3);
        puts("ok channels and select between threads");
        test_readied_within_its_step();
        puts("ok readied within its step");
        test_system_goroutines_are_left_to_their_thread();
        puts("ok system goroutines are left to their thread");
    }
    for (int i = 0; i < sched.nprocs; i++)
        free(sched.allp[i]);
    return 0;
}
