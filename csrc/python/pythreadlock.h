/* pythreadlock.h: the standard library's locks, among goroutines. */
#ifndef GOPY_PYTHREADLOCK_H
#define GOPY_PYTHREADLOCK_H

#include "pylock.h"

extern PyTypeObject Lock_Type, RLock_Type;

#endif
