/* pystackful.c: stackful goroutines, run by worker greenlets.
 *
 * A worker is a greenlet that loops: take a runnable goroutine; if it is new, run it here; if it is suspended
 * in another worker, join the idle ones and switch straight to that one. A goroutine keeps its worker from
 * its first instruction to its last. A worker is always started from its M's root greenlet g0, so that all
 * begin at the same depth of the C stack and of Python's recursion counter, whoever asked for them. On the
 * main thread g0 is a greenlet of its own; elsewhere it is the thread's.
 *
 * A worker's outermost frame is a Python function, because a greenlet that has a Python frame keeps the chunk
 * of memory that frames live in, and mapping one costs more than all the rest of a goroutine.
 *
 * hm->handoff passes a goroutine across a switch to whoever is to run it: a worker or g0.
 *
 * An idle worker costs 6 KB. What no goroutine has needed for TRIM_EVERY is surplus, and ends while the M has
 * nothing else to do (host_tidy), if there are more than KEEP_IDLE. What they leave is in pieces, and to return it to
 * the system may take 10 ms a gigabyte: that is done when nothing is due for RETURN_PAUSE, or after RETURN_MOST. */
#include "pygopy.h"

#include <greenlet.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <unistd.h>

#define KEEP_IDLE 64
#define TRIM_EVERY 100000000   /* ns */
#define MOST_NOMEM 50          /* one a millisecond */
#define TRIM_TIME 250000       /* ns, then it looks whether there is something to do */
#define RETURN_PAUSE 20000000  /* ns */
#define RETURN_MOST 3000000000 /* ns */

struct worker {
    PyGreenlet *glet;
    PyGreenlet *at;       /* to be switched to: glet, or see users_greenlet() */
    _PyStackChunk *chunk; /* the first one of glet's frames */
    struct worker *next;  /* idle */
    struct gwait wait;    /* its goroutine's */
    struct frames frames;
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

static struct worker main_worker; /* the main goroutine's: the greenlet that it was adopted in */

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

/* ---- switching, and holding it while somebody looks at suspended frames ---- */

#if GOPY_THREADED
static uint32_t frozen;

static void switch_begins(struct hostm *hm)
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

static void switch_ended(struct hostm *hm) { astore(&hm->switching, 0); }

/* From here to thaw_switches() no other M resumes a suspended goroutine, nor is this one made to yield: what it looks at
 * is of one moment. */
void freeze_switches(void)
{
    preempt_forbid(1);
    aadd(&frozen, 1);
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext) {
        struct hostm *hm = real_load(&mp->host);
        while (hm && mp != getm() && aload_sc(&hm->switching)) {
            void *left = host_leave(); /* a new worker's first instruction may stop the world */
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

/* Whoever held them is not there in the child; no thread forks while it does. */
void freeze_fork_child(void) { frozen = 0; }
#else
static inline void switch_begins(struct hostm *hm) { (void)hm; }
static inline void switch_ended(struct hostm *hm) { (void)hm; }
void freeze_switches(void) { preempt_forbid(1); }
void thaw_switches(void) { preempt_forbid(-1); }
void freeze_fork_child(void) {}
#endif

/* false: the switch did not happen, or the target ended with an exception (which is then set). */
static inline bool switch_to(struct hostm *hm, PyGreenlet *target)
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

static struct worker *pop_idle(struct hostm *hm)
{
    struct worker *w = hm->idle;
    if (w) {
        hm->idle = w->next;
        if (--hm->nidle < hm->idle_low)
            hm->idle_low = hm->nidle;
    }
    return w;
}

static _PyStackChunk *first_chunk(PyThreadState *ts)
{
    _PyStackChunk *chunk = ts->datastack_chunk;
    while (chunk && chunk->previous)
        chunk = chunk->previous;
    return chunk;
}

/* A program may make greenlets of its own in a goroutine, and switch among them: one that parks is the one to be resumed.
 * Frames tell: each greenlet keeps them in chunks of its own, the first of which stays. To ask greenlet at every switch
 * would cost 2%. -> the greenlet that runs, a new reference, or NULL: it is self's, as nearly always. */
static __attribute__((noinline)) PyGreenlet *users_greenlet(struct worker *self, PyThreadState *ts)
{
    if (first_chunk(ts) == self->chunk)
        return NULL;
    PyGreenlet *running = PyGreenlet_GetCurrent();
    if (running == self->glet)
        Py_CLEAR(running);
    return running;
}

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
    if (unlikely(looping))
        eventloop_enter(hm->ts, &loop);
    if (unlikely(from == sched.g1) && host_interrupt_pending())
        poke_main();
}

/* ---- running one goroutine ---- */

/* From here go runs on worker w. */
void worker_takes(struct m *mp, struct worker *w, Goroutine *go)
{
    struct hostm *hm = mp->host;
    bool frames = go->g.kind == GSTACKLESS; /* that somebody may be looking at */
    if (frames)
        switch_begins(hm);
    go->worker = w;
    goroutine_start(mp, &go->g, &w->wait);
    if (frames)
        switch_ended(hm);
    set_context(hm->ts, go->context);
    go->context = NULL;
}

/* Run gp, which is new, to its end. */
static void run(struct m *mp, struct worker *w, struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    worker_takes(mp, w, go);
    goroutine_finish(mp, go, goroutine_call(go));
}

/* gp cannot be started: that is its panic. The exception is set. */
static void stillborn(struct m *mp, struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    struct gwait wait = {0}; /* of use to a panic handler that does not park */
    goroutine_start(mp, gp, &wait);
    goroutine_failed(go);
    goroutine_clear(go);
    goroutine_end(mp, gp);
    Py_DECREF(go);
}

/* ---- workers and g0 ---- */

static PyObject *worker_run(PyObject *self)
{
    (void)self;
    struct m *mp = getm();
    struct hostm *hm = mp->host;
    struct worker *w = hm->starting;
    hm->starting = NULL;
    hm->on = w;
    w->chunk = first_chunk(hm->ts);
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
        if (!switch_to(hm, other->at)) { /* out of memory: leave it to g0, which needs to save nothing */
            PyErr_Clear();
            if (hm->idle == w)
                pop_idle(hm);
            hm->handoff = gp;
            break;
        }
        if (hm->quit)
            break;
    }
    hm->dead = w;
    Py_RETURN_NONE;
}

static void free_worker(struct worker *w)
{
    frames_remove(&w->frames);
    Py_DECREF(w->glet);
    free(w);
}

static void free_dead(struct hostm *hm)
{
    struct worker *w = hm->dead;
    hm->dead = NULL;
    if (w)
        free_worker(w);
}

static struct worker *new_worker(struct hostm *hm)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (w == NULL || (w->glet = PyGreenlet_New(worker_function, hm->g0)) == NULL) {
        free(w);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    w->at = w->glet;
    frames_add(&w->frames);
    return w;
}

/* Start gp, or a worker for it. If there is no memory for one, gp waits for its turn again, MOST_NOMEM times;
 * others may end in the meantime and leave theirs. A collection in here could run a __del__ that blocks, where nothing can. */
static void start(struct m *mp, struct hostm *hm, struct g *gp)
{
    int gc = PyGC_Disable();
    struct worker *w = pop_idle(hm);
    bool fresh = w == NULL && (w = new_worker(hm)) != NULL;
    bool ok = w != NULL;
    if (ok) {
        hm->handoff = gp;
        hm->starting = fresh ? w : NULL;
        if (gc) /* the worker goes on from here: it must find the collector as it was */
            PyGC_Enable();
        ok = switch_to(hm, w->glet);
        if (ok || hm->handoff == NULL) {
            PyErr_Clear();
            hm->nomem = 0;
            return;
        }
    } else if (gc) {
        PyGC_Enable();
    }
    hm->handoff = NULL;
    if (fresh) { /* it ended before it had begun */
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

/* In g0: let up to n idle workers end, but at least one, for as long as nanotime() is before `until`. */
static void end_idle(struct hostm *hm, uint32_t n, int64_t until)
{
    hm->quit = true;
    for (struct worker *w; n > 0 && (w = pop_idle(hm)) != NULL; n--) {
        if (!switch_to(hm, w->glet))
            PyErr_Clear();
        free_dead(hm);
        hm->surplus -= hm->surplus > 0;
        if (until != NEVER && nanotime() >= until)
            break;
    }
    hm->quit = false;
}

/* Until this M must end: start workers that are asked for, and go on for those that have ended. */
static void g0_loop(struct hostm *hm)
{
    for (;;) {
        struct m *mp = getm(); /* in the child of a fork it is another one than before */
        free_dead(hm);
        if (hm->tidied_for) {
            PyGreenlet *back = hm->tidied_for;
            hm->tidied_for = NULL;
            end_idle(hm, hm->surplus, nanotime() + TRIM_TIME);
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

/* End a few of the surplus. */
static void tidy(struct hostm *hm)
{
    PyGreenlet *self = PyGreenlet_GetCurrent();
    if (self == hm->g0) {
        end_idle(hm, hm->surplus, nanotime() + TRIM_TIME);
    } else {
        hm->tidied_for = self;
        if (!switch_to(hm, hm->g0)) { /* out of memory: later, then */
            PyErr_Clear();
            hm->tidied_for = NULL;
            hm->surplus = 0;
        }
    }
    Py_XDECREF(self);
}

bool host_tidy(struct m *mp, int64_t *until)
{
    struct hostm *hm = mp->host;
    hm->surplus = hm->surplus < hm->nidle ? hm->surplus : hm->nidle;
    if (likely(hm->nidle <= KEEP_IDLE && hm->surplus == 0 && hm->return_at == 0))
        return false;
    int64_t now = nanotime();
    if (hm->nidle > KEEP_IDLE || hm->surplus) {
        if (hm->surplus == 0 && now >= hm->trim_at) {
            if (hm->trim_at && hm->idle_low > KEEP_IDLE)
                hm->surplus = hm->idle_low;
            hm->idle_low = hm->nidle;
            hm->trim_at = now + TRIM_EVERY;
        }
        if (hm->surplus) {
            if (hm->return_at == 0)
                hm->return_at = now + RETURN_MOST;
            tidy(hm);
            return true;
        }
        *until = hm->trim_at;
    }
    if (hm->return_at && (now >= hm->return_at || first_timer() - now > RETURN_PAUSE)) {
        hm->return_at = 0;
#ifdef __GLIBC__
        malloc_trim(0);
#endif
        return true;
    }
    if (hm->return_at && hm->return_at < *until)
        *until = hm->return_at;
    return false;
}

/* Like its M it is never freed: others look at it without a lock. */
static struct hostm *hostm_new(struct m *mp)
{
    struct hostm *hm = mp->host ? mp->host : calloc(1, sizeof(*hm));
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
    if (hm == NULL || (hm->g0 = PyGreenlet_GetCurrent()) == NULL) {
        if (real_load(&sched.exiting)) /* there is no greenlet any more, and no need of this thread */
            stop_for_good();
        Py_FatalError("gopy: out of memory while starting a thread");
    }
    real_store(&mp->host, hm);
    real_store(&mp->entering, false);
    g0_loop(hm);
    real_store(&hm->ident, 0); /* the next thread may get it, and may be anybody's */
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
    PyObject *fn = PyCFunction_New(&g0_def, NULL);
    main_worker.glet = main_worker.at = PyGreenlet_GetCurrent();
    if (hm == NULL || fn == NULL || main_worker.glet == NULL)
        goto fail;
    hm->g0 = PyGreenlet_New(fn, main_worker.glet);
    if (hm->g0 == NULL)
        goto fail;
    Py_DECREF(fn);
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
fail:
    Py_XDECREF(fn);
    return false;
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
    frames_fork_child(hm->on ? &hm->on->frames : NULL);
    struct g *gp = getm()->curg;
    if (gp)
        main_goroutine = goroutine_of(gp);
}

PyObject *goroutine_greenlet(Goroutine *go)
{
    struct worker *w = go->worker;
    return w ? new_ref((PyObject *)w->at) : NULL;
}

/* Is its thread in it, also while it is parked: nothing else has run there since? */
bool goroutine_on_thread(Goroutine *go)
{
    struct m *mp = go->g.boundm;
    struct hostm *hm = mp ? real_load(&mp->host) : NULL;
    return hm && go->worker && hm->on == go->worker;
}

int stackful_init(void)
{
    PyGreenlet_Import();
    return _PyGreenlet_API == NULL ? -1 : worker_init(worker_run);
}
