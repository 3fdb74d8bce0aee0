/* pylock.h: the types of locks, and taking any of them. */
#ifndef GOPY_PYLOCK_H
#define GOPY_PYLOCK_H

#include "pyop.h"

/* A Mutex. An RWMutex begins with one, too, in which MUTEX_OTHER is set and which is never locked. */
typedef struct {
    PyObject_HEAD
    struct mutex mu;
    PyObject *weakrefs;
} SyncMutex;

typedef struct {
    SyncMutex base;
    struct rwmutex rw;
} SyncRWMutex;

/* What RWMutex.rlocker() returns. */
typedef struct {
    PyObject_HEAD
    SyncRWMutex *rw;
} RLocker;

extern PyTypeObject Mutex_Type, RWMutex_Type, RLocker_Type;

/* pylock.c: l is a Mutex, an RWMutex, or the RLocker of one */
enum op_result sync_result(struct op *op, enum sync_result r, enum wake w);
enum sync_result lock_begin(PyObject *l, struct g *gp);
enum sync_result lock_finish(PyObject *l, struct g *gp, enum wake w);
bool lock_release(PyObject *l); /* false: it was not locked so */
PyObject *lock_slowly(PyObject *l, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *rlock_slowly(PyObject *rw, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *lock_alock(PyObject *l, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *lock_aexit(PyObject *l, PyObject *const *args, Py_ssize_t nargs);
PyObject *rwmutex_arlock(PyObject *rw, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* True, or False: it was not to be had by the deadline. NULL: raised. */
PyObject *mutex_take(struct mutex *mu, int64_t deadline);
int mutex_acquire(struct mutex *mu); /* -1: raised */

int rwmutex_release(struct rwmutex *rw, bool write); /* -1: raised */

#endif
