/* pytime.h: timers. */
#ifndef GOPY_PYTIME_H
#define GOPY_PYTIME_H

#include "pyobject.h"

int time_init(PyObject *nilchan);
extern PyTypeObject Timer_Type, Ticker_Type;
extern PyMethodDef time_functions[];

#endif
