/* pyonce.h: Once. */
#ifndef GOPY_PYONCE_H
#define GOPY_PYONCE_H

#include "pyobject.h"

extern PyTypeObject Once_Type;

#endif
