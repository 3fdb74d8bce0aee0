/* pytrim.c: ending idle workers, and returning their memory.
 *
 * An idle worker costs 4 KB. Workers that no goroutine has needed for TRIM_EVERY are surplus, and end while the M has
 * nothing else to do (host_tidy), if there are more than KEEP_IDLE. The memory that they leave is in pieces, and to
 * return it to the system may take 10 ms a gigabyte: that is done when nothing is due for RETURN_PAUSE, or after
 * RETURN_MOST. */
#include "pytrim.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "pyworker.h"
#include "runtime/chunks.h"
#include "runtime/host.h"
#include "runtime/sleepers.h"

#define KEEP_IDLE 64
#define TRIM_EVERY 100000000   /* ns */
#define TRIM_TIME 250000       /* ns, then it looks whether there is something to do */
#define RETURN_PAUSE 20000000  /* ns */
#define RETURN_MOST 3000000000 /* ns */

/* In g0: let up to n idle workers end, but at least one, for as long as nanotime() is before `until`. */
void end_idle(struct hostm *hm, uint32_t n, int64_t until)
{
    hm->quit = true;
    for (struct worker *w; n > 0 && (w = pop_idle(hm)) != NULL; n--) {
        if (!switch_to(hm, w->glet))
            PyErr_Clear();
        free_dead(hm);
        hm->surplus -= hm->surplus > 0;
        if (until != NEVER && nanotime() >= until)
            break;
    }
    hm->quit = false;
}

void trim(struct hostm *hm) { end_idle(hm, hm->surplus, nanotime() + TRIM_TIME); }

/* End a few of the surplus. */
static void tidy(struct hostm *hm)
{
    PyGreenlet *self = greenlet_current();
    if (self == hm->g0) {
        trim(hm);
    } else {
        hm->tidied_for = self;
        if (!switch_to(hm, hm->g0)) { /* out of memory: later, then */
            PyErr_Clear();
            hm->tidied_for = NULL;
            hm->surplus = 0;
        }
    }
    Py_XDECREF(self);
}

bool host_tidy(struct m *mp, int64_t *until)
{
    struct hostm *hm = mp->host;
    hm->surplus = hm->surplus < hm->nidle ? hm->surplus : hm->nidle;
    if (likely(hm->nidle <= KEEP_IDLE && hm->surplus == 0 && hm->return_at == 0))
        return false;
    int64_t now = nanotime();
    if (hm->nidle > KEEP_IDLE || hm->surplus) {
        if (hm->surplus == 0 && now >= hm->trim_at) {
            if (hm->trim_at && hm->idle_low > KEEP_IDLE)
                hm->surplus = hm->idle_low;
            hm->idle_low = hm->nidle;
            hm->trim_at = now + TRIM_EVERY;
        }
        if (hm->surplus) {
            if (hm->return_at == 0)
                hm->return_at = now + RETURN_MOST;
            tidy(hm);
            return true;
        }
        *until = hm->trim_at;
    }
    if (hm->return_at && (now >= hm->return_at || first_timer() - now > RETURN_PAUSE)) {
        hm->return_at = 0;
#ifdef __GLIBC__
        malloc_trim(0);
#endif
        chunks_trim();
        return true;
    }
    if (hm->return_at && hm->return_at < *until)
        *until = hm->return_at;
    return false;
}
