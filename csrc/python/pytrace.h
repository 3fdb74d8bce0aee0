/* pytrace.h: traces, as a program starts and ends them. */
#ifndef GOPY_PYTRACE_H
#define GOPY_PYTRACE_H

#include "pyobject.h"

void trace_fork_child(void);
extern PyMethodDef trace_functions[];

#endif
