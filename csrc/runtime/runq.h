/* runq.h: the run queue of one P, a ring of 256 goroutines. After Go's runqput, runqget and runqsteal.
 *
 * Only the owner puts at the tail; the owner and thieves take at the head, by compare-and-swap. A slot in
 * [head, tail) is never written. Knows nothing of goroutines: they are pointers here. */
#ifndef GOPY_RUNQ_H
#define GOPY_RUNQ_H

#include "runtime/sys.h"

struct g;

#define RUNQ_SIZE 256u

struct runq {
    uint32_t head; /* taken with compare-and-swap */
    uint32_t tail; /* written by the owner alone */
    struct g *ring[RUNQ_SIZE];
};

static inline uint32_t runqlen(struct runq *q)
{
    uint32_t h = aload(&q->head); /* the head first: the tail never falls behind it */
    return aload(&q->tail) - h;
}

bool runqput(struct runq *q, struct g *gp);                         /* owner; false: full */
struct g *runqget(struct runq *q);                                  /* owner; NULL: empty */
uint32_t runqgrab(struct runq *q, struct g **batch);                /* any thief: half of it, at most 128 */
uint32_t runqtake(struct runq *q, struct g **batch, uint32_t most); /* owner: up to most from the head */

#endif
