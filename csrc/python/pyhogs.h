/* pyhogs.h: the thread that reports who hogs an M. */
#ifndef GOPY_PYHOGS_H
#define GOPY_PYHOGS_H

#include "pyobject.h"

void hogs_fork_child(void);
extern PyMethodDef hogs_functions[];

#endif
