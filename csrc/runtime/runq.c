/* runq.c: see runq.h for what must hold. */
#include "runtime/runq.h"

bool runqput(struct runq *q, struct g *gp)
{
    uint32_t t = apeek(&q->tail);
    if (unlikely(t - aload(&q->head) >= RUNQ_SIZE))
        return false;
    apoke(&q->ring[t % RUNQ_SIZE], gp);
    astore(&q->tail, t + 1);
    return true;
}

struct g *runqget(struct runq *q)
{
    for (;;) {
        uint32_t h = aload(&q->head);
        if (h == apeek(&q->tail))
            return NULL;
        struct g *gp = apeek(&q->ring[h % RUNQ_SIZE]);
        if (acas(&q->head, h, h + 1))
            return gp;
    }
}

static uint32_t take(struct runq *q, struct g **batch, uint32_t most, bool half)
{
    for (;;) {
        uint32_t h = aload(&q->head);
        uint32_t n = aload(&q->tail) - h;
        if (n > RUNQ_SIZE) /* head and tail were read in two different states */
            continue;
        if (half)
            n -= n / 2;
        if (n > most)
            n = most;
        if (n == 0)
            return 0;
        for (uint32_t i = 0; i < n; i++)
            batch[i] = apeek(&q->ring[(h + i) % RUNQ_SIZE]);
        if (acas(&q->head, h, h + n))
            return n;
    }
}

uint32_t runqgrab(struct runq *q, struct g **batch) { return take(q, batch, RUNQ_SIZE / 2, true); }

uint32_t runqtake(struct runq *q, struct g **batch, uint32_t most) { return take(q, batch, most, false); }
