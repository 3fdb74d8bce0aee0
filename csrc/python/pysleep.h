/* pysleep.h: sleeping and yielding. */
#ifndef GOPY_PYSLEEP_H
#define GOPY_PYSLEEP_H

#include "pyobject.h"

extern PyMethodDef sleep_functions[];

#endif
