/* pyruntime.h: the scheduler seen from a program. */
#ifndef GOPY_PYRUNTIME_H
#define GOPY_PYRUNTIME_H

#include "pyobject.h"

extern PyMethodDef runtime_functions[];

#endif
