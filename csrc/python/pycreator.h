/* pycreator.h: where a goroutine was started, and by which. */
#ifndef GOPY_PYCREATOR_H
#define GOPY_PYCREATOR_H

#include "pyg.h"

void creator_note(Goroutine *go,
                  struct m *mp); /* this thread, of which mp is the M or NULL, is about to start go */
/* The newest code of the program's on this thread, a new reference, and the offset of its instruction in code units. */
PyCodeObject *creator_here(uint32_t *unit);
/* What runs on this thread, whosever it is, borrowed; for a look. */
PyCodeObject *creator_running(uint32_t *unit);
bool creator_is_own(PyCodeObject *code);
uint32_t creator_unit(Goroutine *go);
uint64_t creator_id(Goroutine *go);
extern PyMethodDef creator_functions[];

#endif
