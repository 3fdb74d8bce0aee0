/* pymap.h: Map. */
#ifndef GOPY_PYMAP_H
#define GOPY_PYMAP_H

#include "pyobject.h"

extern PyTypeObject Map_Type, MapItems_Type;

#endif
