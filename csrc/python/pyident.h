/* pyident.h: the identity of the goroutine or the thread that calls. */
#ifndef GOPY_PYIDENT_H
#define GOPY_PYIDENT_H

#include "pyobject.h"

uint64_t ident_here(void);
/* Does a blocking call here park a goroutine? Else it is to block the thread, as without gopy. */
bool parks_here(void);
void ident_fork_child(struct g *gp); /* gp is about to become the main goroutine of a forked child */

extern PyMethodDef ident_functions[];

#endif
