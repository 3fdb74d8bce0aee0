/* chunks.c: blocks of memory of one size, cut from slabs.
 *
 * To map a chunk by itself and to unmap it costs more than all the rest of a goroutine's birth and death, interrupts the
 * other processors each time, and leaves a hole: a process may have 65,530 mappings. So a source is asked for slabs, each
 * as large as all that there are. Its first chunk holds a bitmap of the clean ones.
 *
 * A chunk of a slab is in one state at a time:
 *   out      chunk_alloc() has returned it
 *   dirty    free, with memory: it is in `dirty`, of which the newest is taken first, as it is the likeliest in a cache
 *   leaving  return_oldest() has taken it out of `dirty`, and is giving its memory to the system
 *   clean    free, without memory: its bit is set
 * A slab goes back to the source when all of it is clean. Of memory that no goroutine has there are thus never more than
 * MOST_DIRTY chunks.
 *
 * What is below is guarded by `busy`, a spin lock and no struct lock: with a GIL that is none, but threads of other
 * interpreters, which have a GIL of their own, come here too. Its holder does a few dozen instructions and no system
 * call. Nobody has it while the process forks. */
#include "runtime/chunks.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEWEST 16        /* chunks of a slab, */
#define FIRST 64         /* of the first one, */
#define MOST (64 * 1024) /* and of the largest */
#define MOST_SLABS 128
#define MOST_DIRTY 256
#define BATCH 128 /* what return_oldest() takes at once */

struct slab {
    char *base;
    uint64_t *clean; /* the bitmap */
    uint32_t nchunks, nclean;
    uint32_t first; /* no word of the bitmap before this one has a bit */
};

static struct chunk_source source;
static uintptr_t page;

static uint32_t busy;
static struct slab slabs[MOST_SLABS]; /* the oldest are used first, so that the newest get empty */
static uint32_t nslabs, ntotal;
static char *dirty[MOST_DIRTY];
static uint32_t ndirty;

static void hold(void)
{
    for (int i = 0; real_xchg(&busy, 1); i++) {
        if (i < 100)
            cpu_relax();
        else
            sched_yield();
    }
}

static void let_go(void) { real_store(&busy, 0); }

void chunks_init(const struct chunk_source *from)
{
    source = *from;
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    pthread_atfork(hold, let_go, let_go);
}

/* NULL: it is of none. If a stranger has unmapped some chunks of a slab, something else may lie there. */
static struct slab *slab_of_locked(const char *chunk)
{
    for (struct slab *s = slabs; s < slabs + nslabs; s++) {
        uintptr_t offset = (uintptr_t)chunk - (uintptr_t)s->base;
        if (offset < (uintptr_t)s->nchunks * CHUNK_SIZE)
            return offset % CHUNK_SIZE ? NULL : s;
    }
    return NULL;
}

/* NULL: there is no free one. */
static char *take_locked(void)
{
    if (ndirty)
        return dirty[--ndirty];
    for (struct slab *s = slabs; s < slabs + nslabs; s++) {
        if (s->nclean == 0)
            continue;
        while (s->clean[s->first] == 0)
            s->first++;
        uint64_t *word = &s->clean[s->first];
        size_t i = 64 * (size_t)s->first + (size_t)__builtin_ctzll(*word);
        *word &= *word - 1;
        s->nclean--;
        return s->base + i * CHUNK_SIZE;
    }
    return NULL;
}

static void make_clean_locked(char *chunk)
{
    struct slab *s = slab_of_locked(chunk);
    size_t i = (size_t)(chunk - s->base) / CHUNK_SIZE, word = i / 64;
    s->clean[word] |= (uint64_t)1 << i % 64;
    s->nclean++;
    if (word < s->first)
        s->first = (uint32_t)word;
}

static void advise(char *at, size_t size, int advice)
{
    uintptr_t from = ((uintptr_t)at + page - 1) & -page, to = ((uintptr_t)at + size) & -page;
    if (from < to)
        (void)madvise((void *)from, to - from, advice);
}

/* In a huge page every chunk would have all of its memory. */
static void keep_pages_small(char *base, size_t size)
{
#ifdef MADV_NOHUGEPAGE
    advise(base, size, MADV_NOHUGEPAGE);
#else
    (void)base, (void)size;
#endif
}

/* A chunk of a new slab, or NULL. */
static char *grow(void)
{
    hold();
    uint32_t n = ntotal < FIRST ? FIRST : ntotal < MOST ? ntotal : MOST;
    bool full = nslabs == MOST_SLABS;
    let_go();
    char *base = NULL;
    while (!full && n >= FEWEST && (base = source.alloc(source.ctx, (size_t)n * CHUNK_SIZE)) == NULL)
        n /= 2;
    if (base == NULL)
        return NULL;
    keep_pages_small(base, (size_t)n * CHUNK_SIZE);
    struct slab s = {.base = base, .clean = (uint64_t *)base, .nchunks = n, .nclean = n - 1};
    memset(s.clean, 0, (n + 63) / 64 * 8);
    for (uint32_t i = 1; i < n; i++) /* not the first: the bitmap is there */
        s.clean[i / 64] |= (uint64_t)1 << i % 64;
    char *chunk = NULL;
    hold();
    full = nslabs == MOST_SLABS; /* other threads may have been here */
    if (!full) {
        slabs[nslabs++] = s;
        ntotal += n;
        chunk = take_locked();
    }
    let_go();
    if (full)
        source.free(source.ctx, base, (size_t)n * CHUNK_SIZE);
    return chunk;
}

void *chunk_alloc(void)
{
    hold();
    char *chunk = take_locked();
    let_go();
    if (unlikely(chunk == NULL) && (chunk = grow()) == NULL)
        chunk = source.alloc(source.ctx, CHUNK_SIZE);
    return chunk;
}

static int by_address(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return (x > y) - (x < y);
}

/* Return the memory of the oldest BATCH dirty chunks, or fewer. Neighbours go at once. */
static __attribute__((noinline)) void return_oldest(void)
{
    char *leaving[BATCH];
    hold();
    uint32_t n = ndirty < BATCH ? ndirty : BATCH;
    memcpy(leaving, dirty, n * sizeof(*dirty));
    ndirty -= n;
    memmove(dirty, dirty + n, ndirty * sizeof(*dirty));
    let_go();
    qsort(leaving, n, sizeof(*leaving), by_address);
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && leaving[end] == leaving[end - 1] + CHUNK_SIZE;)
            end++;
        advise(leaving[i], (size_t)(end - i) * CHUNK_SIZE, MADV_DONTNEED);
    }
    hold();
    for (uint32_t i = 0; i < n; i++)
        make_clean_locked(leaving[i]);
    let_go();
}

void chunk_free(void *chunk)
{
    for (;; return_oldest()) {
        hold();
        bool ours = slab_of_locked(chunk) != NULL, room = ndirty < MOST_DIRTY;
        if (ours && room)
            dirty[ndirty++] = chunk;
        let_go();
        if (unlikely(!ours))
            source.free(source.ctx, chunk, CHUNK_SIZE);
        if (likely(!ours || room))
            return;
    }
}

/* Take out a slab that is all clean. */
static bool empty_slab(struct slab *out)
{
    bool found = false;
    hold();
    for (struct slab *s = slabs; s < slabs + nslabs && !found; s++) {
        if (s->nclean != s->nchunks - 1)
            continue;
        found = true;
        *out = *s;
        ntotal -= s->nchunks;
        nslabs--;
        memmove(s, s + 1, (size_t)(slabs + nslabs - s) * sizeof(*s));
    }
    let_go();
    return found;
}

void chunks_trim(void)
{
    for (uint32_t n = MOST_DIRTY / BATCH; n > 0; n--)
        return_oldest();
    for (struct slab s; empty_slab(&s);)
        source.free(source.ctx, s.base, (size_t)s.nchunks * CHUNK_SIZE);
}
