/* pytimerfunc.h: timers with a function. */
#ifndef GOPY_PYTIMERFUNC_H
#define GOPY_PYTIMERFUNC_H

#include "pyobject.h"

int timerfunc_init(void);
extern PyMethodDef timerfunc_functions[];

#endif
