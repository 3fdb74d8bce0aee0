/* pydump.h: stacks. */
#ifndef GOPY_PYDUMP_H
#define GOPY_PYDUMP_H

#include "pyobject.h"

extern PyMethodDef dump_functions[];

#endif
