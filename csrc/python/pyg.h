/* pyg.h: a goroutine as an object: what it runs, and its name. */
#ifndef GOPY_PYG_H
#define GOPY_PYG_H

#include "pyobject.h"

/* A pooled greenlet, see pystackful.c. */
struct worker;

typedef struct {
    PyObject_HEAD
    struct g g;
    struct worker *worker;    /* NULL until it starts */
    PyObject *fn, *context;   /* until it ends; of a stackless one, fn is its coroutine or generator */
    struct pyawait *awaiting; /* stackless: what it waits for, between two steps */
    PyObject *args;    /* NULL: there are none; of a stackless one between two steps, its packed locals */
    PyObject *kwnames; /* NULL: args is the only argument itself; else args is a tuple, theirs at its end */
    PyObject *group;   /* a WaitGroup that is told of its end, or NULL */
    PyObject *name;    /* NULL: fn's __qualname__ */
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
