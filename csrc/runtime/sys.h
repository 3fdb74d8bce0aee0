/* sys.h: integers, atomics and clocks. The bottom of the runtime.
 *
 * GOPY_THREADED selects the regime. 1: goroutines run on several threads at once, and what this file calls
 * an atomic is one. 0: the interpreter's GIL is held whenever runtime code runs, so the same operations are
 * plain loads and stores. The names that begin with `real_` are atomic in both: they are for the few words
 * that a thread without the GIL touches (notes, and what sysmon looks at). */
#ifndef GOPY_SYS_H
#define GOPY_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifndef GOPY_THREADED
#define GOPY_THREADED 1
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define real_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define real_peek(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define real_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define real_poke(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define real_xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define real_add(p, v) __atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define real_cas(p, old, new)                                                                                \
    ({                                                                                                       \
        __typeof__(*(p)) expected_ = (old);                                                                  \
        __atomic_compare_exchange_n((p), &expected_, (new), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);      \
    })

#if GOPY_THREADED
#define aload(p) real_load(p)
#define apeek(p) real_peek(p)
#define astore(p, v) real_store(p, v)
#define apoke(p, v) real_poke(p, v)
#define aload_sc(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define astore_sc(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define axchg(p, v) real_xchg(p, v)
#define aadd(p, v) real_add(p, v)
#define acas(p, old, new) real_cas(p, old, new)
/* The store-load barrier: of two threads that each store, pass it and load what the other stores, one sees the other's. */
#define afence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#else
#define aload(p) (*(p))
#define apeek(p) (*(p))
#define astore(p, v) ((void)(*(p) = (v)))
#define apoke(p, v) ((void)(*(p) = (v)))
#define aload_sc(p) (*(p))
#define astore_sc(p, v) ((void)(*(p) = (v)))
#define axchg(p, v)                                                                                          \
    ({                                                                                                       \
        __typeof__(*(p)) was_ = *(p);                                                                        \
        *(p) = (v);                                                                                          \
        was_;                                                                                                \
    })
#define aadd(p, v) (*(p) += (v))
#define acas(p, old, new) (*(p) == (old) ? (*(p) = (new), true) : false)
#define afence() ((void)0)
#endif

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Monotonic time in nanoseconds. */
static inline int64_t nanotime(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The same clock, a few milliseconds stale and several times cheaper to read. */
static inline int64_t nanotime_coarse(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
#else
    return nanotime();
#endif
}

#define NEVER INT64_MAX /* a deadline that does not come */

#endif
