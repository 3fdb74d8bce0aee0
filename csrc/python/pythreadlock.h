/* pythreadlock.h: the standard library's locks, among goroutines. */
#ifndef GOPY_PYTHREADLOCK_H
#define GOPY_PYTHREADLOCK_H

#include "pylock.h"

typedef struct {
    PyObject_HEAD
    struct mutex mu;
    PyObject *weakrefs;
} ThreadLock;

typedef struct {
    ThreadLock base;
    uint64_t owner; /* its holder's identity; 0: it is free. Only the holder stores its own */
    unsigned long count;
} ThreadRLock;

/* How an RLock is held, all of it; of a Lock there is nothing to know. */
struct hold {
    uint64_t owner;
    unsigned long count;
};

extern PyTypeObject Lock_Type, RLock_Type;

/* l is a Lock or an RLock, and no object of a subclass. */
static inline bool is_threadlock(PyObject *l)
{
    return Py_IS_TYPE(l, &Lock_Type) || Py_IS_TYPE(l, &RLock_Type);
}
static inline struct mutex *threadlock_mutex(PyObject *l) { return &((ThreadLock *)l)->mu; }
bool threadlock_held(PyObject *l);        /* by whoever calls, as far as it can be told */
struct hold threadlock_free(PyObject *l); /* it is held: free it, however often it has been taken */
void threadlock_taken(PyObject *l, struct hold hold); /* its mutex has been locked */
PyObject *threadlock_enter(PyObject *l);              /* its __enter__() */
PyObject *threadlock_exit(PyObject *l);
/* A timeout in seconds; -1 is none, and leaves the deadline as it is. -1: raised */
int parse_lock_timeout(PyObject *timeout, bool blocking, int64_t *deadline);

#endif
