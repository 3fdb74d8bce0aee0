/* test_laws.c: each law of lockrank.h can fail, and then names what broke it: every violation is made in a child process,
 * which must die by abort() with that message. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "runtime/sleepers.h"

static struct hchan pair[2];
static struct timers heap;
static struct mutex mu;
static struct g g;
static struct gwait gwait = {.sg = {.g = &g}};

/* ---- what must not be done ---- */

static void timers_under_sched(void)
{
    lock(&sched.lock);
    lock(&heap.lock);
}

static void channels_from_above(void)
{
    lock(&pair[1].lock);
    lock(&pair[0].lock);
}

static void under_a_leaf(void)
{
    lock(&mu.lock);
    lock(&pair[0].lock);
}

static void twice(void)
{
    lock(&sched.lock);
    lock(&sched.lock);
}

static void unlock_what_is_free(void) { unlock(&sched.lock); }

static void without_the_lock(void) { netpollunblock_locked(polldesc_of(0), POLL_READ, NULL); }

static void without_the_scheduler_s(void)
{
    int64_t until;
    deadcheck_locked(&until);
}

static void ready_with_a_lock(void)
{
    wait_begin(&g, WAIT_SLEEP);
    wait_claim(&g);
    lock(&heap.lock);
    goready(&g);
}

static void ready_without_a_claim(void)
{
    wait_begin(&g, WAIT_SLEEP);
    goready(&g);
}

static void ready_twice(void)
{
    wait_begin(&g, WAIT_SLEEP);
    wait_claim(&g);
    goready(&g);
    goready(&g);
}

static void wait_twice(void)
{
    wait_begin(&g, WAIT_SLEEP);
    wait_begin(&g, WAIT_SLEEP);
}

static void queue_twice(void)
{
    enqueue(&pair[0].recvq, &gwait.sg);
    enqueue(&pair[1].recvq, &gwait.sg);
}

static void idle_p_twice(void)
{
    struct p *pp = pidleget();
    lock(&sched.lock);
    pput_locked(pp);
    pput_locked(pp);
}

#if !GOPY_THREADED
static void gil_let_go(void)
{
    sched.lock.word = 1; /* another thread has it, so this one cannot have the GIL */
    lock(&sched.lock);
}
#endif

/* ---- and what may ---- */

static void in_order(void)
{
    lock(&heap.lock);
    lock(&pair[0].lock);
    lock(&pair[1].lock);
    assert_held(&heap.lock);
    unlock(&heap.lock);
    unlock(&pair[1].lock);
    unlock(&pair[0].lock);
    lock(&sched.lock);
    unlock(&sched.lock);
    assert_none_held("in_order");
    abort(); /* to end as the others do, but without a word */
}

static const struct {
    const char *name;
    void (*fn)(void);
    const char *message; /* a part of it */
} laws[] = {
    {"timers under sched", timers_under_sched,
     "throw: lock order: timers.lock is taken while sched.lock is held\n"},
    {"channels from above", channels_from_above,
     "throw: lock order: hchan.lock is taken while that of a channel at a"},
    {"under a leaf", under_a_leaf, "throw: lock order: hchan.lock is taken while a leaf is held\n"},
    {"twice", twice, "throw: lock order: sched.lock is taken while sched.lock is held\n"},
    {"unlock what is free", unlock_what_is_free, "throw: unlock: this thread does not hold the lock\n"},
    {"without the lock", without_the_lock, "throw: assert_held: this thread does not hold polldesc.lock\n"},
    {"without the scheduler's", without_the_scheduler_s,
     "throw: assert_held: this thread does not hold sched.lock\n"},
    {"ready with a lock", ready_with_a_lock, "throw: goready while timers.lock is held\n"},
    {"ready without a claim", ready_without_a_claim, "!apeek(&gp->armed) does not hold\n"},
    {"ready twice", ready_twice, "from & GS(apeek(&gp->status))"},
    {"wait twice", wait_twice, "!apeek(&gp->armed) does not hold\n"},
    {"queue twice", queue_twice, "sg->q == NULL does not hold\n"},
    {"idle P twice", idle_p_twice, "pp->status != Pidle does not hold\n"},
#if !GOPY_THREADED
    {"the GIL let go", gil_let_go, "l->word == 0 does not hold\n"},
#endif
    {"in order", in_order, ""},
};

/* What fn writes to stderr on its way to abort(). */
static void dying_words(void (*fn)(void), char *words, size_t size)
{
    int fds[2], status;
    if (pipe(fds) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], 2);
        close(fds[1]);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fds[0], words + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    words[n] = 0;
    close(fds[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
        WTERMSIG(status) != SIGABRT) {
        fprintf(stderr, "it did not abort; it said: %s\n", words);
        abort();
    }
}

int main(void)
{
    rt_start(2);
    timers_init(&heap);
    g.status = Grunning;
    g.wait = &gwait;
    if (!chaninit(&pair[0], 0) || !chaninit(&pair[1], 0))
        abort();
    for (size_t i = 0; i < sizeof(laws) / sizeof(*laws); i++) {
        char words[1000];
        dying_words(laws[i].fn, words, sizeof(words));
        if (laws[i].message[0] ? strstr(words, laws[i].message) == NULL : words[0] != 0) {
            fprintf(stderr, "%s: said: %s\n", laws[i].name, words);
            abort();
        }
    }
    for (int i = 0; i < sched.nprocs; i++)
        free(sched.allp[i]);
    puts("ok laws");
    return 0;
}
