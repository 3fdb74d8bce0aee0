/* procresize.c: how many Ps there are. GOMAXPROCS may change at any time: a P past it retires, at once if it is idle, else
 * when its M next schedules, and comes back when GOMAXPROCS has grown again. */
#include <stdlib.h>

#include "runtime/sleepers.h"

/* GOMAXPROCS fell: what pp holds goes to everybody. */
void retirep(struct m *mp, struct p *pp)
{
    uintptr_t next = axchg(&pp->runnext, (uintptr_t)0);
    struct g *gp;
    if (next & RUNNEXT_BOUND)
        gq_push(&mp->lockq, (struct g *)(next & ~RUNNEXT_BOUND));
    else if (next)
        globrunqput((struct g *)next);
    while ((gp = runqget(&pp->runq)) != NULL)
        globrunqput(gp);
    if (pp->id > 0)
        timers_move(&sched.allp[0]->timers, &pp->timers);
    lock(&sched.lock);
    pput_locked(pp);
    unlock(&sched.lock);
    if (apeek(&sched.nglob))
        wake_anyone();
}

int procresize(int n)
{
    lock(&sched.lock);
    int was = sched.gomaxprocs;
    if (n > MAXPROCS)
        n = MAXPROCS;
    for (; sched.nprocs < n; astore(&sched.nprocs, sched.nprocs + 1)) {
        struct p *pp = calloc(1, sizeof(*pp));
        if (pp == NULL) {
            n = sched.nprocs;
            break;
        }
        pp->id = sched.nprocs;
        apoke(&pp->status, Pretired);
        timers_init(&pp->timers);
        astore(&sched.allp[pp->id], pp);
    }
    apoke(&sched.gomaxprocs, n);
    struct p **at = &sched.pidle;
    /* Idle Ps past the end retire at once, running ones when their Ms next schedule. */
    while (*at) {
        if ((*at)->id >= n) {
            apoke(&(*at)->status, Pretired);
            *at = (*at)->idlenext;
            astore_sc(&sched.npidle, sched.npidle - 1);
        } else {
            at = &(*at)->idlenext;
        }
    }
    for (int i = 0; i < n; i++)
        if (sched.allp[i]->status == Pretired)
            pput_locked(sched.allp[i]);
    int nprocs = sched.nprocs;
    unlock(&sched.lock);
    /* No heap may be locked under sched.lock, so this comes after the unlock. */
    for (int i = n; GOPY_THREADED && i < nprocs; i++)
        timers_move(&sched.allp[0]->timers, &sched.allp[i]->timers);
#if GOPY_THREADED
    if (n > was && work_anywhere())
        wakep();
#endif
    return was;
}
