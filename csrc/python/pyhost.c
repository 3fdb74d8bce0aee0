/* pyhost.c: CPython as a host of the runtime (runtime/host.h): its threads, and what is asked of it at a fork. */
#include "pyhost.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pyerror.h"
#include "pyident.h"
#include "pyownthread.h"
#include "pypanic.h"
#include "pystackful.h"
#include "pyversion.h"

PyObject *start_due_functions;

static unsigned long main_ident; /* of the main thread */

struct foreign {
    struct g g;
    struct gwait wait;
    struct note note;
};

static struct gwait main_wait;
static __thread struct foreign *tls_foreign;
static pthread_key_t foreign_key;

int host_init(unsigned long ident)
{
    main_ident = ident;
    if (ident == PyThread_get_thread_ident())
        panic_thread();
    panic_reserve();
    return pthread_key_create(&foreign_key, free);
}

bool host_is_main_thread(void) { return PyThread_get_thread_ident() == main_ident; }

struct g *host_foreign_g(void)
{
    if (tls_foreign == NULL && (tls_foreign = calloc(1, sizeof(struct foreign))) != NULL) {
        pthread_setspecific(foreign_key, tls_foreign);
        tls_foreign->g.kind = GFOREIGN;
        tls_foreign->g.note = &tls_foreign->note;
        tls_foreign->g.wait = &tls_foreign->wait;
        tls_foreign->wait.sg.g = &tls_foreign->g;
        tls_foreign->g.status = Grunning;
    }
    if (tls_foreign == NULL)
        return NULL;
    tls_foreign->g.epoch = sched.epoch;
    return &tls_foreign->g;
}

static void m_run(void *arg)
{
    struct m *mp = arg;
    stackful_m_main(mp);
    tls_m = NULL;
    m_exit(mp);
}

static void m_thread(void *arg)
{
    tls_m = arg;
    own_thread(m_run, arg);
}

bool host_newthread(struct m *mp)
{
    (void)real_xchg(&mp->entering, true);
    bool ok = start_thread(m_thread, mp);
    if (!ok)
        real_store(&mp->entering, false);
    return ok;
}

static void offload_run(void *arg)
{
    (void)arg;
    offload_thread();
}

static void offload_main(void *arg) { own_thread(offload_run, arg); }

bool host_newoffload(void) { return start_thread(offload_main, NULL); }

/* Of the one sysmon thread. */
static PyThreadState *sysmon_state;
static uint32_t sysmon_inside; /* it is attached, or about to be unless the program exits */

static void sysmon_thread(void)
{
    if ((sysmon_state = own_state()) != NULL)
        sysmon();
}

bool host_newsysmon(void) { return start_detached_thread(sysmon_thread); }

void host_sysmon_enter(void)
{
    (void)real_xchg(&sysmon_inside, 1);
    if (!may_start()) {
        real_store(&sysmon_inside, 0);
        host_hang();
    }
    PyEval_RestoreThread(sysmon_state);
}

void host_sysmon_leave(void)
{
    PyEval_SaveThread();
    real_store(&sysmon_inside, 0);
}

struct g *host_newsystem(enum systemwork work)
{
    PyObject *const work_of[] = {[SYSTEM_DEADLOCK] = hooks.deadlock,
                                 [SYSTEM_SIGNALS] = Py_None,
                                 [SYSTEM_TIMERS] = start_due_functions};
    Goroutine *go = goroutine_new(work_of[work]);
    if (go == NULL) {
        PyErr_Clear();
        return NULL;
    }
    return &go->g;
}

bool host_adopt_main(void)
{
    struct m *mp = &sched.m0;
    tls_m = mp;
    panic_thread();
    if (!stackful_adopt_main(mp)) {
        tls_m = NULL;
        return false;
    }
    struct g *gp = sched.g1;
    mp->nbound = 0;
    goroutine_start(mp, gp, &main_wait);
    m_init(mp);
    astore(&sched.main_adopted, 1);
    PyObject *r = hooks.adopt ? PyObject_CallNoArgs(hooks.adopt) : new_ref(Py_None);
    if (r == NULL)
        PyErr_WriteUnraisable(hooks.adopt);
    Py_XDECREF(r);
    return true;
}

void pyhost_wait_for_threads(void)
{
    for (struct m *mp = real_load(&sched.allm); mp; mp = mp->allnext)
        for (int i = 0; real_load(&mp->entering) && m_tstate(mp) == NULL; i++)
            nap(i);
    for (int i = 0; offload_starting() || real_load(&sysmon_inside) || own_state_making(); i++)
        nap(i);
}

/* After a fork, in the child: see rt_fork_child. */
void pyhost_fork_child(void)
{
    struct m *mp = getm();
    struct g *self = mp ? mp->curg : NULL;
    main_ident = PyThread_get_thread_ident();
    if (self)
        ident_fork_child(self);
    panic_thread();
    panic_forget();
    if (tls_foreign && mp == NULL)
        note_clear(&tls_foreign->note);
    rt_fork_child(self);
    offload_fork_child();
    freeze_fork_child();
    sysmon_inside = 0;
    ownthread_fork_child();
    if (self) {
        stackful_fork_child();
        return;
    }
    frames_fork_child(NULL);
    /* A plain thread has forked: it is the main one, and will be adopted when it needs the scheduler. */
    tls_m = NULL;
    main_goroutine->worker = NULL;
    main_goroutine->g = (struct g){.status = Grunning, .epoch = sched.epoch, .id = 1};
    sched.g1 = &main_goroutine->g;
    allg_add(sched.g1);
}
