/* pygopy.h: what the files of this folder share. Python.h is included here and nowhere else. */
#ifndef PYGOPY_H
#define PYGOPY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#include "runtime/runtime.h"

/* A pooled greenlet, see pystackful.c. */
struct worker;

typedef struct {
    PyObject_HEAD
    struct g g;
    struct worker *worker;  /* NULL until it starts */
    PyObject *fn, *context; /* until it ends */
    PyObject *args, *kwnames;
    int nargs;      /* 0; 1: args is the argument itself; -1: args is a tuple, with kwnames' at its end */
    PyObject *name; /* NULL: fn's __qualname__ */
    PyObject *weakrefs;
} Goroutine;

/* A channel, or a view of one from one side. */
typedef struct pychan {
    PyObject_HEAD
    struct hchan *c;      /* NULL: the nil channel */
    struct pychan *owner; /* of a view: the channel, referred to; else itself, borrowed */
    PyObject *zero;
    PyObject *weakrefs;
    struct hchan own;
} PyChan;

static inline Goroutine *goroutine_of(struct g *gp)
{
    return (Goroutine *)((char *)gp - offsetof(Goroutine, g));
}

extern PyTypeObject Goroutine_Type, ChanBase_Type, SendChan_Type, RecvChan_Type, Chan_Type, ChanIter_Type;
extern PyTypeObject RecvCase_Type, SendCase_Type, Default_Type;

/* What the Python half of the package supplies (gopy/_panic.py), by core_sethooks. */
extern struct hooks {
    PyObject *panic;       /* (goroutine, exception): it left the goroutine's function */
    PyObject *deadlock;    /* (): nothing runs; raise in the main goroutine if nothing ever will */
    PyObject *adopt;       /* (): the main thread has joined */
    PyObject *exit_forked; /* (exception or None): the end of a child forked by another goroutine than main */
    PyObject *Panic, *ClosedChannelError, *Goexit;
} hooks;

/* pyhost.c */
int host_init(unsigned long main_ident);
int raise_chan(enum chan_result r); /* -1, with the exception that r stands for */
void pyhost_before_fork(void);
void pyhost_fork_child(void);
struct g *getg_or_raise(void);
int parse_timeout(PyObject *o, const char *name, int64_t *deadline); /* seconds or None; 0: deadline past */
int parse_timeout_kw(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t most, PyObject *kwnames,
                     const char *fn, int64_t *deadline);
int type_error(const char *arg, const char *wanted, PyObject *got);
#define DEADLINE_PAST ((int64_t)0)

/* pypanic.c */
int raise_main_exception(void);     /* -1, with the exception pending for the main goroutine */
void interrupt_main(PyObject *exc); /* borrowed; it is raised in the main goroutine as soon as can be */
void poke_main(void);
void goroutine_failed(Goroutine *go, bool for_memory);
void panic_thread(void);
void panic_forget(void);
void panic_reserve(void);
extern PyMethodDef sigint_def;

/* pysignal.c */
void signals_shutdown(void);
void signals_before_fork(void);
void signals_fork_child(void);

/* pystackful.c */
int stackful_init(void);
bool stackful_adopt_main(struct m *mp);
void stackful_m_main(struct m *mp);
void stackful_fork_child(void);
PyObject *goroutine_greenlet(Goroutine *go); /* new reference or NULL without an exception */
PyThreadState *m_tstate(struct m *mp);
unsigned long m_thread_ident(struct m *mp);
void freeze_switches(void);
void thaw_switches(void);

/* pygoroutine.c */
Goroutine *goroutine_new(PyObject *fn);
void goroutine_clear(Goroutine *go); /* drop what it runs */
void goroutine_keep_name(Goroutine *go);
extern Goroutine *main_goroutine;

/* the functions of the other files, gathered by pymodule.c */
extern PyMethodDef goroutine_functions[], select_functions[], time_functions[], runtime_functions[];
extern PyMethodDef signal_functions[];
extern PyObject *default_case;

/* Around what another thread may do to the same object at the same time; with a GIL, nothing. */
#if GOPY_THREADED
#define BEGIN_EXCLUSIVE(o) Py_BEGIN_CRITICAL_SECTION(o)
#define END_EXCLUSIVE() Py_END_CRITICAL_SECTION()
#else
#define BEGIN_EXCLUSIVE(o) {
#define END_EXCLUSIVE() }
#endif

static inline PyObject *new_ref(PyObject *o)
{
    Py_INCREF(o);
    return o;
}

#endif
