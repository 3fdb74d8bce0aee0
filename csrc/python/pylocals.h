/* pylocals.h: threading.local, of which each goroutine has its own once the program is patched. */
#ifndef GOPY_PYLOCALS_H
#define GOPY_PYLOCALS_H

#include "pyversion.h"

/* What the thread state holds for threading.local while its goroutine runs. */
struct locals {
    PyObject *dict;
#if LOCALS_BY_KEY
    PyObject *key, *sentinel;
#else
    struct locals *next, **at; /* in the list of those that have a dict */
#endif
};

extern bool locals_owned; /* each goroutine has its own */

void locals_move_out(PyThreadState *ts, struct locals *to);
void locals_move_in(PyThreadState *ts, struct locals *from);
PyObject *locals_pack(PyThreadState *ts);                /* NULL: there is nothing to pack */
void locals_unpack(PyThreadState *ts, PyObject *packed); /* steals packed */
void locals_drop_here(PyThreadState *ts);

static inline bool locals_here(PyThreadState *ts)
{
#if LOCALS_BY_KEY
    return unlikely(locals_owned) && (ts->dict || ts->threading_local_key);
#else
    return unlikely(locals_owned) && ts->dict;
#endif
}

/* The goroutine ends. */
static inline void locals_drop(PyThreadState *ts)
{
    if (locals_here(ts))
        locals_drop_here(ts);
}

static inline void locals_leave(PyThreadState *ts, struct locals *to)
{
    if (locals_here(ts))
        locals_move_out(ts, to);
}

static inline bool has_key(struct locals *l)
{
#if LOCALS_BY_KEY
    return l->key != NULL;
#else
    return l == NULL;
#endif
}

static inline void locals_enter(PyThreadState *ts, struct locals *from)
{
    if (unlikely(from->dict != NULL) || has_key(from))
        locals_move_in(ts, from);
}

extern PyMethodDef locals_functions[];

#endif
