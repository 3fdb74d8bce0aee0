/* pyatomicref.h: atomic.Pointer and atomic.Value. */
#ifndef GOPY_PYATOMICREF_H
#define GOPY_PYATOMICREF_H

#include "pyobject.h"

extern PyTypeObject Pointer_Type, Value_Type;

#endif
