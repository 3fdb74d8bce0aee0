/* hogs.h: who keeps its M while others that only that M may run are ready. */
#ifndef GOPY_HOGS_H
#define GOPY_HOGS_H

#include "runtime/sched.h"

struct hog {
    struct m *mp;
    struct g *gp; /* which may have ended: see hog_is_current */
    int64_t ran;  /* ns since it was first seen */
    bool computes;
};

bool hog_look(int64_t now, int64_t threshold, struct hog *found); /* by one thread, detached or not */
void hogs_forget(void);                                           /* in the child of a fork */
bool hog_is_current(
    struct hog *hog); /* does hog->gp run on hog->mp still? Then it lives as long as it does. */
uint32_t hog_waiters(struct hog *hog); /* how many wait for hog->mp, while no other thread runs */

#endif
