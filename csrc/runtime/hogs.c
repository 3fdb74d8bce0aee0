/* hogs.c: who keeps its M while others that only that M may run are ready.
 *
 * A thread of the embedding's looks every few milliseconds, and only while somebody wants to know: nothing here is
 * called by what it watches, which so pays nothing. What it knows of an M is in a table of its own. All that it reads
 * of others are single words, whose being out of date makes a report late.
 *
 * An M has scheduled if its goroutine is another one, or if its P has counted. Without a P it has not, as it would
 * have had to get one first. */
#include "runtime/hogs.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/host.h"

struct seen {
    struct p *pp;
    struct g *gp;
    uint64_t tick;
    int64_t since;
    bool computes, told;
};

static struct seen *table; /* by the M's id */
static int ntable;

/* What is known of mp; NULL: there is no memory for it. */
static struct seen *seen_of(struct m *mp)
{
    if (mp->id >= ntable) {
        int n = mp->id + 64;
        struct seen *grown = realloc(table, (size_t)n * sizeof(*table));
        if (grown == NULL)
            return NULL;
        memset(grown + ntable, 0, (size_t)(n - ntable) * sizeof(*table));
        table = grown;
        ntable = n;
    }
    return &table[mp->id];
}

static bool has_scheduled(struct m *mp, struct seen *s)
{
    struct g *gp = real_load(&mp->curg);
    struct p *pp = real_peek(&mp->p);
    return gp == NULL || gp != s->gp || (pp && (pp != s->pp || real_peek(&pp->schedtick) != s->tick));
}

/* Does anybody wait for mp alone? */
static bool is_waited_for(struct m *mp)
{
    struct p *pp = real_peek(&mp->p);
    return real_peek(&mp->lockq.n) || real_peek(&mp->yieldq.n) || real_peek(&mp->remote) ||
           (pp && (real_peek(&pp->runnext) & RUNNEXT_BOUND));
}

bool hog_look(int64_t now, int64_t threshold, struct hog *found)
{
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext) {
        struct seen *s = seen_of(mp);
        if (s == NULL)
            continue;
        if (has_scheduled(mp, s)) {
            struct p *pp = real_peek(&mp->p);
            *s = (struct seen){pp,   real_load(&mp->curg), pp ? real_peek(&pp->schedtick) : 0, now, false,
                               false};
            continue;
        }
        s->computes |= host_attached(mp);
        if (s->told || now - s->since < threshold)
            continue;
        if (!is_waited_for(mp))
            continue;
        s->told = true;
        *found = (struct hog){.mp = mp, .gp = s->gp, .ran = now - s->since, .computes = s->computes};
        return true;
    }
    return false;
}

bool hog_is_current(struct hog *hog) { return !has_scheduled(hog->mp, &table[hog->mp->id]); }

uint32_t hog_waiters(struct hog *hog)
{
    struct m *mp = hog->mp;
    struct p *pp = real_peek(&mp->p);
    uint32_t n = mp->lockq.n + mp->yieldq.n + (pp && (apeek(&pp->runnext) & RUNNEXT_BOUND) ? 1 : 0);
    for (struct g *gp = aload(&mp->remote); gp; gp = gp->schedlink)
        n += aload(&gp->boundm) == mp;
    return n;
}

/* The table may be in the midst of growing: it is left where it lies. */
void hogs_forget(void)
{
    table = NULL;
    ntable = 0;
}
