/* pytimerfunc.h: timers with a function. */
#ifndef GOPY_PYTIMERFUNC_H
#define GOPY_PYTIMERFUNC_H

#include "pyobject.h"

int timerfunc_init(void);
void functimer_abandon(struct timer *t); /* t, in no heap any more, never fires: drop what it holds */
extern PyMethodDef timerfunc_functions[];

#endif
