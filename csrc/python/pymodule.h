/* pymodule.h: what cffi calls. */
#ifndef PYMODULE_H
#define PYMODULE_H

int gopy_init(void); /* 0, or -1 after printing why not */

#endif
