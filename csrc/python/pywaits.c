/* pywaits.c: profiles of waits. After Go's block and mutex profiles.
 *
 * For each stack and wait reason, how often somebody has waited and for how long: in the block profile by the stack of
 * who waited, as it was when the wait was over; in the mutex profile by the stack of who unlocked, whose fault it was.
 * While nobody counts, this costs a look at sched.profiling where a wait has ended.
 *
 * A table is made when a profile starts, never grows, and holds references to the code objects in it until the profile
 * ends. It comes, is read and goes only while no other thread runs: who counts is attached and does not detach within.
 * Nothing here runs Python code, since whoever counts is in the midst of an operation: so no collection either. */
#include "pywaits.h"

#include "pyargs.h"
#include "pycoroutine.h"
#include "pyerror.h"
#include "pyg.h"
#include "pyversion.h"

#define STACKS 8192 /* what comes when they are full is counted without its stack */
#define SLOTS (2 * STACKS)
#define PLACES (16 * STACKS)
#define DEPTH 128 /* the newest frames of a stack */

struct place {
    PyCodeObject *code;
    int lasti; /* bytes */
};

struct stack {
    uint64_t hash, count; /* count 0: a free slot */
    int64_t total, longest;
    uint32_t first, depth; /* its places, the newest first */
    uint32_t reason;
};

static struct waits {
    struct lock lock;
    int64_t least, since; /* shorter waits do not count; nor does what was before this */
    uint32_t nstacks, nplaces;
    struct stack stacks[SLOTS];
    struct place places[PLACES];
} *tables[PROFILE_MUTEX + 1]; /* by enum profile; NULL: nobody counts */

/* ---- stacks ---- */

/* Takes over code. */
static void add_place(struct place *places, uint32_t *n, PyFrameObject *frame, PyCodeObject *code)
{
    places[(*n)++] = (struct place){code, PyFrame_GetLasti(frame)};
}

/* The frames of this goroutine. */
static uint32_t stack_here(struct place *places)
{
    uint32_t n = 0;
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    while (frame && n < DEPTH) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        add_place(places, &n, frame, code);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return n;
}

/* The frames of a suspended coroutine and of what it awaits. */
static uint32_t stack_awaiting(PyObject *coro, struct place *places)
{
    uint32_t n = 0;
    PyObject *at = new_ref(coro);
    while (at && n < DEPTH) {
        PyObject *next, *frame = coroutine_frame(at, &next);
        if (frame)
            add_place(places, &n, (PyFrameObject *)frame, PyFrame_GetCode((PyFrameObject *)frame));
        Py_XDECREF(frame);
        Py_DECREF(at);
        at = next;
    }
    Py_XDECREF(at);
    for (uint32_t i = 0; i < n / 2; i++) {
        struct place swapped = places[i];
        places[i] = places[n - 1 - i];
        places[n - 1 - i] = swapped;
    }
    return n;
}

/* gp's, which goes on, or that of who is here. References to the code objects are the caller's. */
static uint32_t stack_of(struct g *gp, enum profile kind, struct place *places)
{
    if (kind == PROFILE_BLOCK && gp->kind == GSTACKLESS && goroutine_of(gp)->worker == NULL)
        return stack_awaiting(goroutine_of(gp)->fn, places);
    return stack_here(places);
}

static uint64_t hash_of(const struct place *places, uint32_t depth, uint32_t reason)
{
    uint64_t hash = reason;
    for (uint32_t i = 0; i < depth; i++)
        hash = (hash ^ (uintptr_t)places[i].code ^ (uint64_t)(uint32_t)places[i].lasti << 48) *
               0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static bool same_places(const struct place *a, const struct place *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (a[i].code != b[i].code || a[i].lasti != b[i].lasti)
            return false;
    return true;
}

/* ---- counting ---- */

static struct stack *find_locked(struct waits *w, const struct place *places, uint32_t depth, uint32_t reason)
{
    uint64_t hash = hash_of(places, depth, reason);
    for (uint32_t i = (uint32_t)hash & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
        struct stack *s = &w->stacks[i];
        if (s->count == 0) {
            if (depth && (w->nstacks == STACKS || w->nplaces + depth > PLACES))
                return find_locked(w, NULL, 0, reason);
            *s = (struct stack){.hash = hash, .first = w->nplaces, .depth = depth, .reason = reason};
            for (uint32_t j = 0; j < depth; j++) {
                w->places[w->nplaces++] = places[j];
                Py_INCREF(places[j].code);
            }
            w->nstacks += depth > 0;
            return s;
        }
        if (s->hash == hash && s->reason == reason && s->depth == depth &&
            same_places(&w->places[s->first], places, depth))
            return s;
    }
}

static void count(struct waits *w, const struct place *places, uint32_t depth, uint32_t reason, int64_t ns)
{
    lock(&w->lock);
    struct stack *s = find_locked(w, places, depth, reason);
    s->count++;
    s->total += ns;
    if (s->longest < ns)
        s->longest = ns;
    unlock(&w->lock);
}

void host_profile_wait(struct g *gp, enum profile kind)
{
    struct waits *w = tables[kind];
    uint32_t reason = gp->reason & ~(uint32_t)WAIT_FLAGS;
    if (w == NULL || reason == WAIT_NONE || gp->kind == GSYSTEM)
        return;
    int64_t since = apeek(&gp->waitsince), ns = nanotime() - (since > w->since ? since : w->since);
    if (ns < w->least)
        return;
    struct place places[DEPTH];
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    COLLECTIONS_PAUSE();
    uint32_t depth = stack_of(gp, kind, places);
    count(w, places, depth, reason, ns > 0 ? ns : 0);
    for (uint32_t i = 0; i < depth; i++)
        Py_DECREF(places[i].code);
    COLLECTIONS_GO_ON();
    PyErr_Restore(type, exc, tb);
}

/* ---- for gopy.debug ---- */

static void drop(struct waits *w)
{
    for (uint32_t i = 0; w && i < w->nplaces; i++)
        Py_DECREF(w->places[i].code);
    PyMem_RawFree(w);
}

/* `kind` is an enum profile's. */
static int parse_kind(PyObject *arg)
{
    long kind = PyLong_AsLong(arg);
    if (kind == PROFILE_BLOCK || kind == PROFILE_MUTEX)
        return (int)kind;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "waits: no such profile");
    return -1;
}

/* waits(kind, seconds or None): count waits that are at least so long. What was counted stays, until None. */
static PyObject *core_waits(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    int64_t least = 0;
    int kind = check_nargs("waits", nargs, 2) ? parse_kind(args[0]) : -1;
    bool on = kind > 0 && args[1] != Py_None;
    if (kind < 0 || (on && parse_duration(args[1], "rate", &least) < 0))
        return NULL;
    struct waits *w = on ? PyMem_RawCalloc(1, sizeof(*w)) : NULL;
    if (on && w == NULL)
        return PyErr_NoMemory();
    world_stop();
    if (on && tables[kind]) {
        tables[kind]->least = least;
    } else {
        struct waits *was = tables[kind];
        if (on) {
            w->least = least;
            w->since = nanotime();
        }
        tables[kind] = w;
        uint32_t others = sched.profiling & ~(uint32_t)kind;
        real_store(&sched.profiling, on ? others | (uint32_t)kind : others);
        w = was;
    }
    world_start();
    drop(w);
    Py_RETURN_NONE;
}

static PyObject *places_list(const struct place *places, uint32_t depth)
{
    PyObject *list = PyList_New((Py_ssize_t)depth);
    for (uint32_t i = 0; list && i < depth; i++) {
        PyCodeObject *code = places[i].code;
        PyObject *one = Py_BuildValue("(Oi)", code, PyCode_Addr2Line(code, places[i].lasti));
        if (one == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    return list;
}

/* waited(kind): [(the number of the reason, how often, seconds, the longest of them, [(code, line), ...] the newest
 * first), ...]; None: nobody counts. */
static PyObject *core_waited(PyObject *self, PyObject *arg)
{
    (void)self;
    int kind = parse_kind(arg);
    if (kind < 0)
        return NULL;
    PyObject *list = PyList_New(0);
    COLLECTIONS_PAUSE();
    world_stop();
    struct waits *w = tables[kind];
    for (uint32_t i = 0; w && list && i < SLOTS; i++) {
        struct stack *s = &w->stacks[i];
        if (s->count == 0)
            continue;
        PyObject *places = places_list(&w->places[s->first], s->depth);
        PyObject *one = places ? Py_BuildValue("(IKddN)", s->reason, (unsigned long long)s->count,
                                               (double)s->total * 1e-9, (double)s->longest * 1e-9, places)
                               : NULL;
        if (one == NULL || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    world_start();
    COLLECTIONS_GO_ON();
    if (w == NULL && list)
        Py_SETREF(list, new_ref(Py_None));
    return list;
}

/* A profile is the parent's. Another thread may have held the lock of its table: it is left where it lies. */
void waits_fork_child(void) { memset(tables, 0, sizeof(tables)); }

PyMethodDef waits_functions[] = {
    {"waits", FAST(core_waits), NULL},
    {"waited", core_waited, METH_O, NULL},
    {0},
};
