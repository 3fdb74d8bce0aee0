/* pychunks.h: the memory of Python's frames. */
#ifndef GOPY_PYCHUNKS_H
#define GOPY_PYCHUNKS_H

#include "pyobject.h"

void chunks_install(void); /* once or often */

#endif
