/* pynetfd.h: NetFD. */
#ifndef GOPY_PYNETFD_H
#define GOPY_PYNETFD_H

#include "pyobject.h"

extern PyTypeObject NetFD_Type;

#endif
