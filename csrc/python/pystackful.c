/* pystackful.c: stackful goroutines, run by worker greenlets.
 *
 * A worker is a greenlet that loops: take a runnable goroutine; if it is new, run it here; if it is suspended
 * in another worker, join the idle ones and switch straight to that one. A goroutine keeps its worker from
 * its first instruction to its last. A worker is always started from its M's root greenlet g0, so that all
 * begin at the same depth of the C stack and of Python's recursion counter, whoever asked for them. On the
 * main thread g0 is a greenlet of its own; elsewhere it is the thread's main greenlet.
 *
 * hm->handoff passes a goroutine across a switch to whoever is to run it: a worker or g0. */
#include "pystackful.h"

#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pycall.h"
#include "pychunks.h"
#include "pyeventloop.h"
#include "pypanic.h"
#include "pypreempt.h"
#include "pystackless.h"
#include "pytrim.h"
#include "pyversion.h"
#include "pyworker.h"

#define MOST_NOMEM 50 /* one a millisecond */

static struct worker main_worker; /* the main goroutine's: the greenlet that it was adopted in */

void host_resume(struct m *mp, struct g *from, struct g *gp)
{
    struct hostm *hm = mp->host;
    struct worker *self = hm->on;
    PyGreenlet *users = NULL;
    if (unlikely(hm->ts->datastack_chunk != self->chunk) && (users = users_greenlet(self, hm->ts)) != NULL)
        self->at = users;
    struct worker *w = goroutine_of(gp)->worker;
    if (w == NULL) {
        hm->handoff = gp;
        w = pop_idle(hm);
    }
    struct eventloop loop;
    bool looping = eventloop_here(hm->ts);
    if (unlikely(looping))
        eventloop_leave(hm->ts, &loop);
    locals_leave(hm->ts, &self->locals);
    uintptr_t sections = sections_leave(hm->ts);
    for (int tries = 0; unlikely(!switch_to(hm, w ? w->at : hm->g0)); tries++) {
        /* Saving this stack failed for want of memory: nothing was switched, nothing is lost yet. */
        if (tries == 1000)
            Py_FatalError("gopy: out of memory while switching goroutines");
        PyErr_Clear();
        void *left = host_leave();
        usleep(1000);
        host_enter(left);
    }
    hm = getm()->host; /* in the child of a fork it is another one than before */
    if (unlikely(users != NULL)) {
        self->at = self->glet;
        Py_DECREF(users);
    }
    sections_enter(hm->ts, sections);
    locals_enter(hm->ts, &self->locals);
    if (unlikely(looping))
        eventloop_enter(hm->ts, &loop);
    if (unlikely(from == sched.g1) && host_interrupt_pending())
        poke_main();
}

/* ---- running one goroutine ---- */

/* Run gp, which is new, to its end. */
static void run(struct m *mp, struct worker *w, struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    worker_takes(mp, w, go);
    take_context(m_tstate(mp), go);
    goroutine_finish(mp, go, goroutine_call(go));
}

/* gp cannot be started: that is its panic. The exception is set. */
static void stillborn(struct m *mp, struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    /* Such a wait will do for a panic handler that does not park. */
    struct gwait wait = {0};
    goroutine_start(mp, gp, &wait);
    goroutine_failed(go);
    if (goroutine_clear(go) < 0)
        goroutine_failed(go);
    goroutine_end(mp, gp);
    Py_DECREF(go);
}

/* ---- workers and g0 ---- */

static PyObject *worker_run(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct m *mp = getm();
    struct hostm *hm = mp->host;
    struct worker *w = hm->starting;
    hm->starting = NULL;
    hm->on = w;
    root_install(w, hm->ts);
    switch_ended(hm);
    for (;;) {
        struct g *gp = hm->handoff;
        hm->handoff = NULL;
        if (gp == NULL && (gp = findrunnable(mp)) == NULL)
            break;
        struct worker *other = goroutine_of(gp)->worker;
        if (other == NULL) {
            if (gp->kind == GSTACKLESS)
                stackless_step(mp, hm->ts, w, goroutine_of(gp));
            else
                run(mp, w, gp);
            continue;
        }
        w->next = hm->idle;
        hm->idle = w;
        hm->nidle++;
        /* If there is no memory for the switch, leave gp to g0, which has nothing to save. */
        if (!switch_to(hm, other->at)) {
            PyErr_Clear();
            if (hm->idle == w)
                pop_idle(hm);
            hm->handoff = gp;
            break;
        }
        if (hm->quit)
            break;
    }
    root_remove(w, hm->ts);
    hm->dead = w;
    Py_RETURN_NONE;
}

/* Have an idle worker or a new one run gp. If there is no memory for a worker, gp waits for its turn again, MOST_NOMEM
 * times: other goroutines may end in the meantime and leave their workers. There is no collection in here, as it could
 * run a __del__ that blocks, and in g0 nothing can. */
static void start(struct m *mp, struct hostm *hm, struct g *gp)
{
    COLLECTIONS_PAUSE();
    struct worker *w = pop_idle(hm);
    bool fresh = w == NULL && (w = new_worker()) != NULL;
    bool ok = w != NULL;
    COLLECTIONS_GO_ON();
    if (ok) {
        hm->handoff = gp;
        hm->starting = fresh ? w : NULL;
        ok = switch_to(hm, w->glet);
        if (ok || hm->handoff == NULL) {
            PyErr_Clear();
            hm->nomem = 0;
            return;
        }
    }
    hm->handoff = NULL;
    if (fresh) { /* the worker ended before it had begun */
        hm->starting = NULL;
        free_worker(w);
    }
    if (++hm->nomem > MOST_NOMEM) {
        hm->nomem = 0;
        stillborn(mp, gp);
        return;
    }
    PyErr_Clear();
    gq_push(&mp->yieldq, gp);
    void *left = host_leave();
    usleep(1000);
    host_enter(left);
}

/* Until this M must end: start workers that are asked for, and schedule in the place of those that have ended. */
static void g0_loop(struct hostm *hm)
{
    for (;;) {
        struct m *mp = getm(); /* in the child of a fork it is another one than before */
        free_dead(hm);
        if (hm->tidied_for) {
            PyGreenlet *back = hm->tidied_for;
            hm->tidied_for = NULL;
            trim(hm);
            if (!switch_to(hm, back))
                Py_FatalError("gopy: cannot switch to a goroutine");
            continue;
        }
        struct g *gp = hm->handoff;
        hm->handoff = NULL;
        if (gp == NULL && (gp = findrunnable(mp)) == NULL)
            break;
        struct worker *w = goroutine_of(gp)->worker;
        if (w == NULL)
            start(mp, hm, gp);
        else if (!switch_to(hm, w->at))
            Py_FatalError("gopy: cannot switch to a goroutine");
    }
    end_idle(hm, UINT32_MAX, NEVER);
}

/* Like its M it is never freed: others look at it without a lock. */
static struct hostm *hostm_new(struct m *mp)
{
    struct hostm *hm = mp->host ? mp->host : calloc(1, sizeof(*hm));
    chunks_install();
    if (hm) {
        hm->quit = false;
        hm->on = NULL;
        real_store(&hm->ident, PyThread_get_thread_ident());
        real_store(&hm->ts, PyThreadState_Get());
        preempt_adopt();
    }
    return hm;
}

/* The life of an M other than the main thread's. */
void stackful_m_main(struct m *mp)
{
    wait_for_memory(mp);
    struct hostm *hm = hostm_new(mp);
    if (hm == NULL || (hm->g0 = greenlet_current()) == NULL) {
        /* At the program's end there may be no greenlet any more, and there is no need of this thread. */
        if (real_load(&sched.exiting))
            stop_for_good();
        Py_FatalError("gopy: out of memory while starting a thread");
    }
    real_store(&mp->host, hm);
    real_store(&mp->entering, false);
    g0_loop(hm);
    /* A later thread may get the same identifier, and may be anybody's. */
    real_store(&hm->ident, 0);
    real_store(&hm->ts, NULL);
    Py_CLEAR(hm->g0);
}

/* The main thread's g0: born when the main goroutine is adopted, resumed whenever it is needed. */
static PyObject *g0_run(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    struct hostm *hm = getm()->host;
    hm->on = NULL;
    if (!switch_to(hm, main_worker.glet))
        return NULL;
    for (;;)
        g0_loop(hm);
}

static PyMethodDef g0_def = {"g0", g0_run, METH_NOARGS, NULL};

bool stackful_adopt_main(struct m *mp)
{
    struct hostm *hm = hostm_new(mp);
    PyObject *fn = PyCFunction_New(&g0_def, NULL), *args = fn ? PyTuple_Pack(1, fn) : NULL;
    main_worker.glet = main_worker.at = greenlet_current();
    PyGreenlet *g0 = hm && args && main_worker.glet ? greenlet_new(args) : NULL;
    Py_XDECREF(fn);
    Py_XDECREF(args);
    if (g0 == NULL)
        return false;
    hm->g0 = g0;
    mp->host = hm;
    hm->on = &main_worker;
    main_worker.chunk = first_chunk(hm->ts);
    frames_add(&main_worker.frames);
    main_goroutine->worker = &main_worker;
    /* g0, and so every worker, is to begin at recursion depth 0, however deep the first call to gopy is. */
    int *remaining = recursion_remaining(hm->ts), was = *remaining;
    *remaining = recursion_limit(hm->ts);
    bool ok = switch_to(hm, hm->g0);
    *remaining = was;
    if (!ok)
        frames_remove(&main_worker.frames);
    return ok;
}

/* The thread that forked goes on with its own greenlets. Idle workers and suspended goroutines are left where
 * they are, referred to for ever: their stacks must not be unwound in the child. */
void stackful_fork_child(void)
{
    struct hostm *hm = getm()->host;
    hm->idle = NULL;
    hm->nidle = 0;
    hm->handoff = NULL;
    hm->ts = PyThreadState_Get();
    hm->ident = PyThread_get_thread_ident();
    preempt_adopt();
    frames_fork_child(hm->on ? &hm->on->frames : NULL);
    struct g *gp = getm()->curg;
    if (gp)
        main_goroutine = goroutine_of(gp);
}

int stackful_init(void) { return switch_init() < 0 || call_init() < 0 ? -1 : worker_init(worker_run); }
