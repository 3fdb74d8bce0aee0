/* test_sigqueue.c: no signal is lost between the handler, the receiver, and what happened to it before. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "runtime/runtime.h"

#define ENOUGH 200 /* received */

static uint32_t received, had_former_effect;

static bool enough(void) { return real_load(&received) >= ENOUGH; }

static void former_handler(int sig)
{
    (void)sig;
    real_add(&had_former_effect, 1);
}

static void *receiver(void *arg)
{
    (void)arg;
    for (int sig; (sig = signal_recv()) != 0;) {
        if (sig == SIGUSR2) {
            sched_yield();
            continue;
        }
        CHECK(sig == SIGUSR1);
        real_add(&received, 1);
    }
    return NULL;
}

static void *sender(void *arg)
{
    (void)arg;
    for (uint32_t i = 1; !enough(); i++) {
        raise(SIGUSR1);
        while (real_load(&received) + real_load(&had_former_effect) != i)
            sched_yield();
    }
    return NULL;
}

/* Others come all the while. */
static void *hail(void *arg)
{
    (void)arg;
    while (!enough())
        raise(SIGUSR2);
    return NULL;
}

static void wait_idle(void)
{
    while (!signal_idle())
        sched_yield();
}

static void wait_delivered(void)
{
    for (uint32_t count = 0; count < 2; count++)
        for (signal_avoid(count); !signal_handled(count);)
            sched_yield();
    for (uint32_t since = signal_round(); !signal_delivered(since);)
        sched_yield();
}

/* ThreadSanitizer calls a handler only as the thread next calls something. */
static bool had_effect(uint32_t n)
{
    for (int i = 0; i < 5000 && real_load(&had_former_effect) < n; i++)
        usleep(1000);
    return real_load(&had_former_effect) == n;
}

static bool is_former(int sig)
{
    struct sigaction act;
    CHECK(sigaction(sig, NULL, &act) == 0);
    return !(act.sa_flags & SA_SIGINFO) && act.sa_handler == former_handler && (act.sa_flags & SA_RESTART);
}

/* Received are those between enable and disable, and none afterwards. -> how many were not. */
static uint32_t in_between(int nhails)
{
    pthread_t s, hails[2];
    received = had_former_effect = 0;
    pthread_create(&s, NULL, sender, NULL);
    for (int i = 0; i < nhails; i++)
        pthread_create(&hails[i], NULL, hail, NULL);
    uint32_t before = 0;
    for (bool one = false; !enough(); one = !one) {
        signal_enable(SIGUSR1);
        do
            sched_yield();
        while (one && real_load(&received) == before);
        signal_disable(SIGUSR1);
        wait_delivered();
        before = real_load(&received);
        sched_yield();
        CHECK(real_load(&received) == before);
    }
    pthread_join(s, NULL);
    for (int i = 0; i < nhails; i++)
        pthread_join(hails[i], NULL);
    return had_former_effect;
}

int main(void)
{
    struct sigaction act = {.sa_handler = former_handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    pthread_t r;
    pthread_create(&r, NULL, receiver, NULL);

    CHECK(!signal_enable(SIGKILL));
    CHECK(signal_enable(SIGUSR1) && signal_enable(SIGUSR1) && !is_former(SIGUSR1));
    raise(SIGUSR1);
    signal_disable(SIGUSR1);
    wait_idle();
    CHECK(received == 1 && is_former(SIGUSR1));
    raise(SIGUSR1);
    CHECK(had_former_effect == 1);
    signal_enable(SIGUSR1);
    sigaction(SIGUSR1, &act, NULL); /* the program's own wins, and stays */
    signal_disable(SIGUSR1);
    CHECK(is_former(SIGUSR1));

    signal_enable(SIGINT);
    signal_poke(pthread_self());
    CHECK(had_effect(2));
    signal_disable(SIGINT);
    signal_poke(pthread_self());
    CHECK(had_effect(3) && is_former(SIGINT));
#ifdef __GLIBC__ /* elsewhere a poke has no mark of its own */
    sigset_t sigint;
    sigemptyset(&sigint);
    sigaddset(&sigint, SIGINT);
    pthread_sigmask(SIG_BLOCK, &sigint, NULL);
    signal_poke(pthread_self());
    signal_enable(SIGINT); /* while it is under way */
    pthread_sigmask(SIG_UNBLOCK, &sigint, NULL);
    CHECK(had_effect(4));
    pthread_sigmask(SIG_BLOCK, &sigint, NULL);
    signal_poke(pthread_self());
    signal_disable(SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &sigint, NULL);
    CHECK(had_effect(5) && is_former(SIGINT));
#endif
    wait_idle();
    puts("ok signals");

    CHECK(signal_enable(SIGUSR2));
    for (int nhails = 0; nhails <= 2; nhails += 2)
        printf("ok signals between threads: %d received, %u not\n", ENOUGH, in_between(nhails));
    signal_quit();
    pthread_join(r, NULL);
    CHECK(!signal_receiving());
    return 0;
}
