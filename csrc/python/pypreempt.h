/* pypreempt.h: how a goroutine that computes comes to a preempt_point(). */
#ifndef GOPY_PYPREEMPT_H
#define GOPY_PYPREEMPT_H

#include "pyobject.h"

int preempt_init(void);
void preempt_adopt(void); /* this thread has become an M's */
extern PyMethodDef preempt_functions[];

#endif
