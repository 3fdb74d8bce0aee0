/* pyswitch.h: what an M has of Python, and switching between its greenlets. */
#ifndef GOPY_PYSWITCH_H
#define GOPY_PYSWITCH_H

#include "pyframes.h"
#include "pyg.h"
#include "pylocals.h"

/* greenlet.h's; only pyswitch.c includes that, whose functions are each file's own. */
typedef struct _greenlet PyGreenlet;

struct worker {
    PyGreenlet *glet;
    PyGreenlet *at;       /* to be switched to: glet, or see users_greenlet() */
    _PyStackChunk *chunk; /* the first one of glet's frames */
    struct worker *next;  /* idle */
    struct gwait wait;    /* its goroutine's */
    struct frames frames;
    struct locals locals; /* its goroutine's, while that is parked */
};

struct hostm {
    PyThreadState *ts;
    unsigned long ident;
    PyGreenlet *g0;
    struct worker *on; /* whose greenlet runs; NULL: g0, which has no frames */
    struct worker *idle;
    uint32_t nidle, idle_low; /* idle_low: the fewest since trim_at was set */
    uint32_t surplus;         /* so many are to end */
    int64_t trim_at;          /* when to count again; 0: not counting */
    int64_t return_at; /* when to return the memory of those that have ended at the latest; 0: none has */
    PyGreenlet *tidied_for; /* g0 is to end some of them and switch back to this one */
    struct g *handoff;
    struct worker *starting; /* tells a new worker who it is */
    struct worker *dead;     /* has just ended; g0 frees it */
    uint32_t nomem;          /* workers that could not be made since the last that could */
    bool quit;               /* idle workers: end */
    uint32_t switching;      /* see freeze_switches */
};

PyThreadState *m_tstate(struct m *mp); /* NULL: it has none */
unsigned long m_thread_ident(struct m *mp);
int switch_init(void);                                      /* -1: raised */
PyGreenlet *greenlet_new(PyObject *fn, PyGreenlet *parent); /* NULL: raised */
PyGreenlet *greenlet_current(void);                         /* likewise */
/* false: the switch did not happen, or the target ended with an exception (which is then set). */
bool switch_to(struct hostm *hm, PyGreenlet *target);
void switch_begins(struct hostm *hm);
void switch_ended(struct hostm *hm);
void freeze_switches(void);
void thaw_switches(void);
void freeze_fork_child(void);
_PyStackChunk *first_chunk(PyThreadState *ts);
PyGreenlet *users_greenlet(struct worker *self, PyThreadState *ts);
PyObject *goroutine_greenlet(Goroutine *go); /* new reference or NULL without an exception */
bool goroutine_on_thread(Goroutine *go);

#endif
