/* pyleaked.h: what a parked stackless goroutine refers to, and what it waits for. */
#ifndef GOPY_PYLEAKED_H
#define GOPY_PYLEAKED_H

#include "pyobject.h"

extern PyMethodDef leaked_functions[];

#endif
