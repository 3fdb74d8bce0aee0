/* foreign.c: threads that gopy does not run. A G of kind GFOREIGN stands for one while it waits: on a note,
 * detached, like any C call that blocks. Nothing else distinguishes it from a goroutine to its wakers. */
#include "runtime/host.h"
#include "runtime/wait.h"

/* The goroutine that calls. NULL: out of memory, or called from inside the scheduler. */
struct g *calling_g(void)
{
    struct m *mp = getm();
    if (likely(mp != NULL))
        return mp->curg;
    if (!host_is_main_thread())
        return host_foreign_g();
    return host_adopt_main() ? sched.g1 : NULL;
}

enum wake foreign_wait(struct g *gp, int64_t deadline)
{
    assert_none_held("foreign_wait");
    bool for_ever = deadline == NEVER; /* only those count for a deadlock */
    aadd(&sched.nforeign_parked, for_ever);
    wait_since(gp);
    for (;;) {
        void *left = host_leave();
        enum note_result r;
        while ((r = note_sleep(gp->note, deadline)) == NOTE_INTERRUPTED)
            ;
        host_enter(left);
        if (r == NOTE_WOKEN) {
            aadd(&sched.nexternal, -1);
            break;
        }
        if (wait_claim(gp)) {
            gp->wake = WAKE_TIMEOUT;
            break;
        }
        /* A waker has claimed the wait: its wake-up is on its way. */
        deadline = NEVER;
    }
    note_clear(gp->note);
    aadd(&sched.nforeign_parked, -(uint32_t)for_ever);
    casgstatus(gp, GS(Gwaiting), Grunning);
    wait_counts(gp);
    return gp->wake;
}
