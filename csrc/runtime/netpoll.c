/* netpoll.c: descriptor states, the same over every back end. See netpoll.h for what must hold. */
#include "runtime/netpoll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/sudog.h"

#define BLOCK 256
#define NBLOCKS 8192

#ifdef __linux__
struct netpoll np = {.backend = &netpoller_epoll};
#else
struct netpoll np = {.backend = &netpoller_poll};
#endif

bool netpolluse(const char *name)
{
    static const struct netpoller *const all[] = {
#ifdef __linux__
        &netpoller_epoll,
#endif
        &netpoller_poll,
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (strcmp(all[i]->name, name) == 0) {
            np.backend = all[i];
            return true;
        }
    return false;
}

static struct polldesc *blocks[NBLOCKS]; /* by descriptor number; never freed */
static struct lock initlock = LOCK_INIT(RANK_POLLINIT);

static struct polldesc *newblock(struct polldesc **at)
{
    struct polldesc *b = calloc(BLOCK, sizeof(*b)), *none = NULL;
    for (int i = 0; b && i < BLOCK; i++) {
        lock_init(&b[i].lock, RANK_POLLDESC);
        b[i].side[0].deadline = b[i].side[1].deadline = NEVER;
    }
    if (b && !__atomic_compare_exchange_n(at, &none, b, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        free(b);
        b = none;
    }
    return b;
}

struct polldesc *polldesc_of(int fd)
{
    if (fd < 0 || fd >= BLOCK * NBLOCKS)
        return NULL;
    struct polldesc *b = real_load(&blocks[fd / BLOCK]);
    if (unlikely(b == NULL) && (b = newblock(&blocks[fd / BLOCK])) == NULL)
        return NULL;
    return &b[fd % BLOCK];
}

int netpollinit(void)
{
    if (likely(aload(&np.gen) != 0))
        return 0;
    int err = 0;
    lock(&initlock);
    if (np.gen == 0 && (err = np.backend->init(&np.breakfd)) == 0)
        astore(&np.gen, ++np.lastgen);
    unlock(&initlock);
    return err;
}

/* Claim everybody parked on a side, and set `ready` even so: whoever is about to park looks once more. Those who are
 * woken may not take what has come, as they may only wait for the descriptor (fdwait). */
void netpollunblock_locked(struct polldesc *pd, enum pollmode mode, struct gqueue *list)
{
    struct pollside *s = &pd->side[mode];
    assert_held(&pd->lock);
    for (struct sudog *sg; (sg = dequeue(&s->waiters)) != NULL;)
        gq_push(list, sg->g);
    s->ready = true;
}

/* The descriptor has another owner from here on: wake everybody who waited on the former's behalf. */
static void evict_locked(struct polldesc *pd, struct gqueue *list)
{
    assert_held(&pd->lock);
    pd->seq++;
    for (int i = 0; i < 2; i++) {
        struct pollside *s = &pd->side[i];
        netpollunblock_locked(pd, (enum pollmode)i, list);
        for (struct sudog *sg; (sg = dequeue(&s->lockers)) != NULL;)
            gq_push(list, sg->g);
        s->ready = s->held = s->drained = false;
        s->deadline = NEVER;
    }
    pd->odd = false;
    apoke(&pd->tcp, TCP_UNKNOWN);
    pd->joined = NULL;
}

/* What is registered, if anything, was for a former descriptor of that number, or may have been. */
static bool forget_registration_locked(struct polldesc *pd)
{
    bool registered = pd->gen && pd->gen == np.gen;
    assert_held(&pd->lock);
    if (registered)
        aadd(&np.nreg, -1);
    pd->gen = 0;
    return registered;
}

static void ready_all(struct gqueue *list)
{
    for (struct g *gp; (gp = gq_pop(list)) != NULL;)
        goready(gp);
}

int netpollopen(int fd, uint32_t *seq)
{
    struct polldesc *pd = polldesc_of(fd);
    if (pd == NULL)
        return ENOMEM;
    struct gqueue list = {0};
    lock(&pd->lock);
    /* The former owner has lost the descriptor: somebody closed it behind the owner's back. */
    if (pd->open) {
        pd->open = false;
        pd->closeafter = false;
    }
    evict_locked(pd, &list);
    forget_registration_locked(pd);
    pd->open = true;
    *seq = pd->seq;
    unlock(&pd->lock);
    ready_all(&list);
    return 0;
}

bool netpollclose(int fd, uint32_t seq, struct gqueue *list)
{
    struct polldesc *pd = polldesc_of(fd);
    lock(&pd->lock);
    if (pd->seq != seq) {
        unlock(&pd->lock);
        return false;
    }
    evict_locked(pd, list);
    pd->open = false;
    pd->closeafter = pd->nsys > 0;
    bool now = !pd->closeafter;
    /* A copy of the descriptor may live on, so close() may not disarm it. Disarming afterwards might hit another one of
     * the same number. */
    if (forget_registration_locked(pd))
        np.backend->disarm(fd);
    unlock(&pd->lock);
    if (now)
        close(fd);
    return true;
}

bool netpollevict(int fd, struct gqueue *list)
{
    if (fd < 0 || fd >= BLOCK * NBLOCKS || real_load(&blocks[fd / BLOCK]) == NULL)
        return false;
    struct polldesc *pd = polldesc_of(fd);
    lock(&pd->lock);
    bool theirs = !pd->open;
    if (theirs) {
        evict_locked(pd, list);
        if (forget_registration_locked(pd))
            np.backend->disarm(fd);
    }
    unlock(&pd->lock);
    return theirs;
}

bool netpolljoin(int fd, const void *who, uint32_t *seq)
{
    struct polldesc *pd = polldesc_of(fd);
    if (unlikely(pd == NULL))
        return false;
    lock(&pd->lock);
    if (unlikely(pd->joined == NULL) && !pd->open) {
        pd->joined = who;
        apoke(&pd->tcp, TCP_UNKNOWN);
        forget_registration_locked(pd); /* a wait's (fdwait), perhaps for what had the number before */
    }
    bool mine = pd->joined == who;
    *seq = pd->seq;
    unlock(&pd->lock);
    return mine;
}

void netpollarm(int fd, struct polldesc *pd, uint32_t seq, enum pollmode mode, bool again)
{
    lock(&pd->lock);
    bool fresh = pd->gen != np.gen;
    bool needed = pd->seq == seq && (fresh || again || np.backend->level);
    if (needed)
        pd->armerr = 0;
    pd->nsys += needed;
    if (fresh && needed) {
        pd->gen = np.gen;
        aadd(&np.nreg, 1);
    }
    unlock(&pd->lock);
    if (!needed)
        return;
    int err = np.backend->arm(fd, seq, (uint8_t)(1 << mode), !fresh);
    struct gqueue list = {0};
    lock(&pd->lock);
    bool doclose = netpollsysdone_locked(pd);
    /* Those who wait on the other side may count on this registration as well. */
    if (unlikely(err) && pd->seq == seq) {
        if (pd->gen == np.gen)
            aadd(&np.nreg, -1);
        pd->gen = 0;
        pd->armerr = err;
        netpollunblock_locked(pd, POLL_READ, &list);
        netpollunblock_locked(pd, POLL_WRITE, &list);
    }
    unlock(&pd->lock);
    if (unlikely(doclose))
        close(fd);
    ready_all(&list);
}

void netpollready(struct pollevents *evs, struct gqueue *list)
{
    for (int i = 0; i < evs->n; i++) {
        struct pollevent *ev = &evs->ev[i];
        struct polldesc *pd = polldesc_of(ev->fd);
        lock(&pd->lock);
        if (unlikely(ev->modes & POLL_ODD) && pd->seq == ev->seq)
            pd->odd = true;
        if (likely(pd->seq == ev->seq))
            for (int mode = 0; mode < 2; mode++)
                if (ev->modes & 1 << mode)
                    netpollunblock_locked(pd, (enum pollmode)mode, list);
        unlock(&pd->lock);
    }
    evs->n = 0;
}

/* Sleep in the poller until n, whose breakfd must be np.breakfd, is woken, or until there is an event. */
enum note_result netpollsleep(struct note *n, struct pollevents *evs, int64_t deadline)
{
    for (;;) {
        if (real_load(&n->key))
            return NOTE_WOKEN;
        if (deadline != NEVER && nanotime() >= deadline)
            return NOTE_TIMEOUT;
        if (np.backend->poll(evs, deadline) == EINTR)
            return real_load(&n->key) ? NOTE_WOKEN : NOTE_INTERRUPTED;
        /* The poll was broken by the waker of this sleep, or, spuriously, by a late waker of an earlier one. */
        if (evs->broken)
            np.backend->drain();
        if (evs->n > 0)
            return NOTE_WOKEN;
    }
}

/* In the child of a fork: nobody waits, nothing is registered, and no operation is under way. */
void netpollfork(void)
{
    for (int b = 0; b < NBLOCKS; b++) {
        for (int i = 0; blocks[b] && i < BLOCK; i++) {
            struct polldesc *pd = &blocks[b][i];
            if (pd->closeafter)
                close(b * BLOCK + i);
            pd->closeafter = false;
            lock_init(&pd->lock, RANK_POLLDESC);
            pd->nsys = 0;
            pd->gen = 0;
            for (int mode = 0; mode < 2; mode++) {
                struct pollside *s = &pd->side[mode];
                s->waiters = s->lockers = (struct waitq){0};
                s->held = s->ready = s->drained = false;
            }
        }
    }
    if (np.gen)
        np.backend->fork();
    lock_init(&initlock, RANK_POLLINIT);
    np.gen = np.nwaiters = np.nreg = 0;
}
