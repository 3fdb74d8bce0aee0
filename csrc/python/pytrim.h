/* pytrim.h: ending idle workers. */
#ifndef GOPY_PYTRIM_H
#define GOPY_PYTRIM_H

#include "pyswitch.h"

/* In g0: let up to n idle workers end, but at least one, for as long as nanotime() is before `until`. */
void end_idle(struct hostm *hm, uint32_t n, int64_t until);
void trim(struct hostm *hm); /* in g0: a few of the surplus */

#endif
