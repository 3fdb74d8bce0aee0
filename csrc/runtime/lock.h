/* lock.h: how a thread waits.
 *
 * struct lock   a mutex that blocks an M. With the GIL as the runtime's lock it compiles to nothing. A holder
 *               never runs Python, never drops a reference and never waits for a stop-the-world, so whoever
 *               waits for it waits for a few dozen instructions and may do so while attached.
 * struct note   a one-shot event: one thread sleeps on it, any thread wakes it; waking first is not lost. Whoever
 *               sleeps in a poll instead says by `breakfd` which descriptor ends that. */
#ifndef GOPY_LOCK_H
#define GOPY_LOCK_H

#include "runtime/lockrank.h"

struct lock {
    uint32_t word; /* 0 free, 1 held, 2 held and somebody waits */
#if GOPY_LAWS
    uint32_t rank, rank_held; /* enum lockrank: its own, and the one as which it was taken */
    struct lock *below;       /* what its holder took before */
#endif
};

#if GOPY_LAWS
#define LOCK_INIT(r) {.rank = (r)}
#else
#define LOCK_INIT(r) {0}
#endif

/* Make l, which nobody holds, a free lock of that rank. A lock that is all zero is a free leaf. */
static inline void lock_init(struct lock *l, enum lockrank rank)
{
    *l = (struct lock)LOCK_INIT(rank);
    (void)rank;
}

#if GOPY_THREADED
void lock_slow(struct lock *l);
void unlock_slow(struct lock *l);

static inline void lock_word(struct lock *l)
{
    uint32_t free_ = 0;
    if (unlikely(
            !__atomic_compare_exchange_n(&l->word, &free_, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        lock_slow(l);
}

static inline void unlock_word(struct lock *l)
{
    if (unlikely(__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2))
        unlock_slow(l);
}
#elif GOPY_LAWS
static inline void lock_word(struct lock *l)
{
    rt_assert(l->word == 0); /* else its holder has let go of the GIL */
    l->word = 1;
}

static inline void unlock_word(struct lock *l) { l->word = 0; }
#else
static inline void lock_word(struct lock *l) { (void)l; }
static inline void unlock_word(struct lock *l) { (void)l; }
#endif

/* Where several locks are taken at once, their order matters. */
#define GOPY_LOCKS (GOPY_THREADED || GOPY_LAWS)

/* Lock l as one of another rank than its own. */
static inline void lock_with_rank(struct lock *l, enum lockrank rank)
{
#if GOPY_LAWS
    lockrank_check(l, rank);
    lock_word(l);
    lockrank_taken(l, rank);
#else
    (void)rank;
    lock_word(l);
#endif
}

static inline void lock(struct lock *l)
{
#if GOPY_LAWS
    lock_with_rank(l, (enum lockrank)l->rank);
#else
    lock_word(l);
#endif
}

static inline void unlock(struct lock *l)
{
#if GOPY_LAWS
    lockrank_release(l);
#endif
    unlock_word(l);
}

struct note {
    uint32_t key; /* 0 clear, 1 woken */
    int breakfd;  /* 0: none; set before any waker can see the sleeper */
};

enum note_result { NOTE_WOKEN, NOTE_TIMEOUT, NOTE_INTERRUPTED };

static inline void note_clear(struct note *n) { real_store(&n->key, 0); }
void note_wakeup(struct note *n);
void note_wakeup_in_handler(struct note *n); /* the same, in a signal handler */
/* Sleep until woken, until nanotime() reaches deadline, or until a signal handler ran on this thread. */
enum note_result note_sleep(struct note *n, int64_t deadline);

#endif
