/* trace.h: what the scheduler did, as events in memory. */
#ifndef GOPY_TRACE_H
#define GOPY_TRACE_H

#include "runtime/gmp.h"

/* id is the goroutine that an event is about; 0 is nobody or the runtime. `more` says: */
enum tracekind {
    TRACE_NEW = 1, /* its creator's id, and above TRACE_ID_BITS the site (host_trace_site) */
    TRACE_RUN,     /* the P's id; MAXPROCS: it runs without one until it next schedules */
    TRACE_PARK, /* the reason (enum waitreason; WAIT_NONE: it has yielded), and above TRACE_ID_BITS the site */
    TRACE_READY, /* who has readied it; if nobody, above TRACE_ID_BITS enum tracecause */
    TRACE_END,
    TRACE_STEAL,   /* a P, and above TRACE_ID_BITS how many goroutines it has taken from another; nobody's */
    TRACE_HANDOFF, /* the P that was taken from an M; nobody's, as are PSTART to GIL */
    TRACE_BEGIN,   /* a region; its name's number */
    TRACE_FINISH,  /* likewise */
    TRACE_LOG,     /* the text's number */
    TRACE_PSTART,  /* a P that was idle has an M */
    TRACE_PSTOP,   /* a P is idle from here on */
    TRACE_GIL,     /* for how many ns an M that was idle has waited for the GIL */
};

/* What has readied a goroutine if no other has. */
enum tracecause { CAUSE_UNKNOWN, CAUSE_TIMER, CAUSE_POLL, CAUSE_THREAD };

#define TRACE_ID_BITS 44

struct traceevent {
    int64_t when;  /* ticks while it is recorded, nanotime() once it is collected */
    uint64_t what; /* the kind, and above 8 bits the goroutine's id */
    uint64_t more;
};

static inline enum tracekind trace_kind(const struct traceevent *e)
{
    return (enum tracekind)(e->what & 255);
}
static inline uint64_t trace_id(const struct traceevent *e) { return e->what >> 8; }
static inline uint64_t trace_more(const struct traceevent *e)
{
    return e->more & (((uint64_t)1 << TRACE_ID_BITS) - 1);
}
static inline uint64_t trace_site(const struct traceevent *e) { return e->more >> TRACE_ID_BITS; }

void trace_add(struct m *mp, enum tracekind kind, uint64_t id, uint64_t more);

void trace_new(struct g *gp);
void trace_ready(struct m *mp, struct g *gp);
void trace_set_cause(struct m *mp, enum tracecause cause);
void trace_looks(struct m *mp);
void trace_park(struct m *mp, struct g *gp, uint64_t reason);
void trace_run(struct m *mp, struct g *gp);

/* mp is this thread's M, or NULL. Called attached. */
static inline void trace_event(struct m *mp, enum tracekind kind, uint64_t id, uint64_t more)
{
    if (unlikely(real_peek(&sched.tracing)))
        trace_add(mp, kind, id, more);
}

/* What mp readies from here on is due to that; mp is this thread's M, or NULL. */
static inline void trace_cause(struct m *mp, enum tracecause cause)
{
    if (unlikely(real_peek(&sched.tracing)) && mp)
        trace_set_cause(mp, cause);
}

/* gp, which runs on mp, stops running. */
static inline void trace_stops(struct m *mp, struct g *gp)
{
    if (unlikely(real_peek(&sched.tracing)))
        trace_park(mp, gp, apeek(&gp->status) == Gwaiting ? gp->reason : WAIT_NONE);
}

/* The same for a stackless one, whose wait may have ended already: only if it yields is its status what it was. */
static inline void trace_yields(struct m *mp, struct g *gp)
{
    if (unlikely(real_peek(&sched.tracing)))
        trace_park(mp, gp, apeek(&gp->status) == Grunning ? WAIT_NONE : gp->reason);
}

static inline void trace_runs(struct m *mp, struct g *gp)
{
    if (unlikely(real_peek(&sched.tracing)) && mp->p)
        trace_run(mp, gp);
}

/* While no other thread runs: */
void trace_begin(size_t bytes); /* from here on events are recorded, the last so many bytes of them */
struct tracelog {
    struct traceevent *events; /* in the order of time; to be freed */
    size_t n;
    uint64_t dropped; /* how many older ones there were */
};
bool trace_collect(struct tracelog *log); /* false: no memory */
void trace_end(void);
void trace_forget(void);

#endif
