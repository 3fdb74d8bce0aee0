/* pyswitch.c: what an M has of Python, switching between its greenlets, and holding all switches while somebody looks at
 * suspended frames. */
#include "pyswitch.h"

#include <greenlet.h>
#include <unistd.h>

#include "pyattach.h"
#include "runtime/host.h"

int switch_init(void)
{
    PyGreenlet_Import();
    return _PyGreenlet_API ? 0 : -1;
}

/* PyGreenlet_New() would make a dict of its arguments first, which costs as much as the greenlet. */
PyGreenlet *greenlet_new(PyObject *args)
{
    return (PyGreenlet *)PyObject_Call((PyObject *)&PyGreenlet_Type, args, NULL);
}

PyGreenlet *greenlet_current(void) { return PyGreenlet_GetCurrent(); }

bool is_greenlet(PyObject *o) { return PyObject_TypeCheck(o, &PyGreenlet_Type); }

PyThreadState *m_tstate(struct m *mp)
{
    struct hostm *hm = real_load(&mp->host);
    return hm ? real_load(&hm->ts) : NULL;
}

unsigned long m_thread_ident(struct m *mp)
{
    struct hostm *hm = real_load(&mp->host);
    return hm ? real_load(&hm->ident) : 0;
}

bool host_attached(struct m *mp)
{
    PyThreadState *ts = m_tstate(mp);
    return ts && is_attached(ts);
}

/* ---- switching, and holding it while somebody looks at suspended frames ---- */

#if GOPY_THREADED
static uint32_t frozen;

void switch_begins(struct hostm *hm)
{
    for (;;) {
        astore_sc(&hm->switching, 1);
        if (likely(aload_sc(&frozen) == 0))
            return;
        astore_sc(&hm->switching, 0);
        void *left = host_leave();
        usleep(100);
        host_enter(left);
    }
}

void switch_ended(struct hostm *hm) { astore(&hm->switching, 0); }

/* From here to thaw_switches() no other M resumes a suspended goroutine, nor is this one made to yield: all that the
 * caller looks at is of one moment. */
void freeze_switches(void)
{
    preempt_forbid(1);
    aadd(&frozen, 1);
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext) {
        struct hostm *hm = real_load(&mp->host);
        while (hm && mp != getm() && aload_sc(&hm->switching)) {
            /* A new worker's first instruction may stop the world, so wait detached. */
            void *left = host_leave();
            usleep(20);
            host_enter(left);
        }
    }
}

void thaw_switches(void)
{
    aadd(&frozen, -1);
    preempt_forbid(-1);
}

/* In the child no thread has frozen the switches: none forks while it has, and the others are not there. */
void freeze_fork_child(void) { frozen = 0; }
#else
void switch_begins(struct hostm *hm) { (void)hm; }
void switch_ended(struct hostm *hm) { (void)hm; }
void freeze_switches(void) { preempt_forbid(1); }
void thaw_switches(void) { preempt_forbid(-1); }
void freeze_fork_child(void) {}
#endif

bool switch_to(struct hostm *hm, PyGreenlet *target)
{
    struct worker *self = hm->on;
#if GOPY_VISIT_FRAMES
    if (self)
        frames_suspend(&self->frames, hm->ts);
#endif
    switch_begins(hm);
    PyObject *r = PyGreenlet_Switch(target, NULL, NULL);
    switch_ended(hm);
    hm->on = self;
#if GOPY_VISIT_FRAMES
    if (self)
        self->frames.top = NULL;
#endif
    Py_XDECREF(r);
    return r != NULL;
}

_PyStackChunk *first_chunk(PyThreadState *ts)
{
    _PyStackChunk *chunk = ts->datastack_chunk;
    while (chunk && chunk->previous)
        chunk = chunk->previous;
    return chunk;
}

/* A program may make greenlets of its own in a goroutine, and switch among them: the one that parks is the one to be
 * resumed. The frames tell which it is: each greenlet keeps its frames in chunks of its own, the first of which stays.
 * To ask greenlet at every switch would cost 2%. -> the greenlet that runs, a new reference; NULL: it is self's own, as
 * nearly always. */
__attribute__((noinline)) PyGreenlet *users_greenlet(struct worker *self, PyThreadState *ts)
{
    if (first_chunk(ts) == self->chunk)
        return NULL;
    PyGreenlet *running = PyGreenlet_GetCurrent();
    if (running == self->glet)
        Py_CLEAR(running);
    return running;
}

PyObject *goroutine_greenlet(Goroutine *go)
{
    struct worker *w = go->worker;
    return w ? new_ref((PyObject *)w->at) : NULL;
}

/* Is the greenlet of go the one that its thread is in? Also if go is parked, as long as the thread has not left it
 * since. */
bool goroutine_on_thread(Goroutine *go)
{
    struct m *mp = go->g.boundm;
    struct hostm *hm = mp ? real_load(&mp->host) : NULL;
    return hm && go->worker && hm->on == go->worker;
}
