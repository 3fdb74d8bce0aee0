/* host_fake.c: a host of the runtime without Python and without goroutines of its own. Every thread is one that
 * the runtime does not run: its operations block it on a note, so all of channels, select, timers, locks and the
 * queues run on real threads, which every sanitizer understands. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/host.h"
#include "runtime/sched.h"

struct foreign {
    struct g g;
    struct gwait wait;
    struct note note;
};

static __thread struct foreign self;
struct g *fake_timers;         /* what a test gives out for SYSTEM_TIMERS, or NULL: no memory */
bool (*fake_newoffload)(void); /* how a test starts a thread for blocking calls, or NULL: none can be had */

struct g *host_foreign_g(void)
{
    self.g.kind = GFOREIGN;
    self.g.note = &self.note;
    self.g.wait = &self.wait;
    self.wait.sg.g = &self.g;
    self.g.epoch = sched.epoch;
    return &self.g;
}

static void never(const char *what)
{
    fprintf(stderr, "host_fake: %s must not be called\n", what);
    abort();
}

void host_resume(struct m *mp, struct g *from, struct g *gp)
{
    (void)mp, (void)from, (void)gp;
    never("host_resume");
}
void *host_leave(void) { return NULL; }
void host_enter(void *left) { (void)left; }
void *host_rest(void) { return NULL; }
void host_back(void *left) { (void)left; }
void host_call_begins(void) {}
void host_call_ended(void) {}
bool host_attached(struct m *mp) { return mp != NULL; }
bool host_newthread(struct m *mp) { return mp == NULL; }
bool host_newoffload(void) { return fake_newoffload && fake_newoffload(); }
void host_offload_forked(struct offload *o)
{
    (void)o;
    for (;;)
        never("host_offload_forked");
}
bool host_newsysmon(void) { return false; }
void host_sysmon_enter(void) {}
void host_sysmon_leave(void) {}
bool host_sysmon_tick(int64_t now) { return now < 0; }
bool host_tidy(struct m *mp, int64_t *until) { return mp == NULL && until == NULL; }
struct g *host_newsystem(enum systemwork work) { return work == SYSTEM_TIMERS ? fake_timers : NULL; }
bool host_interrupt_pending(void) { return false; }
bool host_adopt_main(void) { return false; }
void host_wake_task(struct g *gp) { real_add(&gp->id, 1); }
bool host_is_main_thread(void) { return false; }
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
        never("host_hang");
}
