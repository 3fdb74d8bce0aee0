/* lockrank.h: laws that run. After Go's runtime/lockrank.go.
 *
 * With GOPY_LAWS, that is in the plain-C tests and in a debug build of the extension, rt_assert() checks what must hold,
 * and each thread records the locks that it holds: taking one that may not be taken under those, or calling a function
 * that needs one without it, ends the process with a message that names them. With a GIL, where a lock is nothing, it is
 * checked that nobody lets go of the GIL while it is held. Without GOPY_LAWS all of this compiles to nothing. */
#ifndef GOPY_LOCKRANK_H
#define GOPY_LOCKRANK_H

#include "runtime/sys.h"

#ifndef GOPY_LAWS
#define GOPY_LAWS 0
#endif

/* What a lock guards, in the order in which locks may be taken; lockrank.c says which may be held when one is. */
enum lockrank {
    RANK_LEAF, /* a lock that nobody has given a rank (those of sync.h, say): no lock is taken under it */
    RANK_TIMECHAN,
    RANK_POLLINIT,
    RANK_POLLDESC,
    RANK_POLLTABLE,
    RANK_TIMERS,
    RANK_TIMERS_RETIRED, /* the heap of a P that has retired, while its timers go to another */
    RANK_HCHAN,          /* several at once, in the order of their addresses */
    RANK_DUE,
    RANK_OFFLOAD,
    RANK_ALLG,
    RANK_SCHED,
    RANK_BUBBLES,
    NLOCKRANKS
};

struct lock;

#if GOPY_LAWS
/* "throw: <what>", and abort. */
void rt_throw(const char *what) __attribute__((noreturn));
void lockrank_check(struct lock *l, enum lockrank rank); /* may this thread take l, as one of that rank? */
void lockrank_taken(struct lock *l, enum lockrank rank);
void lockrank_release(struct lock *l);
void assert_held(struct lock *l);
void assert_none_held(const char *what); /* before what may run the embedding's code, or wait */

#define RT_STRING(x) #x
#define RT_LINE(line) RT_STRING(line)
#define rt_assert(cond)                                                                                      \
    (likely(cond) ? (void)0 : rt_throw(__FILE__ ":" RT_LINE(__LINE__) ": " #cond " does not hold"))
#else
#define rt_assert(cond) ((void)sizeof(!(cond)))
static inline void assert_held(struct lock *l) { (void)l; }
static inline void assert_none_held(const char *what) { (void)what; }
#endif

#endif
