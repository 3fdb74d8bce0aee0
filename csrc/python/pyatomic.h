/* pyatomic.h: the numbers of package atomic. */
#ifndef GOPY_PYATOMIC_H
#define GOPY_PYATOMIC_H

#include "pyobject.h"

extern PyTypeObject *const atomic_types[]; /* by their own names, NULL at the end */

#endif
