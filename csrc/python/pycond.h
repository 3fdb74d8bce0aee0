/* pycond.h: Cond. */
#ifndef GOPY_PYCOND_H
#define GOPY_PYCOND_H

#include "pyobject.h"

extern PyTypeObject Cond_Type;

#endif
