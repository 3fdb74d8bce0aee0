/* pysocket.h: the standard library's sockets in goroutines. */
#ifndef GOPY_PYSOCKET_H
#define GOPY_PYSOCKET_H

#include "pynetop.h"

extern PyMethodDef socket_functions[];

#endif
