/* loop.c: a goroutine that runs an event loop which sleeps in a call of its own (uvloop's), not by parking.
 *
 * Invariant: while such a loop runs, mp->loopfd is the descriptor that wakes it, and
 *   - its M has no P, so nothing that can be done elsewhere (timers, descriptors, new goroutines) waits for it;
 *   - if a goroutine bound to this M is ready, the loop has been woken, and will call loop_turn().
 * Once loop_set() has taken loopfd away no thread writes to that descriptor, which may be closed then.
 * When the goroutine parks, others of its M run as ever: the embedding takes loopfd away from the M until it is resumed. */
#include <unistd.h>

#include "runtime/sched.h"

/* A goroutine bound to mp has become ready. */
void loop_wake(struct m *mp)
{
    uint64_t one = 1;
    aadd(&mp->loopwakers, 1);
    int fd = aload_sc(&mp->loopfd);
    if (fd && write(fd, &one, sizeof(one)) < 0) {
        /* full: it has been woken often enough */
    }
    aadd(&mp->loopwakers, -1);
}

/* The goroutine that runs on mp goes on with its loop. */
void loop_resumed(struct m *mp)
{
    struct p *pp = takep(mp);
    if (pp) {
        unbind_p(mp, pp);
#if !GOPY_THREADED
        shed_unbound(mp);
#endif
        handoffp(pp);
    }
    if (has_bound_work(mp))
        loop_wake(mp);
}

/* mp's goroutine begins to run a loop that is woken by fd, or ends that (0). */
void loop_set(struct m *mp, int fd)
{
    astore_sc(&mp->loopfd, fd);
    if (fd)
        loop_resumed(mp);
    else
        while (aload_sc(&mp->loopwakers))
            cpu_relax();
}

/* The loop, which has been woken, lets the goroutines of its thread run once, unless the program ends. */
void loop_turn(struct m *mp)
{
    if (has_bound_work(mp) && !real_load(&sched.exiting))
        gosched(mp, mp->curg);
}
