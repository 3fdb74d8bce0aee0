/* pytrace.h: traces, as a program starts and ends them. */
#ifndef GOPY_PYTRACE_H
#define GOPY_PYTRACE_H

#include "pyobject.h"

extern PyMethodDef trace_functions[];

#endif
