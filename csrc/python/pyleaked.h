/* pyleaked.h: what refers to what, and what parked goroutines wait for, at one moment. */
#ifndef GOPY_PYLEAKED_H
#define GOPY_PYLEAKED_H

#include "pyobject.h"

extern PyMethodDef leaked_functions[];

#endif
