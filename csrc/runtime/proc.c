/* proc.c: birth and death of goroutines, and the list of those alive.
 *
 * Every live goroutine that counts is in sched.allg[id % ALLG_SHARDS]. The shard's lock also guards the
 * goroutine's `joiners` and its passage to Gdead, so that a join either queues before it or sees it. */
#include "runtime/host.h"
#include "runtime/sched.h"
#include "runtime/sudog.h"
#include "runtime/trace.h"

static const char *const reasons[] = {
    [WAIT_NONE] = "waiting",
    [WAIT_CHAN_RECEIVE] = "chan receive",
    [WAIT_CHAN_SEND] = "chan send",
    [WAIT_CHAN_RECEIVE_NIL] = "chan receive (nil chan)",
    [WAIT_CHAN_SEND_NIL] = "chan send (nil chan)",
    [WAIT_SELECT] = "select",
    [WAIT_SELECT_NO_CASES] = "select (no cases)",
    [WAIT_SLEEP] = "sleep",
    [WAIT_JOIN] = "join",
    [WAIT_GOEXIT] = "goexit",
    [WAIT_SYNC_MUTEX_LOCK] = "sync.Mutex.Lock",
    [WAIT_SYNC_RWMUTEX_RLOCK] = "sync.RWMutex.RLock",
    [WAIT_SYNC_RWMUTEX_LOCK] = "sync.RWMutex.Lock",
    [WAIT_SYNC_WAITGROUP_WAIT] = "sync.WaitGroup.Wait",
    [WAIT_SYNC_COND_WAIT] = "sync.Cond.Wait",
    [WAIT_BLOCKING] = "blocking",
    [WAIT_IO] = "IO wait",
    [WAIT_SYNCTEST_RUN] = "synctest.Run",
    [WAIT_SYNCTEST_WAIT] = "synctest.Wait",
};

const char *waitreason_name(uint8_t reason) { return reasons[reason & ~WAIT_FLAGS]; }

static struct allg *shard(struct g *gp) { return &sched.allg[gp->id % ALLG_SHARDS]; }

void allg_add(struct g *gp)
{
    struct allg *s = shard(gp);
    lock(&s->lock);
    gp->allnext = s->first;
    gp->allprev = &s->first;
    if (s->first)
        s->first->allprev = &gp->allnext;
    s->first = gp;
    s->n++;
    unlock(&s->lock);
}

/* gp is dead; those that wait for that are moved to `joiners`. */
static void allg_del(struct g *gp, struct waitq *joiners)
{
    struct allg *s = shard(gp);
    lock(&s->lock);
    *gp->allprev = gp->allnext;
    if (gp->allnext)
        gp->allnext->allprev = gp->allprev;
    apoke(&s->n, s->n - 1);
    casgstatus(gp, GS(Grunning) | GS(Grunnable), Gdead); /* runnable: newproc_locked found no thread */
    for (struct sudog *sg; joiners && (sg = dequeue(&gp->joiners)) != NULL;)
        enqueue(joiners, sg);
    unlock(&s->lock);
}

uint64_t num_goroutine(void)
{
    uint64_t n = 0;
    for (int i = 0; i < ALLG_SHARDS; i++)
        n += apeek(&sched.allg[i].n);
    return n;
}

/* gp becomes runnable, and is seen from here on. -> whether its bubble keeps it until it is its turn. */
static inline bool born(struct m *mp, struct g *gp, uint8_t kind)
{
    gp->kind = kind;
    gp->epoch = sched.epoch;
    casgstatus(gp, GS(Gidle), Grunnable);
    if (kind != GSYSTEM) {
        gp->id = aadd(&sched.goidgen, 1);
        allg_add(gp);
        if (unlikely(real_peek(&sched.tracing)))
            trace_new(gp);
    }
    if (likely(gp->bubble == NULL)) {
        if (likely(mp == NULL || mp->curg == NULL || mp->curg->bubble == NULL))
            return false;
        gp->bubble = mp->curg->bubble;
    }
    return bubble_born(gp->bubble, gp);
}

void newproc(struct g *gp, uint8_t kind)
{
    struct m *mp = getm();
    if (unlikely(born(mp, gp, kind)))
        return;
    struct p *pp = mp && takes_new(mp) ? takep(mp) : NULL;
    if (unlikely(pp == NULL) && mp != NULL && takes_new(mp) && mp->loopfd == 0)
        pp = pidleget();
    if (unlikely(pp == NULL)) { /* it cannot run here, or not soon */
        aadd(&sched.nspawned, 1);
        globrunqput(gp);
        wake_anyone();
        return;
    }
    apoke(&pp->nspawned, pp->nspawned + 1);
    runqput_next(mp, pp, (uintptr_t)gp);
    givep(mp, pp);
#if GOPY_THREADED
    wakep();
#endif
    sysmon_watch();
}

bool newproc_locked(struct g *gp, uint8_t kind)
{
    struct m *mp = m_new();
    if (mp == NULL)
        return false;
    gp->boundm = mp;
    gp->lockcount = 1;
    mp->nlocked = mp->nbound = 1;
    bool kept = born(getm(), gp, kind);
    if (!kept)
        gq_push(&mp->lockq, gp);
    if (host_newthread(mp)) {
        aadd(&sched.nspawned, 1);
        return true;
    }
    if (!kept)
        gq_pop(&mp->lockq);
    if (gp->bubble)
        bubble_unborn(gp->bubble, gp);
    mp->nlocked = mp->nbound = 0;
    m_exit(mp);
    allg_del(gp, NULL);
    return false;
}

void goroutine_lock(struct g *gp)
{
    if (gp->lockcount++ == 0)
        gp->boundm->nlocked++;
}

void goroutine_unlock(struct g *gp)
{
    if (gp->lockcount > 0 && --gp->lockcount == 0)
        gp->boundm->nlocked--;
}

void goroutine_start(struct m *mp, struct g *gp, struct gwait *wait)
{
    wait->sg.g = gp;
    gp->wait = wait;
    goroutine_bind(mp, gp);
    mp->curg = gp;
    /* The main goroutine runs already, and so does a stackless one that was about to wait and need not. */
    bool goes_on = gp->kind == GSTACKLESS && apeek(&gp->status) == Grunning;
    casgstatus(gp, GS(Grunnable) | GS(Grunning), Grunning);
    if (likely(!goes_on))
        trace_runs(mp, gp);
}

/* gp, which starts or is stackless and between two steps, is mp's until goroutine_unbind. */
void goroutine_bind(struct m *mp, struct g *gp)
{
    if (gp->boundm == NULL)
        mp->nbound++;
    astore(&gp->boundm, mp);
}

/* gp, which is stackless, waits: from here on any M may run it, unless it has locked this one. Whoever readies gp
 * before the store sees it bound, and leaves it to mp; after the store it may run anywhere. So the store is the last
 * thing that mp does with gp. */
void goroutine_unbind(struct m *mp, struct g *gp)
{
    trace_yields(mp, gp);
    if (likely(gp->lockcount == 0 && gp != sched.g1)) {
        mp->nbound--;
        astore(&gp->boundm, (struct m *)NULL);
    }
}

void goroutine_end(struct m *mp, struct g *gp)
{
    /* gp has ended locked: its thread goes, too, once the goroutines that have started there have ended. */
    if (gp->lockcount) {
        gp->lockcount = 0;
        mp->nlocked--;
        if (mp != &sched.m0)
            mp->ending = true;
    }
    trace_event(mp, TRACE_END, gp->id, 0);
    mp->nbound--;
    mp->curg = NULL;
    if (gp->kind == GSYSTEM) {
        casgstatus(gp, GS(Grunning), Gdead);
        return;
    }
    struct bubble *b = gp->bubble;
    struct waitq woken = {0};
    allg_del(gp, &woken);
    while (woken.first) {
        struct sudog *sg = woken.first;
        /* Once its owner is readied, the sudog is the owner's again. */
        woken.first = sg->next;
        sg->q = NULL;
        goready(sg->g);
    }
    if (unlikely(b != NULL))
        bubble_exit(b);
}

bool goroutine_join_begin(struct g *self, struct g *gp)
{
    struct allg *s = shard(gp);
    lock(&s->lock);
    bool alive = aload(&gp->status) != Gdead;
    if (alive && self) {
        wait_begin(self, WAIT_JOIN | durably(self, bubble_tag(bubble_of(gp))));
        enqueue(&gp->joiners, &self->wait->sg);
    }
    unlock(&s->lock);
    return alive;
}

void goroutine_join_finish(struct g *self, struct g *gp, enum wake w)
{
    if (w != WAKE_OP) {
        struct allg *s = shard(gp);
        lock(&s->lock);
        dequeue_sudog(&gp->joiners, &self->wait->sg);
        unlock(&s->lock);
    }
}
