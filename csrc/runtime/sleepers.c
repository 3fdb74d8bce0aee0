/* sleepers.c: see sleepers.h. Who goes idle and who wakes whom is in idle.c and wake.c. */
#include "runtime/sleepers.h"

struct p *pidleget_locked(void)
{
    assert_held(&sched.lock);
    struct p *pp = sched.pidle;
    if (pp) {
        rt_assert(pp->status == Pidle && sched.npidle > 0);
        sched.pidle = pp->idlenext;
        astore_sc(&sched.npidle, sched.npidle - 1);
        apoke(&pp->status, Prunning);
    }
    return pp;
}

void wake_with_locked(struct m *mp, struct p *pp)
{
    assert_held(&sched.lock);
    rt_assert(mp->nextp == NULL && mp != getm());
    apoke(&pp->status, Prunning);
    mp->nextp = pp;
    astore_sc(&mp->state, Mrunning);
    note_wakeup(&mp->park);
}

static struct m *pwaitget_locked(void)
{
    assert_held(&sched.lock);
    struct m *mp = sched.pwait_first;
    if (mp) {
        apoke(&sched.pwait_first, mp->idlenext);
        if (mp->idlenext == NULL)
            sched.pwait_last = NULL;
    }
    return mp;
}

void pwaitput_locked(struct m *mp)
{
    assert_held(&sched.lock);
    mp->idlenext = NULL;
    if (sched.pwait_last)
        sched.pwait_last->idlenext = mp;
    else
        apoke(&sched.pwait_first, mp);
    sched.pwait_last = mp;
    astore_sc(&mp->state, Mwaitp);
}

void mput_locked(struct m *mp)
{
    assert_held(&sched.lock);
    rt_assert(mp == getm() && mp->state == Mrunning && apeek(&mp->p) == NULL);
    mp->listed = takes_new(mp);
    if (mp->listed) {
        mp->idlenext = sched.midle;
        sched.midle = mp;
    }
    sched.nmidle++;
    astore_sc(&mp->state, Midle);
}

struct m *mget_locked(void)
{
    assert_held(&sched.lock);
    struct m *mp = sched.midle;
    if (mp) {
        rt_assert(mp->state == Midle && mp->listed);
        sched.midle = mp->idlenext;
        mp->listed = false;
        sched.nmidle--;
        if (sched.keeper == mp)
            sched.keeper = NULL;
    }
    return mp;
}

void unlist_locked(struct m *mp)
{
    assert_held(&sched.lock);
    if (sched.keeper == mp)
        sched.keeper = NULL;
    if (mp->state == Midle) {
        if (mp->listed) {
            struct m **at = &sched.midle;
            while (*at != mp)
                at = &(*at)->idlenext;
            *at = mp->idlenext;
        }
        mp->listed = false;
        sched.nmidle--;
    } else if (mp->state == Mwaitp) {
        struct m *prev = NULL;
        for (struct m *at = sched.pwait_first; at != mp; at = at->idlenext)
            prev = at;
        if (prev)
            prev->idlenext = mp->idlenext;
        else
            apoke(&sched.pwait_first, mp->idlenext);
        if (sched.pwait_last == mp)
            sched.pwait_last = prev;
    }
    astore_sc(&mp->state, Mrunning);
}

void pput_locked(struct p *pp)
{
    assert_held(&sched.lock);
    struct m *mp;
    rt_assert(pp->status != Pidle);
    if (pp->id >= sched.gomaxprocs) {
        apoke(&pp->status, Pretired);
    } else if ((mp = pwaitget_locked()) != NULL) {
        wake_with_locked(mp, pp);
    } else {
        apoke(&pp->status, Pidle);
        pp->idlenext = sched.pidle;
        sched.pidle = pp;
        astore_sc(&sched.npidle, sched.npidle + 1);
    }
}

bool kept_locked(int64_t first)
{
    assert_held(&sched.lock);
    return first == NEVER || (sched.keeper && sched.keep_until <= first);
}
