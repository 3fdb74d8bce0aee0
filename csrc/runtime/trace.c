/* trace.c: what the scheduler did, as events in memory.
 *
 * Every M writes to a ring of its own, without a lock; a full ring overwrites its oldest events. Threads without an M
 * share one ring and a lock. Whether events are recorded is one word, sched.tracing, which is looked at where something
 * happens. It changes, and the rings come, are read and go, only while no other thread runs (the embedding sees to that), so
 * nobody is ever in the midst of writing an event then. An M gets its ring with its first event.
 *
 * Events have the time of the CPU's counter where there is one, as asking the kernel's clock takes thrice as long. The
 * counter is compared with the clock at the beginning and at the end. */
#include "runtime/trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/host.h"

#define LARGE_PAGE ((size_t)2 << 20)

struct tracering {
    uint64_t n;    /* events ever written */
    uint64_t mask; /* the ring's size - 1, a power of two less one */
    struct tracering *next;
    uint64_t read;  /* while events are collected: the next one */
    int64_t ticks;  /* when its M has parked a goroutine, unless it has done more since; else 0 */
    uint64_t cause; /* enum tracecause of what the M readies while it runs no goroutine */
    struct traceevent events[];
};

static struct {
    struct lock lock; /* guards what follows, and the ring of those without an M */
    struct tracering *all;
    struct tracering *outside;
    uint64_t size;
    uint64_t lost; /* events that there was no memory for */
    int64_t ticks, when;
} tracer;

static inline int64_t ticks_now(void)
{
#if defined(__x86_64__)
    return (int64_t)__builtin_ia32_rdtsc();
#else
    return nanotime();
#endif
}

static struct tracering *new_ring_locked(void)
{
    assert_held(&tracer.lock);
    /* In large pages, as a page fault for every 170 events would cost as much as recording them. */
    size_t bytes = sizeof(struct tracering) + tracer.size * sizeof(struct traceevent);
    void *mem = NULL;
    struct tracering *ring =
        posix_memalign(&mem, bytes < LARGE_PAGE ? 64 : LARGE_PAGE, bytes) == 0 ? mem : NULL;
#ifdef MADV_HUGEPAGE
    if (ring && bytes >= LARGE_PAGE)
        (void)madvise(mem, bytes, MADV_HUGEPAGE);
#endif
    if (ring == NULL) {
        tracer.lost++;
        return NULL;
    }
    ring->n = ring->read = 0;
    ring->ticks = 0;
    ring->cause = CAUSE_UNKNOWN;
    ring->mask = tracer.size - 1;
    ring->next = tracer.all;
    return tracer.all = ring;
}

static inline void ring_put(struct tracering *ring, int64_t ticks, enum tracekind kind, uint64_t id,
                            uint64_t more)
{
    ring->events[ring->n++ & ring->mask] = (struct traceevent){ticks, id << 8 | (uint64_t)kind, more};
}

__attribute__((noinline)) static void add_slowly(struct m *mp, enum tracekind kind, uint64_t id,
                                                 uint64_t more)
{
    lock(&tracer.lock);
    struct tracering **at = mp ? &mp->trace : &tracer.outside;
    if (*at == NULL)
        *at = new_ring_locked();
    if (*at)
        ring_put(*at, ticks_now(), kind, id, more);
    unlock(&tracer.lock);
}

__attribute__((noinline)) void trace_add(struct m *mp, enum tracekind kind, uint64_t id, uint64_t more)
{
    if (unlikely(mp == NULL || mp->trace == NULL)) {
        add_slowly(mp, kind, id, more);
        return;
    }
    mp->trace->ticks = 0;
    ring_put(mp->trace, ticks_now(), kind, id, more);
}

/* The next goroutine runs a moment after one has parked: to read the counter again would cost as much as all the rest.
 * Not if that one comes from another M, which may have run or readied it since: its turns would overlap. */
__attribute__((noinline)) void trace_run(struct m *mp, struct g *gp)
{
    struct tracering *ring = mp->trace;
    if (unlikely(ring == NULL || ring->ticks == 0)) {
        trace_add(mp, TRACE_RUN, gp->id, (uint64_t)mp->p->id);
        return;
    }
    ring_put(ring, ring->ticks, TRACE_RUN, gp->id, (uint64_t)mp->p->id);
    ring->ticks = 0;
}

/* gp has been made. */
void trace_new(struct g *gp)
{
    struct m *mp = getm();
    uint64_t by = mp && mp->curg ? mp->curg->id : 0;
    trace_add(mp, TRACE_NEW, gp->id, by | (uint64_t)host_trace_made(gp) << TRACE_ID_BITS);
}

/* gp is about to be queued, by whoever runs here. */
void trace_ready(struct m *mp, struct g *gp)
{
    uint64_t by = mp && mp->curg ? mp->curg->id : 0, cause = CAUSE_UNKNOWN;
    if (by == 0)
        cause = mp == NULL ? CAUSE_THREAD : mp->trace ? mp->trace->cause : CAUSE_UNKNOWN;
    trace_add(mp, TRACE_READY, gp->id, by | cause << TRACE_ID_BITS);
}

void trace_set_cause(struct m *mp, enum tracecause cause)
{
    if (mp->trace)
        mp->trace->cause = cause;
}

__attribute__((noinline)) void trace_park(struct m *mp, struct g *gp, uint64_t reason)
{
    uint64_t more = (reason & ~(uint64_t)WAIT_FLAGS) | (uint64_t)host_trace_parks(gp) << TRACE_ID_BITS;
    struct tracering *ring = mp->trace;
    if (unlikely(ring == NULL)) {
        add_slowly(mp, TRACE_PARK, gp->id, more);
        return;
    }
    ring->ticks = ticks_now();
    ring_put(ring, ring->ticks, TRACE_PARK, gp->id, more);
}

/* mp looks for work for longer than a moment, or has found some that is not its own. */
void trace_looks(struct m *mp)
{
    if (mp->trace)
        mp->trace->ticks = 0;
}

void trace_begin(size_t bytes)
{
    uint64_t each = bytes / sizeof(struct traceevent) / (uint64_t)sched.gomaxprocs;
    tracer.size = 64;
    while (tracer.size * 2 <= each)
        tracer.size *= 2;
    tracer.lost = 0;
    tracer.ticks = ticks_now();
    tracer.when = nanotime();
    real_store(&sched.tracing, 1);
}

/* The ring whose next event is the oldest; NULL: all have been read. Each ring is in the order of time. */
static struct tracering *oldest(void)
{
    struct tracering *first = NULL;
    for (struct tracering *ring = tracer.all; ring; ring = ring->next)
        if (ring->read < ring->n && (first == NULL || ring->events[ring->read & ring->mask].when <
                                                          first->events[first->read & first->mask].when))
            first = ring;
    return first;
}

bool trace_collect(struct tracelog *log)
{
    *log = (struct tracelog){.dropped = tracer.lost};
    for (struct tracering *ring = tracer.all; ring; ring = ring->next) {
        ring->read = ring->n <= ring->mask ? 0 : ring->n - ring->mask - 1;
        log->n += ring->n - ring->read;
        log->dropped += ring->read;
    }
    log->events = malloc((log->n + 1) * sizeof(*log->events));
    if (log->events == NULL)
        return false;
    int64_t ticks = ticks_now() - tracer.ticks, ns = nanotime() - tracer.when;
    double rate = ticks > 0 ? (double)ns / (double)ticks : 1;
    for (size_t i = 0; i < log->n; i++) {
        struct tracering *ring = oldest();
        log->events[i] = ring->events[ring->read++ & ring->mask];
        log->events[i].when = tracer.when + (int64_t)((double)(log->events[i].when - tracer.ticks) * rate);
    }
    return true;
}

/* In the child of a fork: no other thread is left that might hold the lock, and no ring of the parent's is touched. */
void trace_forget(void) { memset(&tracer, 0, sizeof(tracer)); }

void trace_end(void)
{
    real_store(&sched.tracing, 0);
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext)
        mp->trace = NULL;
    while (tracer.all) {
        struct tracering *ring = tracer.all;
        tracer.all = ring->next;
        free(ring);
    }
    tracer.outside = NULL;
}
