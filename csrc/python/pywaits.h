/* pywaits.h: profiles of waits: who has waited where, and who let others wait. */
#ifndef GOPY_PYWAITS_H
#define GOPY_PYWAITS_H

#include "pyobject.h"

void waits_fork_child(void);
extern PyMethodDef waits_functions[];

#endif
