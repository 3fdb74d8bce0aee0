/* pyworker.h: workers: the greenlets that goroutines run in. */
#ifndef GOPY_PYWORKER_H
#define GOPY_PYWORKER_H

#include "pyswitch.h"

int worker_init(PyCFunction run);          /* what a worker runs */
struct worker *pop_idle(struct hostm *hm); /* NULL: there is none */
struct worker *new_worker(void);           /* in g0, which is its parent. NULL: raised */
void root_install(struct worker *w, PyThreadState *ts);
void root_remove(struct worker *w, PyThreadState *ts);
void free_worker(struct worker *w);
void free_dead(struct hostm *hm);

/* From here go runs on worker w. */
static inline void worker_takes(struct m *mp, struct worker *w, Goroutine *go)
{
    go->worker = w;
    goroutine_start(mp, &go->g, &w->wait);
}

#endif
