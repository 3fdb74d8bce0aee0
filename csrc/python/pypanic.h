/* pypanic.h: exceptions that must reach the main goroutine. */
#ifndef GOPY_PYPANIC_H
#define GOPY_PYPANIC_H

#include "pyg.h"

int raise_main_exception(void);     /* -1, with the exception pending for the main goroutine */
void interrupt_main(PyObject *exc); /* borrowed; it is raised in the main goroutine as soon as can be */
void poke_main(void);
void goroutine_failed(Goroutine *go); /* the exception that is set has left its function */
void panic_thread(void);
void panic_forget(void);
void panic_reserve(void);
extern PyMethodDef sigint_def;

#endif
