/* pycondition.h: the standard library's Condition, among goroutines. */
#ifndef GOPY_PYCONDITION_H
#define GOPY_PYCONDITION_H

#include "pythreadlock.h"

extern PyTypeObject Waiters_Type;
extern PyMethodDef condition_functions[];

int condition_init(void);

#endif
