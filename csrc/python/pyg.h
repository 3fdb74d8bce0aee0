/* pyg.h: a goroutine as an object: what it runs, and its name. */
#ifndef GOPY_PYG_H
#define GOPY_PYG_H

#include "pyobject.h"

/* A pooled greenlet, see pystackful.c. */
struct worker;

typedef struct {
    PyObject_HEAD
    struct g g;
    /* What it runs in. NULL: it has not started, has ended, or is stackless and between two steps. */
    struct worker *worker;
    /* fn is what it runs, until it ends; of a stackless one that has started, the coroutine or generator. context has
     * its contextvars, if any, before it starts and, of a stackless one, between two steps; else it is NULL. */
    PyObject *fn, *context;
    struct pyawait *awaiting; /* stackless: what it waits for, between two steps */
    /* NULL: there are none. Of a stackless one between two steps, its packed locals (pylocals.h). */
    PyObject *args;
    /* NULL: args is the only argument itself. Else args is a tuple of all arguments, and ends with those of these
     * names. */
    PyObject *kwnames;
    PyObject *group;            /* a WaitGroup that is told of its end, or NULL */
    PyObject *name;             /* NULL: fn's __qualname__ */
    PyCodeObject *creator_code; /* the code that has started it, or NULL */
    uint64_t creator;           /* and which goroutine, at which instruction: see pycreator.c */
    PyObject *weakrefs;
} Goroutine;

extern PyTypeObject Goroutine_Type;
extern Goroutine *main_goroutine;
extern int (*group_done)(PyObject *group); /* waitgroup_done; -1: raised */

static inline Goroutine *goroutine_of(struct g *gp)
{
    return (Goroutine *)((char *)gp - offsetof(Goroutine, g));
}

Goroutine *goroutine_new(PyObject *fn);
int goroutine_clear(Goroutine *go);                  /* drop what it runs; -1: its group has raised */
void goroutine_replace(Goroutine *go, PyObject *fn); /* steals fn */
PyObject *goroutine_name(Goroutine *go);             /* new reference, or NULL without an exception */
void goroutine_rename(Goroutine *go, PyObject *name, bool only_if_unset); /* steals name */
void goroutine_keep_name(Goroutine *go);
void goroutine_dealloc(PyObject *self);

#endif
