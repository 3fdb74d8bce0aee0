/* pyattach.c: detaching from Python and attaching again, and threads that must not any more. */
#include "pyattach.h"

#include <unistd.h>

#include "runtime/host.h"

void *host_leave(void) { return PyEval_SaveThread(); }

void host_enter(void *left) { PyEval_RestoreThread(left); }

void stop_for_good(void)
{
    host_leave();
    host_hang();
}

/* Wait until there is some memory: a thread's first use of greenlet aborts the process if there is none, and on a
 * free-threaded build a thread's first allocation is a big one. */
void wait_for_memory(struct m *mp)
{
    for (bool enough = false; !enough;) {
        PyObject *list = PyList_New(0);
        void *mem = PyObject_Malloc(512);
        enough = list && mem;
        PyErr_Clear();
        Py_XDECREF(list);
        PyObject_Free(mem);
        if (!enough) {
            void *left = host_leave();
            usleep(1000);
            if (real_load(&sched.exiting)) { /* the program's end waits for mp */
                real_store(&mp->entering, false);
                host_hang();
            }
            host_enter(left);
        }
    }
}

/* In a loop that waits for another thread, before the i-th look whether that has got there: let it go on. */
void nap(int i)
{
    void *left = host_leave();
    usleep(i < 10 ? 20 : 500);
    host_enter(left);
}

/* Without a GIL, C code of CPython locks an object while it calls back: a list while it is sorted, a dict while
 * keys are compared. A thread that blocks there gives up those locks (critical sections) as it detaches, and
 * takes them again as it attaches. A goroutine that parks there must do the same: the next goroutine on its thread
 * knows nothing of the locks, and whoever wants one on another thread would wait for ever. */
#if GOPY_THREADED
uintptr_t sections_leave(PyThreadState *ts)
{
    if (likely(ts->critical_section == 0))
        return 0;
    PyEval_SaveThread();
    /* The sections are released. They lie on this goroutine's stack. */
    uintptr_t sections = ts->critical_section;
    ts->critical_section = 0;
    PyEval_RestoreThread(ts);
    return sections;
}

void sections_enter(PyThreadState *ts, uintptr_t sections)
{
    if (likely(sections == 0))
        return;
    PyEval_SaveThread();
    ts->critical_section = sections;
    PyEval_RestoreThread(ts);
}
#else
uintptr_t sections_leave(PyThreadState *ts) { return ts ? 0 : 0; }
void sections_enter(PyThreadState *ts, uintptr_t sections) { (void)ts, (void)sections; }
#endif
