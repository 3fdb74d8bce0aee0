/* lockrank.c: see lockrank.h. The locks that a thread holds are linked, the last one taken first. */
#include "runtime/lockrank.h"

#if GOPY_LAWS
#include <stdio.h>
#include <stdlib.h>

#include "runtime/lock.h"

#define R(name) (1u << RANK_##name)

static const struct {
    const char *name;
    uint32_t under; /* the ranks that may be held when one of this rank is taken */
} ranks[NLOCKRANKS] = {
    [RANK_LEAF] = {"a leaf", ~R(LEAF)},
    [RANK_TIMECHAN] = {"timechan.lock", 0},
    [RANK_POLLINIT] = {"initlock", 0},
    [RANK_POLLDESC] = {"polldesc.lock", 0},
    [RANK_POLLTABLE] = {"table_lock", R(POLLDESC)},             /* netpollclose disarms */
    [RANK_TIMERS] = {"timers.lock", R(TIMECHAN) | R(POLLDESC)}, /* a wait with a deadline begins */
    [RANK_TIMERS_RETIRED] = {"timers.lock of a retired P", R(TIMERS)},
    [RANK_HCHAN] = {"hchan.lock", R(TIMECHAN) | R(TIMERS) | R(HCHAN)}, /* a timer sends; select */
    [RANK_DUE] = {"sched.duelock", R(TIMERS)},                         /* a timer with a function is due */
    [RANK_OFFLOAD] = {"pool.lock", 0},
    [RANK_ALLG] = {"allg.lock", 0},
    [RANK_SCHED] = {"sched.lock", 0},
    [RANK_BUBBLES] = {"bubbles.lock", 0},
};

static __thread struct lock *held;

void rt_throw(const char *what)
{
    fprintf(stderr, "throw: %s\n", what);
    fflush(stderr);
    abort();
}

static void bad_order(enum lockrank rank, struct lock *other)
{
    char what[200];
    snprintf(what, sizeof(what), "lock order: %s is taken while %s is held", ranks[rank].name,
             ranks[other->rank_held].name);
    rt_throw(what);
}

void lockrank_check(struct lock *l, enum lockrank rank)
{
    for (struct lock *other = held; other; other = other->below) {
        if (other == l)
            bad_order(rank, other);
        if (!(ranks[rank].under & 1u << other->rank_held))
            bad_order(rank, other);
        if (rank == RANK_HCHAN && other->rank_held == RANK_HCHAN && (uintptr_t)other > (uintptr_t)l)
            rt_throw("lock order: hchan.lock is taken while that of a channel at a higher address is held");
    }
}

void lockrank_taken(struct lock *l, enum lockrank rank)
{
    l->rank_held = rank;
    l->below = held;
    held = l;
}

void lockrank_release(struct lock *l)
{
    struct lock **at = &held;
    while (*at && *at != l)
        at = &(*at)->below;
    if (*at == NULL)
        rt_throw("unlock: this thread does not hold the lock");
    *at = l->below;
}

void assert_held(struct lock *l)
{
    for (struct lock *other = held; other; other = other->below)
        if (other == l)
            return;
    char what[200];
    snprintf(what, sizeof(what), "assert_held: this thread does not hold %s", ranks[l->rank].name);
    rt_throw(what);
}

void assert_none_held(const char *what)
{
    char text[200];
    if (held == NULL)
        return;
    snprintf(text, sizeof(text), "%s while %s is held", what, ranks[held->rank_held].name);
    rt_throw(text);
}
#endif
