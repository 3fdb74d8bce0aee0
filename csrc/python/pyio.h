/* pyio.h: waiting for descriptors. */
#ifndef GOPY_PYIO_H
#define GOPY_PYIO_H

#include "pyobject.h"

void raise_io(enum io_result r, int err);
extern PyMethodDef io_functions[];

#endif
