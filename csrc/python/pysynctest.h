/* pysynctest.h: bubbles: goroutines with a clock of their own, for tests. */
#ifndef GOPY_PYSYNCTEST_H
#define GOPY_PYSYNCTEST_H

#include "pyobject.h"

extern PyTypeObject Bubble_Type;
extern PyMethodDef synctest_functions[];

#endif
