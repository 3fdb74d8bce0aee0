/* pysignal.h: signals. */
#ifndef GOPY_PYSIGNAL_H
#define GOPY_PYSIGNAL_H

#include "pyobject.h"

void signals_shutdown(void);
void signals_before_fork(void);
void signals_fork_child(void);
extern PyMethodDef signal_functions[];

#endif
