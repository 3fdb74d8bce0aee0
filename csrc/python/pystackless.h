/* pystackless.h: stackless goroutines, run step by step. */
#ifndef GOPY_PYSTACKLESS_H
#define GOPY_PYSTACKLESS_H

#include "pyswitch.h"

void stackless_step(struct m *mp, PyThreadState *ts, struct worker *w, Goroutine *go);

#endif
