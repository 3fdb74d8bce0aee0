/* pytime.h: timers: pytime.c, and for pytimerfunc.c what a Timer with a function shares with one with a channel. */
#ifndef GOPY_PYTIME_H
#define GOPY_PYTIME_H

#include "pyargs.h"

typedef struct {
    PyObject_HEAD
    PyObject *c; /* a channel with a timer; of an after_func, the nil channel */
    PyObject *weakrefs;
} Timer;

static inline int64_t from_now(int64_t ns) { return ns == NEVER ? NEVER : nanotime_here() + ns; }

int time_init(PyObject *nilchan);
extern PyObject *nil_recv; /* nilchan's receiving side */
extern PyTypeObject Timer_Type, Ticker_Type;
extern PyMethodDef time_functions[];

#define NUMBERS "TypeError unless a number, ValueError for nan."
#define TIMER_STOP_DOC                                                                                        \
    "stop($self)\n--\n\nPrevent the timer from firing. -> True if it had not fired and not been stopped.\n\n" \
    "After it, nothing is received from `c`: a timer whose value nobody has taken counts as not fired. For\n" \
    "after_func(), False means that the function has been started, or soon will be; it may still run."
#define TIMER_RESET_DOC                                                                                       \
    "reset($self, seconds, /)\n--\n\nHave it fire `seconds` from now. -> what stop() would have "             \
    "returned.\n\n"                                                                                           \
    "After it, nothing of the time before is received from `c`. A function that was started may run beside\n" \
    "the one that this starts. " NUMBERS

#endif
