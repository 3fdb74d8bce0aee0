/* lock.c: locks and notes on Linux futexes; elsewhere a note is a condition variable of its hash bucket. */
#include "runtime/lock.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>

static int futex_wait(uint32_t *addr, uint32_t val, int64_t timeout)
{
    struct timespec ts = {timeout / 1000000000, timeout % 1000000000};
    if (syscall(SYS_futex, addr, FUTEX_WAIT_PRIVATE, val, timeout == NEVER ? NULL : &ts, NULL, 0) == 0)
        return 0;
    return errno;
}

static void futex_wake(uint32_t *addr, int n)
{
    syscall(SYS_futex, addr, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

#else
#include <limits.h>
#include <pthread.h>

static struct bucket {
    pthread_mutex_t mu;
    pthread_cond_t cond;
} buckets[64] = {[0 ... 63] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};

static struct bucket *bucket_of(uint32_t *addr) { return &buckets[((uintptr_t)addr >> 4) % 64]; }

static int futex_wait(uint32_t *addr, uint32_t val, int64_t timeout)
{
    struct bucket *b = bucket_of(addr);
    int err = 0;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    /* Signals do not end the wait here: look again now and then. */
    if (timeout > 50000000)
        timeout = 50000000;
    until.tv_nsec += timeout;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&b->mu);
    if (real_load(addr) == val)
        err = pthread_cond_timedwait(&b->cond, &b->mu, &until);
    pthread_mutex_unlock(&b->mu);
    return err == ETIMEDOUT ? EINTR : err;
}

static void futex_wake(uint32_t *addr, int n)
{
    struct bucket *b = bucket_of(addr);
    (void)n;
    pthread_mutex_lock(&b->mu);
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mu);
}
#endif

#if GOPY_THREADED
void lock_slow(struct lock *l)
{
    for (int i = 0; i < 100; i++) {
        cpu_relax();
        uint32_t free_ = 0;
        if (real_peek(&l->word) == 0 &&
            __atomic_compare_exchange_n(&l->word, &free_, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
    }
    while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
        futex_wait(&l->word, 2, NEVER);
}

void unlock_slow(struct lock *l) { futex_wake(&l->word, 1); }
#endif

void note_wakeup(struct note *n)
{
    int fd = real_load(&n->breakfd); /* after the exchange the note may be gone */
    if (real_xchg(&n->key, 1) != 0)
        return;
    uint64_t one = 1;
    if (fd == 0)
        futex_wake(&n->key, 1);
    else
        while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
}

/* Where a note is not a futex it has a mutex, which a handler must not touch: the sleeper looks by itself. */
void note_wakeup_in_handler(struct note *n)
{
#ifdef __linux__
    note_wakeup(n);
#else
    real_store(&n->key, 1);
#endif
}

enum note_result note_sleep(struct note *n, int64_t deadline)
{
    while (real_load(&n->key) == 0) {
        int64_t left = NEVER;
        if (deadline != NEVER && (left = deadline - nanotime()) <= 0)
            return NOTE_TIMEOUT;
        if (futex_wait(&n->key, 0, left) == EINTR)
            return real_load(&n->key) ? NOTE_WOKEN : NOTE_INTERRUPTED;
    }
    return NOTE_WOKEN;
}
