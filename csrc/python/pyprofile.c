/* pyprofile.c: what the Ms run at this moment, for profiles made by sampling.
 *
 * How much of the CPU a thread has had is asked of the kernel: a goroutine that is blocked in a call of C, or whose
 * thread waits for a core or for the GIL, is seen to run and yet has used nothing. */
#include "pyprofile.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "pyerror.h"
#include "pyg.h"
#include "pyswitch.h"
#include "pyversion.h"

#define MOST_FRAMES 256

/* The frames of the thread of ts, the newest first: [(code, line), ...]. While the world is stopped, or with the GIL,
 * none of them changes. */
static PyObject *frames_now(PyThreadState *ts)
{
    PyObject *found = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    for (int i = 0; found && frame && i < MOST_FRAMES; i++) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyObject *pair = Py_BuildValue("(Ni)", code, PyFrame_GetLineNumber(frame));
        if (pair == NULL || PyList_Append(found, pair) < 0)
            Py_CLEAR(found);
        Py_XDECREF(pair);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return found;
}

static PyObject *one_sample(struct m *mp, struct g *gp)
{
    PyThreadState *ts = m_tstate(mp);
    unsigned long ident = m_thread_ident(mp);
    clockid_t clock;
    struct timespec used;
    if (ts == NULL || ident == 0 || pthread_getcpuclockid((pthread_t)ident, &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        return NULL;
    PyObject *frames = frames_now(ts);
    double seconds = (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
    return frames ? Py_BuildValue("(OidN)", goroutine_of(gp), mp->id, seconds, frames) : NULL;
}

/* [(goroutine, the id of its M, seconds of CPU that the M has had, frames), ...] */
static PyObject *core_sample(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    PyObject *found = PyList_New(0);
    COLLECTIONS_PAUSE();
    world_stop();
    for (struct m *mp = real_load(&sched.allm); mp && found; mp = mp->allnext) {
        struct g *gp = real_load(&mp->curg);
        if (gp == NULL || gp->kind == GSYSTEM)
            continue;
        PyObject *one = one_sample(mp, gp);
        if (one ? PyList_Append(found, one) < 0 : PyErr_Occurred() != NULL)
            Py_CLEAR(found);
        Py_XDECREF(one);
    }
    world_start();
    COLLECTIONS_GO_ON();
    return found;
}

PyMethodDef profile_functions[] = {
    {"sample", core_sample, METH_NOARGS, NULL},
    {0},
};
