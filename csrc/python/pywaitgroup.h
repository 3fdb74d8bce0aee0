/* pywaitgroup.h: WaitGroup. */
#ifndef GOPY_PYWAITGROUP_H
#define GOPY_PYWAITGROUP_H

#include "pyobject.h"

extern PyTypeObject WaitGroup_Type;
void waitgroup_init(void);

#endif
