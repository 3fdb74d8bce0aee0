/* m.c: the life of an M, from before its thread begins to the thread's last act. Its memory is reused and never freed:
 * sysmon looks at Ms without a lock. */
#include <stdlib.h>

#include "runtime/sched.h"

struct sched sched;
__thread struct m *tls_m;

struct m *m_new(void)
{
    lock(&sched.lock);
    struct m *mp = sched.mdead;
    if (mp)
        sched.mdead = mp->idlenext;
    unlock(&sched.lock);
    if (mp == NULL && (mp = calloc(1, sizeof(*mp))) == NULL)
        return NULL;
    mp->ending = mp->spinning = false;
    astore(&mp->exited, 0);
    apoke(&mp->state, Mrunning);
    m_init(mp);
    real_store(&mp->entering, true); /* until its thread has attached */
    return mp;
}

void m_init(struct m *mp)
{
    lock(&sched.lock);
    if (mp->rand == 0) { /* not a reused one, which is still in the list */
        mp->id = sched.nmever++;
        mp->allnext = sched.allm;
        real_store(&sched.allm, mp);
    }
    mp->rand = (uint32_t)nanotime() | 1;
    sched.nm++;
    unlock(&sched.lock);
}

/* mp has exited. What others have pushed to it are goroutines that were bound to it when they were readied, but are not
 * any more: any M may run them. */
void remote_to_all(struct m *mp)
{
    struct g *list = axchg(&mp->remote, (struct g *)NULL);
    for (struct g *gp; (gp = list) != NULL;) {
        list = gp->schedlink;
        globrunqput(gp);
        wake_anyone();
    }
}

void m_exit(struct m *mp)
{
    rt_assert(mp->lockq.head == NULL && mp->yieldq.head == NULL); /* whoever is bound to mp has ended */
    astore_sc(&mp->exited, 1); /* paired with readyremote: one of both sees the other */
    remote_to_all(mp);
    lock(&sched.lock);
    mp->idlenext = sched.mdead;
    sched.mdead = mp;
    sched.nm--;
    unlock(&sched.lock);
}
