/* pyworker.h: workers: the greenlets that goroutines run in. */
#ifndef GOPY_PYWORKER_H
#define GOPY_PYWORKER_H

#include "pyswitch.h"

extern PyCodeObject *worker_code; /* its code: the frames of a goroutine lie above it */
int worker_init(unaryfunc run);
struct worker *pop_idle(struct hostm *hm); /* NULL: there is none */
struct worker *new_worker(void);           /* in g0, which is its parent. NULL: raised */
void free_worker(struct worker *w);
void free_dead(struct hostm *hm);

/* From here go runs on worker w. */
static inline void worker_takes(struct m *mp, struct worker *w, Goroutine *go)
{
    go->worker = w;
    goroutine_start(mp, &go->g, &w->wait);
}

#endif
