/* pyversion.h: what differs between the versions of CPython that gopy knows. */
#ifndef GOPY_PYVERSION_H
#define GOPY_PYVERSION_H

#include "pyobject.h"

static inline int *recursion_remaining(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return &ts->py_recursion_remaining;
#else
    return &ts->recursion_remaining;
#endif
}

static inline int recursion_limit(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return ts->py_recursion_limit;
#else
    return ts->recursion_limit;
#endif
}

/* From 3.12 on there are functions that read an interpreter's frame; up to 3.11 its structure is read. */
#define FRAMES_ARE_OPAQUE (PY_VERSION_HEX >= 0x030C0000)

/* A pickled reference to the class of locks, such as multiprocessing's managers send, is found by it in a process that is not
 * patched, too. */
#if PY_VERSION_HEX >= 0x030D0000
#define LOCK_NAME "_thread.lock"
#else
#define LOCK_NAME "_thread.allocate_lock"
#endif

/* Until 3.13 a `with` that waits has the methods that it has looked up in C's variables alone. */
#define WITH_IS_IN_C (PY_VERSION_HEX < 0x030E0000)

/* The newest frame of the thread of ts, which is this one; or NULL. */
static inline struct _PyInterpreterFrame *running_frame(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    return ts->current_frame;
#else
    return ts->cframe->current_frame;
#endif
}

/* Is the thread of ts attached? */
static inline bool is_attached(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030D0000
    return __atomic_load_n(&ts->state, __ATOMIC_RELAXED) == 1; /* _Py_THREAD_ATTACHED */
#elif PY_VERSION_HEX >= 0x030C0000
    return ts->_status.active;
#else
    /* Up to 3.11 there is one current thread state for all threads. */
    return _PyThreadState_UncheckedGet() == ts;
#endif
}

/* Is o an int of one digit? To find that out by a call would cost a tenth of a WaitGroup.add(). */
static inline bool small_int(PyObject *o, int32_t *n)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyLong_CheckExact(o) || !PyUnstable_Long_IsCompact((PyLongObject *)o))
        return false;
    *n = (int32_t)PyUnstable_Long_CompactValue((PyLongObject *)o);
#else
    if (!PyLong_CheckExact(o) || Py_SIZE(o) < -1 || Py_SIZE(o) > 1)
        return false;
    *n = (int32_t)Py_SIZE(o) * (int32_t)((PyLongObject *)o)->ob_digit[0];
#endif
    return true;
}

/* A new reference in *value, or NULL. -> whether it is there; -1: raised */
static inline int dict_get(PyObject *dict, PyObject *key, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_GetItemRef(dict, key, value);
#else
    *value = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(*value);
    return *value ? 1 : PyErr_Occurred() ? -1 : 0;
#endif
}

/* Does a thread state have a key by which objects of threading.local know it? Before 3.13 what they know is an entry of its
 * dict. */
#define LOCALS_BY_KEY (PY_VERSION_HEX >= 0x030D0000)

/* Up to 3.11 asyncio remembers, without a reference, the last running loop that it looked up in such a dict. */
#define LOOP_IS_REMEMBERED (PY_VERSION_HEX < 0x030C0000)

/* From 3.14 on the current task of asyncio belongs to the thread state, as the running loop does. */
#define TASK_IN_THREAD_STATE (PY_VERSION_HEX >= 0x030E0000)

/* Up to 3.13 the interpreter ends a thread that attaches during finalization by pthread_exit. */
#define ENDS_THREADS (PY_VERSION_HEX < 0x030E0000)

/* Up to 3.11 a thread can be traced by another that holds the GIL. */
#define TRACES_OTHERS (PY_VERSION_HEX < 0x030C0000)

/* From 3.12 on the collector shows all its objects to a function of C's. */
#define SHOWS_OBJECTS (PY_VERSION_HEX >= 0x030C0000)

/* No other thread runs Python code between world_stop() and world_start(): with a GIL it is so anyway. Before 3.14 there
 * may be no function for that. */
#if GOPY_THREADED
extern void _PyEval_StopTheWorld(PyInterpreterState *interp) __attribute__((weak));
extern void _PyEval_StartTheWorld(PyInterpreterState *interp) __attribute__((weak));

static inline void world_stop(void)
{
    if (_PyEval_StopTheWorld)
        _PyEval_StopTheWorld(PyInterpreterState_Get());
}

static inline void world_start(void)
{
    if (_PyEval_StartTheWorld)
        _PyEval_StartTheWorld(PyInterpreterState_Get());
}
#else
static inline void world_stop(void) {}
static inline void world_start(void) {}
#endif

/* Up to 3.11 the collector may run, and with it finalizers, wherever an object is made; later only between two
 * instructions of Python code. There it must not be paused: threads that do so at once, one of them the program itself by
 * gc.disable(), would undo what the others have done. */
#if PY_VERSION_HEX < 0x030C0000
#define COLLECTIONS_PAUSE() int collects = PyGC_Disable()
#define COLLECTIONS_GO_ON() (void)(collects && PyGC_Enable())
#else
#define COLLECTIONS_PAUSE() ((void)0)
#define COLLECTIONS_GO_ON() ((void)0)
#endif

/* Is this an interpreter that can run without a GIL? */
#ifdef Py_GIL_DISABLED
#define FREE_THREADED 1
#else
#define FREE_THREADED 0
#endif

/* Is this the collector that does not find what the frames of a suspended greenlet refer to? See pyframes.c. */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x03100000
#define GOPY_VISIT_FRAMES 1
#else
#define GOPY_VISIT_FRAMES 0
#endif

#endif
