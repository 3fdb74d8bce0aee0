/* host_threads.c: a host of the runtime without Python, with real Ms. A goroutine is a thread of its own that runs
 * only while it holds the baton of its M: so the whole scheduler, with stealing, idling, hand-off and the end of
 * Ms, runs on threads, which every sanitizer understands. */
#include "host_threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/host.h"

struct thread {
    struct note baton;
};

struct hostm {
    struct thread *g0; /* takes the baton when the M must end */
    uint32_t attached;
};

struct foreign {
    struct g g;
    struct gwait wait;
    struct note note;
};

static __thread struct foreign foreign;
static __thread struct thread *self;
static pthread_t main_thread;
static struct thread main_self;
static struct hostm main_hostm;
static struct goroutine main_goroutine = {.thread = &main_self};
uint32_t threads_alive;

static struct goroutine *goroutine_of(struct g *gp) { return (struct goroutine *)gp; }

static void new_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    real_add(&threads_alive, 1);
    if (pthread_create(&thread, &attr, fn, arg) != 0) {
        perror("pthread_create");
        abort();
    }
    pthread_attr_destroy(&attr);
}

static void pass_baton(struct thread *to) { note_wakeup(&to->baton); }

static void await_baton(void)
{
    while (note_sleep(&self->baton, NEVER) != NOTE_WOKEN)
        ;
    note_clear(&self->baton);
}

/* On a thread of its own: run gp, then whatever is next, until that is a goroutine that has a thread. */
static void *run(void *arg)
{
    struct g *gp = arg;
    struct m *mp = goroutine_of(gp)->starts_on;
    struct thread me = {0};
    self = &me;
    tls_m = mp;
    do {
        struct goroutine *go = goroutine_of(gp);
        go->thread = self;
        goroutine_start(mp, gp, &go->wait);
        go->fn(go->arg);
        go->thread = NULL;
        goroutine_end(mp, gp);
        gp = findrunnable(mp);
    } while (gp && goroutine_of(gp)->thread == NULL);
    pass_baton(gp ? goroutine_of(gp)->thread : ((struct hostm *)mp->host)->g0);
    real_add(&threads_alive, (uint32_t)-1);
    return NULL;
}

static void resume(struct m *mp, struct g *gp)
{
    if (goroutine_of(gp)->thread) {
        pass_baton(goroutine_of(gp)->thread);
    } else {
        goroutine_of(gp)->starts_on = mp;
        new_thread(run, gp);
    }
}

void host_resume(struct m *mp, struct g *from, struct g *gp)
{
    (void)from;
    resume(mp, gp);
    await_baton();
}

static void *m_main(void *arg)
{
    struct m *mp = arg;
    struct thread me = {0};
    struct hostm *hm = mp->host ? mp->host : calloc(1, sizeof(*hm));
    self = &me;
    tls_m = mp;
    hm->g0 = &me;
    real_store(&hm->attached, 1);
    real_store(&mp->host, hm);
    real_store(&mp->entering, false);
    struct g *gp = findrunnable(mp);
    if (gp) {
        resume(mp, gp);
        await_baton();
    }
    real_store(&hm->attached, 0);
    m_exit(mp);
    real_add(&threads_alive, (uint32_t)-1);
    return NULL;
}

bool host_newthread(struct m *mp)
{
    new_thread(m_main, mp);
    return true;
}

bool host_adopt_main(void)
{
    struct m *mp = &sched.m0;
    tls_m = mp;
    self = &main_self;
    main_hostm.attached = 1;
    mp->host = &main_hostm;
    goroutine_start(mp, sched.g1, &main_goroutine.wait);
    m_init(mp);
    astore(&sched.main_adopted, 1);
    return true;
}

void host_start(int gomaxprocs)
{
    main_thread = pthread_self();
    rt_start(gomaxprocs);
    sched.g1 = &main_goroutine.g;
    sched.g1->id = 1;
    sched.g1->status = Grunning;
    allg_add(sched.g1);
}

void go(struct goroutine *go, void (*fn)(void *), void *arg)
{
    go->fn = fn;
    go->arg = arg;
    newproc(&go->g, GSTACKFUL);
}

bool go_locked(struct goroutine *go, void (*fn)(void *), void *arg)
{
    go->fn = fn;
    go->arg = arg;
    return newproc_locked(&go->g, GSTACKFUL);
}

bool host_is_main_thread(void) { return pthread_equal(pthread_self(), main_thread); }

struct g *host_foreign_g(void)
{
    foreign.g.kind = GFOREIGN;
    foreign.g.note = &foreign.note;
    foreign.g.wait = &foreign.wait;
    foreign.wait.sg.g = &foreign.g;
    foreign.g.epoch = sched.epoch;
    return &foreign.g;
}

void *host_leave(void)
{
    struct m *mp = getm();
    if (mp)
        real_store(&((struct hostm *)mp->host)->attached, 0);
    return mp;
}

void host_enter(void *left)
{
    struct m *mp = left;
    if (mp)
        real_store(&((struct hostm *)mp->host)->attached, 1);
}

void *host_rest(void) { return host_leave(); }
void host_back(void *left) { host_enter(left); }
void host_call_begins(void) {}
void host_call_ended(void) {}

bool host_attached(struct m *mp)
{
    struct hostm *hm = real_load(&mp->host);
    return hm && real_load(&hm->attached);
}

static void *sysmon_main(void *arg)
{
    (void)arg;
    sysmon();
    real_add(&threads_alive, (uint32_t)-1);
    return NULL;
}

bool host_newsysmon(void)
{
    new_thread(sysmon_main, NULL);
    return true;
}

void host_sysmon_enter(void) {}
void host_sysmon_leave(void) {}
bool host_sysmon_tick(int64_t now) { return now < 0; }
bool host_tidy(struct m *mp, int64_t *until) { return mp == NULL && until == NULL; }
struct g *host_newsystem(enum systemwork work)
{
    (void)work;
    return NULL;
}
bool host_interrupt_pending(void) { return false; }
void host_wake_task(struct g *gp) { (void)gp; }
bool host_newoffload(void) { return false; }
void host_offload_forked(struct offload *o)
{
    (void)o;
    abort();
}
void host_bubble_stuck(uint32_t tag) { (void)tag; }
void host_preempt(struct m *mp) { (void)mp; }
uint32_t host_trace_made(struct g *gp)
{
    (void)gp;
    return 0;
}

uint32_t host_trace_here(void) { return 0; }
uint32_t host_trace_parks(struct g *gp)
{
    (void)gp;
    return 0;
}
void host_profile_wait(struct g *gp, enum profile kind) { (void)gp, (void)kind; }

void host_hang(void)
{
    for (;;)
        pause();
}
