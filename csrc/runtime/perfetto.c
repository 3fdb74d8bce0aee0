/* perfetto.c: events of a trace as Perfetto's trace format: packets of protobuf, which ui.perfetto.dev opens.
 *
 * There is a track for each P, with a slice for each turn of a goroutine, and one for each goroutine, whose slices say
 * whether it runs, is ready, or what it waits for. An arrow (a flow) leads from who readied a goroutine to its next turn.
 * Packets are TracePacket { timestamp = 8, trusted_packet_sequence_id = 10, track_event = 11, sequence_flags = 13,
 * track_descriptor = 60 }, whose numbers are those of protos/perfetto/trace/trace_packet.proto and track_event.proto. */
#include "runtime/perfetto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/sched.h"

enum { SLICE_BEGIN = 1, SLICE_END = 2, INSTANT = 3 };
enum { RUNS = 1, READY = 2, WAITS = 3 };

#define PROCESS 1
#define ALL_PS 2
#define ALL_GOROUTINES 3
#define GIL 4
#define FIRST_P 16
#define GOROUTINES ((uint64_t)1 << 48)
#define REGIONS ((uint64_t)1 << 49)
#define PACKET 512 /* a packet takes no more: names are cut */
#define NAME 200

/* What is known of a goroutine at the time of the event that is being written. */
struct known {
    uint64_t id, flow;
    uint32_t site, state;
    int p;
    bool open, named, has_regions; /* a slice is open on its track; its tracks have been described */
};

struct writer {
    const struct tracetexts *texts;
    struct bytes *out;
    struct known *known; /* open addressing, by id; a power of two */
    size_t nknown, size;
    uint64_t flows;
    uint64_t on_p[MAXPROCS];                /* the goroutine whose slice is open there; 0: none */
    bool p_named[MAXPROCS], idle[MAXPROCS]; /* a slice says that it is idle */
    bool gil_named;
};

/* ---- protobuf ---- */

static char *put_varint(char *to, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        *to++ = (char)(v | 128);
    *to++ = (char)v;
    return to;
}

static char *put_int(char *to, int field, uint64_t v)
{
    return put_varint(put_varint(to, (uint64_t)field << 3), v);
}

static char *put_fixed64(char *to, int field, uint64_t v)
{
    to = put_varint(to, (uint64_t)field << 3 | 1);
    memcpy(to, &v, 8);
    return to + 8;
}

static char *put_bytes(char *to, int field, const char *from, size_t n)
{
    to = put_varint(put_varint(to, (uint64_t)field << 3 | 2), n);
    memcpy(to, from, n);
    return to + n;
}

/* How many bytes of text are at most so many and whole characters. */
static size_t fitting(const char *text, size_t most)
{
    size_t n = strnlen(text, most + 1);
    if (n > most)
        for (n = most; n && (text[n] & 0xc0) == 0x80;)
            n--;
    return n;
}

static char *put_string(char *to, int field, const char *text)
{
    return put_bytes(to, field, text, fitting(text, NAME));
}

static void put_packet(struct bytes *out, const char *packet, const char *end)
{
    if (out->cap - out->n < PACKET + 16) {
        size_t cap = out->cap ? out->cap * 2 : 1 << 16;
        char *grown = out->failed ? NULL : realloc(out->at, cap);
        if (grown == NULL) {
            out->failed = true;
            return;
        }
        out->at = grown;
        out->cap = cap;
    }
    out->n = (size_t)(put_bytes(out->at + out->n, 1, packet, (size_t)(end - packet)) - out->at);
}

static void put_track(struct bytes *out, uint64_t uuid, uint64_t parent, const char *name)
{
    char track[PACKET], packet[PACKET];
    char *t = put_int(track, 1, uuid);
    t = put_string(t, 2, name);
    if (parent)
        t = put_int(t, 5, parent);
    if (uuid == PROCESS) {
        char process[PACKET];
        char *p = put_string(put_int(process, 1, (uint64_t)getpid()), 6, name);
        t = put_bytes(t, 3, process, (size_t)(p - process));
    }
    char *p = put_int(packet, 10, 1);
    put_packet(out, packet, put_bytes(p, 60, track, (size_t)(t - track)));
}

/* flow is leaves for > 0 what it leads to, comes from for < 0; 0: there is none. */
static void put_event(struct bytes *out, int64_t when, int type, uint64_t track, const char *name,
                      int64_t flow)
{
    char event[PACKET], packet[PACKET];
    char *e = put_int(put_int(event, 9, (uint64_t)type), 11, track);
    if (name)
        e = put_string(e, 23, name);
    if (flow > 0)
        e = put_fixed64(e, 47, (uint64_t)flow);
    else if (flow < 0)
        e = put_fixed64(e, 48, (uint64_t)-flow);
    char *p = put_int(put_int(packet, 8, (uint64_t)when), 10, 1);
    put_packet(out, packet, put_bytes(p, 11, event, (size_t)(e - event)));
}

/* ---- goroutines and Ps ---- */

static struct known *slot_of(struct writer *w, uint64_t id)
{
    size_t i = (size_t)(id * 0x9E3779B97F4A7C15u) & (w->size - 1);
    while (w->known[i].id && w->known[i].id != id)
        i = (i + 1) & (w->size - 1);
    return &w->known[i];
}

static bool grow(struct writer *w)
{
    struct known *was = w->known;
    size_t n = w->size;
    w->size = n ? n * 2 : 1024;
    w->known = calloc(w->size, sizeof(*w->known));
    if (w->known == NULL) {
        w->known = was;
        w->size = n;
        w->out->failed = true;
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (was[i].id)
            *slot_of(w, was[i].id) = was[i];
    free(was);
    return true;
}

/* NULL: there is no memory. */
static struct known *known_of(struct writer *w, uint64_t id)
{
    if (w->nknown * 2 >= w->size && !grow(w))
        return NULL;
    struct known *k = slot_of(w, id);
    if (k->id == 0) {
        *k = (struct known){.id = id, .p = -1};
        w->nknown++;
    }
    return k;
}

static const char *text_of(const char *const *texts, size_t n, uint64_t i) { return i < n ? texts[i] : "?"; }

static void name_of(struct writer *w, struct known *k, char *name)
{
    const char *site = k->site ? text_of(w->texts->sites, w->texts->nsites, k->site) : "goroutine";
    size_t n = (size_t)snprintf(name, NAME, "%llu ", (unsigned long long)k->id);
    size_t rest = fitting(site, NAME - 1 - n);
    memcpy(name + n, site, rest);
    name[n + rest] = 0;
}

static uint64_t track_of(struct writer *w, struct known *k)
{
    if (!k->named) {
        char name[NAME];
        k->named = true;
        name_of(w, k, name);
        put_track(w->out, GOROUTINES + k->id, ALL_GOROUTINES, name);
    }
    return GOROUTINES + k->id;
}

/* Regions last while their goroutine waits, so they have a track of their own, below the goroutine's. */
static uint64_t regions_of(struct writer *w, struct known *k)
{
    uint64_t parent = track_of(w, k);
    if (!k->has_regions) {
        k->has_regions = true;
        put_track(w->out, REGIONS + k->id, parent, "regions");
    }
    return REGIONS + k->id;
}

/* From `when` on k is in another state, which its track shows as `name`; NULL: as nothing. */
static void turn(struct writer *w, struct known *k, int64_t when, uint32_t state, const char *name,
                 int64_t flow)
{
    uint64_t track = track_of(w, k);
    if (k->open)
        put_event(w->out, when, SLICE_END, track, NULL, 0);
    k->open = name != NULL;
    if (name)
        put_event(w->out, when, SLICE_BEGIN, track, name, flow);
    k->state = state;
}

static uint64_t p_track(struct writer *w, uint64_t p)
{
    if (!w->p_named[p]) {
        char name[NAME];
        w->p_named[p] = true;
        snprintf(name, sizeof(name), "P %d", (int)p);
        put_track(w->out, FIRST_P + p, ALL_PS, name);
    }
    return FIRST_P + p;
}

static void leaves_p(struct writer *w, struct known *k, int64_t when)
{
    if (k->p < 0)
        return;
    put_event(w->out, when, SLICE_END, FIRST_P + (uint64_t)k->p, NULL, 0);
    w->on_p[k->p] = 0;
    k->p = -1;
}

/* No slice is open on p's track from here on. */
static void p_is_free(struct writer *w, uint64_t p, int64_t when)
{
    if (w->on_p[p]) /* what has ended that turn was not recorded */
        leaves_p(w, slot_of(w, w->on_p[p]), when);
    if (w->idle[p])
        put_event(w->out, when, SLICE_END, p_track(w, p), NULL, 0);
    w->idle[p] = false;
}

static void runs(struct writer *w, struct known *k, int64_t when, uint64_t p)
{
    char name[NAME];
    leaves_p(w, k, when);
    if (p < MAXPROCS) {
        p_is_free(w, p, when);
        name_of(w, k, name);
        put_event(w->out, when, SLICE_BEGIN, p_track(w, p), name, 0);
        w->on_p[p] = k->id;
        k->p = (int)p;
    }
    turn(w, k, when, RUNS, "running", -(int64_t)k->flow);
    k->flow = 0;
}

static const char *const ready_names[] = {[CAUSE_UNKNOWN] = "ready",
                                          [CAUSE_TIMER] = "ready: a timer",
                                          [CAUSE_POLL] = "ready: a descriptor",
                                          [CAUSE_THREAD] = "ready: a thread"};

static void is_ready(struct writer *w, struct known *k, int64_t when, uint64_t waker, uint64_t cause)
{
    char name[NAME];
    uint64_t id = k->id;
    struct known *by = waker ? known_of(w, waker) : NULL;
    k = slot_of(w, id); /* the table may have grown, and k with it is gone */
    if (by) {
        k->flow = ++w->flows;
        snprintf(name, sizeof(name), "readies %llu", (unsigned long long)k->id);
        put_event(w->out, when, INSTANT, track_of(w, by), name, (int64_t)k->flow);
    }
    if (k->state != RUNS)
        turn(w, k, when, READY, ready_names[cause <= CAUSE_THREAD ? cause : CAUSE_UNKNOWN], 0);
}

/* What is no goroutine's. */
static void write_p_event(struct writer *w, const struct traceevent *e)
{
    char name[NAME];
    uint64_t p = trace_more(e);
    if (trace_kind(e) == TRACE_GIL) {
        if (!w->gil_named)
            put_track(w->out, GIL, PROCESS, "waits for the GIL");
        w->gil_named = true;
        snprintf(name, sizeof(name), "%.1f us", (double)p * 1e-3);
        put_event(w->out, e->when, INSTANT, GIL, name, 0);
        return;
    }
    if (p >= MAXPROCS)
        return;
    switch (trace_kind(e)) {
    case TRACE_PSTOP:
        p_is_free(w, p, e->when);
        put_event(w->out, e->when, SLICE_BEGIN, p_track(w, p), "idle", 0);
        w->idle[p] = true;
        break;
    case TRACE_PSTART:
        p_is_free(w, p, e->when);
        break;
    case TRACE_STEAL:
        snprintf(name, sizeof(name), "steals %d", (int)trace_site(e));
        put_event(w->out, e->when, INSTANT, p_track(w, p), name, 0);
        break;
    case TRACE_HANDOFF:
        p_is_free(w, p, e->when);
        put_event(w->out, e->when, INSTANT, p_track(w, p), "handed off", 0);
        break;
    default:
        break;
    }
}

static void write_event(struct writer *w, const struct traceevent *e)
{
    uint64_t id = trace_id(e), more = trace_more(e);
    if (id == 0) {
        write_p_event(w, e);
        return;
    }
    struct known *k = known_of(w, id);
    if (k == NULL)
        return;
    switch (trace_kind(e)) {
    case TRACE_NEW:
        k->site = (uint32_t)trace_site(e);
        is_ready(w, k, e->when, more, CAUSE_UNKNOWN);
        break;
    case TRACE_RUN:
        runs(w, k, e->when, more);
        break;
    case TRACE_PARK:
        leaves_p(w, k, e->when);
        turn(w, k, e->when, more == WAIT_NONE ? READY : WAITS,
             more == WAIT_NONE ? "ready" : waitreason_name((uint8_t)more), 0);
        break;
    case TRACE_READY:
        is_ready(w, k, e->when, more, trace_site(e));
        break;
    case TRACE_END:
        leaves_p(w, k, e->when);
        turn(w, k, e->when, 0, NULL, 0);
        break;
    case TRACE_BEGIN:
        put_event(w->out, e->when, SLICE_BEGIN, regions_of(w, k),
                  text_of(w->texts->texts, w->texts->ntexts, more), 0);
        break;
    case TRACE_FINISH:
        put_event(w->out, e->when, SLICE_END, regions_of(w, k), NULL, 0);
        break;
    case TRACE_LOG:
        put_event(w->out, e->when, INSTANT, regions_of(w, k),
                  text_of(w->texts->texts, w->texts->ntexts, more), 0);
        break;
    default:
        break;
    }
}

void perfetto_write(const struct tracelog *log, const struct tracetexts *texts, struct bytes *out)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        out->failed = true;
        return;
    }
    w->texts = texts;
    w->out = out;
    put_track(out, PROCESS, 0, "gopy");
    put_track(out, ALL_PS, PROCESS, "Ps");
    put_track(out, ALL_GOROUTINES, PROCESS, "goroutines");
    for (size_t i = 0; i < log->n && !out->failed; i++)
        write_event(w, &log->events[i]);
    free(w->known);
    free(w);
}
