/* sync_rwmutex.c: RWMutex, to the effect of Go's sync/rwmutex.go.
 *
 * A waiting writer holds back new readers. When a writer unlocks, all readers that wait get the lock, and when
 * the last reader leaves, the first writer that waits does: so neither starves. The lock is always handed over:
 * whoever is woken has it.
 *
 * Under rw->lock: WAITERS if and only if somebody is on a queue, and while it is set nobody else changes
 * `state`. Readers wait only if a writer has the lock or is on its queue. */
#include "runtime/sudog.h"
#include "runtime/sync.h"

/* Lock it if it is free for that. Anybody may call it; with WAITERS set it only looks. */
bool rwtrylock(struct rwmutex *rw, bool write)
{
    for (;;) {
        uint32_t s = aload(&rw->state);
        if (write ? s != 0 : s & (RW_WRITER | RW_WAITERS))
            return false;
        if (acas(&rw->state, s, s + (write ? RW_WRITER : RW_READER)))
            return true;
    }
}

static inline uint32_t waiters_locked(struct rwmutex *rw)
{
    assert_held(&rw->lock);
    return rw->readers.first || rw->writers.first ? RW_WAITERS : 0;
}

/* The lock is free: to the first writer or to all readers, whoever comes first, or else to the others. -> the
 * new state */
static uint32_t hand_over_locked(struct rwmutex *rw, bool writer_first, struct gqueue *woken)
{
    assert_held(&rw->lock);
    struct sudog *sg = writer_first ? dequeue(&rw->writers) : NULL;
    uint32_t n = 0;
    while (sg == NULL && (sg = dequeue(&rw->readers)) != NULL) {
        gq_push(woken, sg->g);
        n += RW_READER;
        sg = NULL;
    }
    if (n == 0 && (sg || (sg = dequeue(&rw->writers)) != NULL)) {
        gq_push(woken, sg->g);
        n = RW_WRITER;
    }
    return n | waiters_locked(rw);
}

enum sync_result rwlock_begin(struct rwmutex *rw, struct g *gp, bool write)
{
    if (rwtrylock(rw, write))
        return SYNC_OK;
    if (gp == NULL)
        return SYNC_BLOCK;
    enum sync_result r = SYNC_OK;
    lock(&rw->lock);
    while (!rwtrylock(rw, write)) {
        uint32_t s = aload(&rw->state);
        bool free_ = write ? s == 0 : !(s & (RW_WRITER | RW_WAITERS));
        if (free_ || !acas(&rw->state, s, s | RW_WAITERS))
            continue;
        wait_since_exactly(gp);
        wait_begin(gp, (write ? WAIT_SYNC_RWMUTEX_LOCK : WAIT_SYNC_RWMUTEX_RLOCK) | durably(gp, rw->bubble));
        enqueue(write ? &rw->writers : &rw->readers, &gp->wait->sg);
        r = SYNC_PARK;
        break;
    }
    unlock(&rw->lock);
    return r;
}

enum sync_result rwlock_finish(struct rwmutex *rw, struct g *gp, bool write, enum wake w)
{
    if (likely(w == WAKE_OP))
        return SYNC_OK;
    struct gqueue woken = {0};
    lock(&rw->lock);
    dequeue_sudog(write ? &rw->writers : &rw->readers, &gp->wait->sg);
    uint32_t s = aload(&rw->state);
    if (s & RW_WAITERS) { /* perhaps it alone held readers back */
        struct sudog *sg;
        while (!(s & RW_WRITER) && !rw->writers.first && (sg = dequeue(&rw->readers)) != NULL) {
            gq_push(&woken, sg->g);
            s += RW_READER;
        }
        astore(&rw->state, (s & ~(uint32_t)RW_WAITERS) | waiters_locked(rw));
    }
    unlock(&rw->lock);
    goready_all(&woken);
    return SYNC_ENDED;
}

bool rwunlock(struct rwmutex *rw, bool write)
{
    if (rwunlock_fast(rw, write))
        return true;
    struct gqueue woken = {0};
    bool ok = false;
    lock(&rw->lock);
    for (;;) {
        uint32_t s = aload(&rw->state), held = write ? RW_WRITER : RW_READER;
        if (!(ok = write ? s & RW_WRITER : s >= RW_READER))
            break;
        if (!(s & RW_WAITERS)) {
            if (acas(&rw->state, s, s - held))
                break;
            continue;
        }
        s -= held;
        if (s < RW_READER) /* nobody reads any more */
            s = hand_over_locked(rw, !write, &woken);
        astore(&rw->state, s);
        break;
    }
    unlock(&rw->lock);
    if (unlikely(real_peek(&sched.profiling)))
        for (struct g *gp = woken.head; gp; gp = gp->schedlink)
            unlock_counts(gp);
    goready_all(&woken);
    return ok;
}
