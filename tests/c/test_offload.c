/* test_offload.c: the pool of threads behind blocking calls, with calls that wait for each other: below the limit all of
 * them run at once, whatever happens between a thread's start and the call that it was started for. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "runtime/offload.h"
#include "runtime/runtime.h"

#if GOPY_THREADED
#define CALLERS 8
#define ROUNDS 300

extern bool (*fake_newoffload)(void);

static uint32_t running, released, wanted, started;

static void *pool_thread(void *arg)
{
    (void)arg;
    offload_thread();
    return NULL;
}

static bool start_one(void)
{
    pthread_t thread;
    real_add(&started, 1);
    CHECK(pthread_create(&thread, NULL, pool_thread, NULL) == 0);
    CHECK(pthread_detach(thread) == 0);
    return true;
}

/* Until as many calls run as are wanted: a call that no thread has taken hangs the test, which alarm() ends. */
static void wait_for_the_others(struct offload *o)
{
    (void)o;
    real_add(&running, 1);
    while (real_load(&running) < real_load(&wanted))
        usleep(100);
    real_add(&released, 1);
}

static void nothing(struct offload *o) { (void)o; }

static struct offload call_of_two[2] = {
    {.run = wait_for_the_others, .clear = nothing, .drop = nothing},
    {.run = wait_for_the_others, .clear = nothing, .drop = nothing},
};
static struct g task[2];
static struct gwait task_wait[2];

static void begin(int i)
{
    task[i].kind = GTASK;
    task[i].epoch = sched.epoch;
    task[i].wait = &task_wait[i];
    task_wait[i].sg.g = &task[i];
    CHECK(offload_begin(&call_of_two[i], &task[i]) == OFFLOAD_PARK);
}

/* The thread that was started for one call goes idle before that call is queued, and another call takes it. */
static bool start_one_for_another(void)
{
    fake_newoffload = start_one;
    CHECK(start_one());
    while (offload_starting())
        usleep(100);
    usleep(10000);
    begin(1);
    return true;
}

static void test_a_thread_is_taken_by_another_call(void)
{
    wanted = 2;
    fake_newoffload = start_one_for_another;
    begin(0);
    while (real_load(&released) < 2)
        usleep(100);
    CHECK(started == 2);
    for (int i = 0; i < 2; i++) {
        while (real_load(&task[i].id) == 0) /* host_wake_task counts there */
            usleep(100);
        CHECK(offload_finish(&call_of_two[i], &task[i], WAKE_OP) == OFFLOAD_DONE);
    }
}

static pthread_barrier_t together;

static void *caller(void *arg)
{
    (void)arg;
    struct offload o = {.run = wait_for_the_others, .clear = nothing, .drop = nothing};
    struct g *gp = host_foreign_g();
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&together);
        CHECK(offload_begin(&o, gp) == OFFLOAD_PARK);
        CHECK(offload_finish(&o, gp, gowait(gp, NEVER)) == OFFLOAD_DONE);
        if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD)
            real_store(&running, 0);
    }
    return NULL;
}

/* Calls of several threads at once. */
static void test_callers_at_once(void)
{
    pthread_t threads[CALLERS];
    wanted = CALLERS;
    running = 0;
    CHECK(pthread_barrier_init(&together, NULL, CALLERS) == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < CALLERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}
#endif

static struct offload never_begun;
static struct g nobody;

int main(void)
{
    alarm(60);
    rt_start(2);
    nobody.kind = GTASK;
    CHECK(offload_begin(&never_begun, &nobody) == OFFLOAD_NOTHREAD);
    puts("ok no thread");
#if GOPY_THREADED
    test_a_thread_is_taken_by_another_call();
    puts("ok taken by another");
    test_callers_at_once();
    puts("ok at once");
#endif
    for (int i = 0; i < sched.nprocs; i++)
        free(sched.allp[i]);
    return 0;
}
