/* test_timechan.c: channels that a timer sends on, and timers with a function, on real threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "runtime/runtime.h"

#define MS 1000000
#define HOUR (3600000LL * MS)

extern struct g *fake_timers;

static struct timers *heap0(void) { return &sched.allp[0]->timers; }

/* What the scheduler would do. */
static void run_due(void) { runtimers(heap0(), nanotime()); }

static bool poll_time(struct timechan *tc, int64_t *time)
{
    void *elem;
    if (chanrecv_begin(&tc->c, NULL, &elem) != CHAN_OK)
        return false;
    *time = (int64_t)(uintptr_t)elem;
    return true;
}

static void until(int64_t when)
{
    while (nanotime() < when)
        cpu_relax();
}

static void test_once(void)
{
    struct timechan tc;
    int64_t t, when = nanotime() + HOUR;
    bool was;
    timechan_init(&tc, when, 0);
    CHECK(!poll_time(&tc, &t) && heap0()->len == 0); /* nobody waits: it is in no heap */
    when = nanotime();
    CHECK(timechan_reset(&tc, when, 0, &was) && was && heap0()->len == 0);
    CHECK(poll_time(&tc, &t) && t == when); /* when it was due, not when somebody looked */
    CHECK(!poll_time(&tc, &t));
    CHECK(!timechan_stop(&tc));
    CHECK(timechan_reset(&tc, when, 0, &was) && !was);
    CHECK(timechan_stop(&tc)); /* due, but never received: stopped */
    CHECK(!poll_time(&tc, &t) && !timechan_stop(&tc));
    CHECK(timechan_reset(&tc, when, 0, &was) && !was);
    timechan_poll(&tc.c, NULL);
    CHECK(tc.c.count == 1);                                        /* in the buffer by now */
    CHECK(timechan_reset(&tc, nanotime() + HOUR, 0, &was) && was); /* and out of it */
    CHECK(!poll_time(&tc, &t));
    CHECK(timechan_reset(&tc, NEVER, 0, &was) && was && timechan_stop(&tc));
    timechan_end(&tc);
}

static void test_ticks(void)
{
    struct timechan tc;
    int64_t t, next, start = nanotime() - 5 * MS - MS / 2;
    timechan_init(&tc, start, MS);
    CHECK(poll_time(&tc, &t) && t == start); /* the first is kept, five are lost */
    for (int i = 0; i < 3; i++) {
        next = tc.timer.when;
        CHECK((next - start) % MS == 0 && next - start >= (6 + i) * MS); /* still in step */
        CHECK(!poll_time(&tc, &t) || t == next);
        until(next);
        CHECK(t == next || (poll_time(&tc, &t) && t == next));
    }
    CHECK(timechan_stop(&tc));
    until(next + 3 * MS);
    CHECK(!poll_time(&tc, &t));
}

static void test_given_back(void)
{
    struct timechan tc;
    int64_t t, when = nanotime();
    bool was;
    timechan_init(&tc, when, 0);
    CHECK(poll_time(&tc, &t));
    timechan_unrecv(&tc, timechan_seconds(t));
    CHECK(poll_time(&tc, &t) && t == when);
    CHECK(timechan_reset(&tc, nanotime() + HOUR, 0, &was) && !was);
    timechan_unrecv(&tc, timechan_seconds(t)); /* stale */
    CHECK(!poll_time(&tc, &t) && timechan_stop(&tc));
}

static void free_ms(struct m *mp)
{
    for (struct m *next; mp; mp = next) {
        next = mp->allnext;
        free(mp);
    }
}

static void test_fork(void)
{
    struct timechan tc;
    struct timer plain = {0};
    int64_t t, when = nanotime() + MS;
    struct g other = {.kind = GFOREIGN};
    timechan_init(&tc, when, 0);
    CHECK(timechan_block(&tc.c, &other) && timer_add(heap0(), &plain, NEVER - 1));
    CHECK(tc.timer.heap == heap0() && heap0()->len == 2);
    struct p *left = sched.allp[0], *left2 = sched.allp[1];
    struct m *ms = sched.allm;
    rt_fork_child(NULL);
    CHECK(heap0()->len == 0 && !timer_del(&plain) && plain.heap == NULL);
    until(when);
    CHECK(poll_time(&tc, &t) && t == when && tc.blocked == 0);
    timechan_unblock(&tc.c); /* of a parent's receiver */
    timechan_end(&tc);
    free(left->timers.slots);
    free(left);
    free(left2);
    free_ms(ms);
}

/* ---- functions ---- */

static int started[3];

static struct timerfunc funcs[3];

static void start_all(void)
{
    uint32_t n;
    for (struct timerfunc *tf; (tf = timerfunc_next(&n)) != NULL;)
        started[tf - funcs] += (int)n;
}

static void test_functions(void)
{
    static struct g system;
    int64_t now = nanotime();
    for (int i = 0; i < 3; i++)
        CHECK(timerfunc_start(&funcs[i], i < 2 ? now : NEVER));
    fake_timers = NULL; /* no memory */
    run_due();
    CHECK(sched.due == &funcs[0] && sched.globq.n == 0 && !sched.due_starting);
    fake_timers = &system;
    run_due();
    CHECK(sched.globq.n == 1 && gq_pop(&sched.globq) == &system && system.kind == GSYSTEM);
    CHECK(!timerfunc_stop(&funcs[0]) && timerfunc_stop(&funcs[2]) && !timerfunc_stop(&funcs[2]));
    CHECK(timerfunc_start(&funcs[0], now)); /* again, while it is in the queue */
    run_due();
    CHECK(sched.globq.n == 0); /* one goroutine is on its way already */
    start_all();
    CHECK(started[0] == 2 && started[1] == 1 && started[2] == 0);
    CHECK(timerfunc_start(&funcs[1], nanotime() + HOUR) && timerfunc_stop(&funcs[1]));
    run_due();
    CHECK(sched.due == NULL && sched.globq.n == 0 && !sched.due_starting);
    apoke(&sched.nglob, 0);
}

/* ---- between threads ---- */

enum { RECEIVERS = 3, TICKS = 400 };
static struct timechan shared;
static struct hchan quit;
static uint32_t over, received;

static void *receiver(void *arg)
{
    struct g *gp = calling_g();
    struct scase cases[2];
    struct sudog sudogs[2];
    uint16_t orders[4];
    struct selectstate s = {
        .n = 2, .pollorder = orders, .lockorder = orders + 2, .cases = cases, .sudogs = sudogs};
    for (uint32_t seed = 1 + (uint32_t)(uintptr_t)arg;; seed = seed * 1664525 + 1013904223) {
        uint32_t casei;
        cases[0] = (struct scase){.c = &shared.c};
        cases[1] = (struct scase){.c = &quit};
        int64_t deadline = seed & 0x100 ? nanotime() + 50000 : NEVER;
        enum chan_result r = select_begin(&s, gp, seed | 1, &casei);
        if (r == CHAN_PARK)
            r = select_finish(&s, gp, gowait(gp, deadline), &casei);
        if (r == CHAN_CLOSED)
            return NULL;
        if (r == CHAN_OK)
            real_add(&received, 1);
        else
            CHECK(r == CHAN_ENDED);
    }
}

static void *scheduler(void *arg)
{
    (void)arg;
    while (!real_load(&over))
        run_due();
    return NULL;
}

static void *resetter(void *arg)
{
    uint32_t seed = 77;
    (void)arg;
    while (!real_load(&over)) {
        bool was;
        seed = seed * 1664525 + 1013904223;
        if (seed & 0x700)
            CHECK(timechan_reset(&shared, nanotime() + (seed >> 16), 20000, &was));
        else
            timechan_stop(&shared);
        until(nanotime() + (seed >> 14));
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t t[RECEIVERS + 2];
    timechan_init(&shared, nanotime(), 20000);
    CHECK(chaninit(&quit, 0));
    for (uintptr_t i = 0; i < RECEIVERS; i++)
        pthread_create(&t[i], NULL, receiver, (void *)i);
    pthread_create(&t[RECEIVERS], NULL, scheduler, NULL);
    pthread_create(&t[RECEIVERS + 1], NULL, resetter, NULL);
    while (real_load(&received) < TICKS)
        sched_yield();
    closechan(&quit);
    for (int i = 0; i < RECEIVERS; i++)
        pthread_join(t[i], NULL);
    CHECK(shared.blocked == 0 && !shared.c.recvq.first);
    real_store(&over, 1);
    pthread_join(t[RECEIVERS], NULL);
    pthread_join(t[RECEIVERS + 1], NULL);
    CHECK(shared.timer.heap == NULL && heap0()->len == 0);
    timechan_end(&shared);
    chanfree(&quit);
}

int main(void)
{
    rt_start(2);
    test_once();
    test_ticks();
    test_given_back();
    puts("ok timers on channels");
    test_functions();
    puts("ok timers with a function");
    if (GOPY_THREADED) {
        test_threads();
        puts("ok timers on channels between threads");
    }
    test_fork();
    puts("ok timers after a fork");
    for (int i = 0; i < sched.nprocs; i++) {
        free(sched.allp[i]->timers.slots);
        free(sched.allp[i]);
    }
    free_ms(sched.allm);
    return 0;
}
