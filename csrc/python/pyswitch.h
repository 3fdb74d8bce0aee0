/* pyswitch.h: what an M has of Python, and switching between its greenlets. */
#ifndef GOPY_PYSWITCH_H
#define GOPY_PYSWITCH_H

#include "pyframes.h"
#include "pyg.h"
#include "pylocals.h"

/* The type of greenlet.h. Only pyswitch.c includes that header: each file that does has to import greenlet's
 * functions. */
typedef struct _greenlet PyGreenlet;

struct worker {
    PyGreenlet *glet;
    PyGreenlet *at;       /* what to switch to: glet, or a greenlet of the program's (users_greenlet) */
    _PyStackChunk *chunk; /* the first chunk of memory that glet's frames are in */
    struct gwait wait;    /* what its goroutine waits with */
    struct frames frames;
    struct locals locals;             /* its goroutine's, while that is parked */
    _Alignas(16) struct worker *next; /* the next idle one */
    uint64_t root[];                  /* the main goroutine's has none: see pyworker.c */
};

#define WORKER_SIZE 2032 /* half a page, with what malloc adds */
#define ROOT_SIZE (WORKER_SIZE - offsetof(struct worker, root))

/* What an M has of Python. It is its own thread's, but others look at ts, ident and switching, and, while no switch can
 * be under way, at `on`. */
struct hostm {
    PyThreadState *ts;        /* its thread's; NULL: the thread has ended */
    unsigned long ident;      /* its thread's identifier; 0: the thread has ended */
    PyGreenlet *g0;           /* the root greenlet, which starts workers: see pystackful.c */
    struct worker *on;        /* the worker whose greenlet runs; NULL: g0 runs, which has no frames */
    struct worker *idle;      /* the idle workers, linked by `next` */
    uint32_t nidle, idle_low; /* how many are idle, and the fewest that were since trim_at was set */
    uint32_t surplus;         /* how many of the idle workers are to end */
    int64_t trim_at;          /* when to look at idle_low; 0: it has not been counted yet */
    int64_t return_at;        /* by when the memory of workers that ended is returned; 0: none has ended */
    PyGreenlet *tidied_for;   /* g0 is to end surplus workers and switch back to this greenlet, or NULL */
    struct g *handoff;        /* the goroutine that whoever is switched to is to run, or NULL */
    struct worker *starting;  /* tells a new worker who it is */
    struct worker *dead;      /* the worker that has just ended, which g0 frees, or NULL */
    void *spare;              /* a chunk for frames that its thread has freed, or NULL */
    uint32_t nomem;           /* how often in a row there was no memory for a worker */
    bool quit;                /* an idle worker that is switched to ends */
    uint32_t switching;       /* 1: a switch may be under way; see freeze_switches */
};

PyThreadState *m_tstate(struct m *mp); /* NULL: it has none */
unsigned long m_thread_ident(struct m *mp);
int switch_init(void); /* -1: raised */
/* Its parent is the one that runs. args: (function,). NULL: raised */
PyGreenlet *greenlet_new(PyObject *args);
PyGreenlet *greenlet_current(void); /* likewise */
bool is_greenlet(PyObject *o);
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
