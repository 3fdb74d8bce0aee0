/* pyselect.h: select and its cases. */
#ifndef GOPY_PYSELECT_H
#define GOPY_PYSELECT_H

#include "pyobject.h"

PyObject *case_channel(PyObject *o); /* borrowed; NULL: o is no case of a channel */
extern PyTypeObject RecvCase_Type, SendCase_Type, Default_Type;
extern PyObject *default_case;
extern PyMethodDef select_functions[];

#endif
