/* pysimplequeue.h: the standard library's SimpleQueue, among goroutines. */
#ifndef GOPY_PYSIMPLEQUEUE_H
#define GOPY_PYSIMPLEQUEUE_H

#include "pythreadlock.h"

extern PyTypeObject SimpleQueue_Type;

#endif
