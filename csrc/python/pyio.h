/* pyio.h: waiting for descriptors. */
#ifndef GOPY_PYIO_H
#define GOPY_PYIO_H

#include "pyop.h"

enum op_result io_failed(const struct iowait *w, enum io_result r);
extern PyMethodDef io_functions[];

#endif
