/* pyoffload.h: blocking(). */
#ifndef GOPY_PYOFFLOAD_H
#define GOPY_PYOFFLOAD_H

#include "pyobject.h"

extern PyMethodDef offload_functions[];

#endif
