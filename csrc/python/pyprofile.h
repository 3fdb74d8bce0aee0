/* pyprofile.h: what the Ms run at this moment. */
#ifndef GOPY_PYPROFILE_H
#define GOPY_PYPROFILE_H

#include "pyobject.h"

extern PyMethodDef profile_functions[];

#endif
