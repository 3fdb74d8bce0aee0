/* pytrace.c: traces, as a program starts and ends them, and the places that their events name.
 *
 * A site is a place in the program: where a goroutine was started and what it runs, or where one parks. An event has
 * its number. The table of sites is made when a trace starts and holds references to what it names, until the trace
 * ends; it never grows, so it is read without a lock: a slot is stored after its entry. */
#include "pytrace.h"

#include <stdlib.h>

#include "pycoroutine.h"
#include "pycreator.h"
#include "pyerror.h"
#include "pyop.h"
#include "pyversion.h"
#include "runtime/host.h"

#define SITES 32768 /* entries; 0 is the unknown one */
#define SLOTS (2 * SITES)

struct site {
    PyObject *what; /* a code object, or of what is no function of Python its type */
    PyCodeObject *by;
    uint32_t unit;
    bool made; /* a goroutine was started: it runs `what`, and `by` has started it */
};

static struct sites {
    struct lock lock;
    uint32_t n;
    struct site entries[SITES];
    uint32_t slots[SLOTS];
} *sites; /* NULL: nothing is traced */

static bool same(const struct site *a, const struct site *b)
{
    return a->what == b->what && a->by == b->by && a->unit == b->unit && a->made == b->made;
}

static uint32_t number_of(const struct site *site)
{
    struct sites *all = sites;
    if (all == NULL)
        return 0;
    uint64_t hash =
        ((uintptr_t)site->what ^ (uintptr_t)site->by << 7 ^ (uint64_t)site->unit << 20 ^ site->made);
    uint32_t i = (uint32_t)(hash * 0x9E3779B97F4A7C15u >> 32) & (SLOTS - 1), n;
    for (; (n = aload(&all->slots[i])) != 0; i = (i + 1) & (SLOTS - 1))
        if (same(&all->entries[n], site))
            return n;
    lock(&all->lock);
    while ((n = all->slots[i]) != 0 && !same(&all->entries[n], site))
        i = (i + 1) & (SLOTS - 1);
    if (n == 0 && all->n < SITES) {
        n = all->n++;
        all->entries[n] = *site;
        Py_INCREF(site->what);
        Py_XINCREF(site->by);
        astore(&all->slots[i], n);
    }
    unlock(&all->lock);
    return n;
}

/* What tells what fn is, borrowed. */
static PyObject *what_runs(PyObject *fn)
{
    if (PyMethod_Check(fn))
        fn = PyMethod_GET_FUNCTION(fn);
    if (PyFunction_Check(fn))
        return PyFunction_GET_CODE(fn);
    return (PyObject *)Py_TYPE(fn);
}

uint32_t host_trace_made(struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    struct site site = {.by = go->creator_code, .unit = creator_unit(go), .made = true};
    BEGIN_EXCLUSIVE(go);
    site.what = go->fn ? what_runs(go->fn) : (PyObject *)&Goroutine_Type;
    END_EXCLUSIVE();
    return number_of(&site);
}

#if !GOPY_THREADED
/* Where goroutines have lately parked, in code that is not gopy's own: to find its site in the table takes twice as long.
 * The table keeps the code. */
#define RECENT 256
static struct {
    PyCodeObject *code;
    uint32_t unit, site;
} recent[RECENT];
#endif

static void forget_recent(void)
{
#if !GOPY_THREADED
    memset(recent, 0, sizeof(recent));
#endif
}

static uint32_t find_here(void)
{
    struct site site = {.made = false};
    PyCodeObject *code = creator_here(&site.unit);
    if (code == NULL)
        return 0;
    site.what = (PyObject *)code;
    uint32_t n = number_of(&site);
    Py_DECREF(code);
    return n;
}

uint32_t host_trace_here(void)
{
#if GOPY_THREADED
    return find_here();
#else
    uint32_t unit;
    PyCodeObject *code = creator_running(&unit);
    size_t i = ((uintptr_t)code >> 4 ^ unit) % RECENT;
    if (likely(code && recent[i].code == code && recent[i].unit == unit))
        return recent[i].site;
    uint32_t n = find_here();
    if (n && !creator_is_own(code)) {
        recent[i].code = code;
        recent[i].unit = unit;
        recent[i].site = n;
    }
    return n;
#endif
}

/* A stackless one that has no worker waits for what it has awaited: where it was when that was made. That may have been in
 * an earlier trace. */
uint32_t host_trace_parks(struct g *gp)
{
    Goroutine *go = goroutine_of(gp);
    if (gp->kind != GSTACKLESS || go->worker)
        return host_trace_here();
    uint32_t site = go->awaiting ? go->awaiting->site : 0;
    return sites && site < sites->n ? site : 0;
}

/* What is there when a trace begins. Of goroutines that are alive their making is told, and what they are doing: those that
 * neither wait nor run are ready. */
static void tell_of_all(struct m *mp)
{
    for (int i = 0; i < ALLG_SHARDS; i++)
        for (struct g *gp = sched.allg[i].first; gp; gp = gp->allnext) {
            Goroutine *go = goroutine_of(gp);
            trace_add(mp, TRACE_NEW, gp->id, creator_id(go) | (uint64_t)host_trace_made(gp) << TRACE_ID_BITS);
            if (apeek(&gp->status) == Gwaiting)
                trace_add(mp, TRACE_PARK, gp->id, gp->reason & ~WAIT_FLAGS);
        }
    for (struct m *each = sched.allm; each; each = each->allnext)
        if (each->curg && each->curg->kind != GSYSTEM)
            trace_add(mp, TRACE_RUN, each->curg->id, each->p ? (uint64_t)each->p->id : MAXPROCS);
    for (int i = 0; i < sched.gomaxprocs; i++)
        if (sched.allp[i]->status == Pidle)
            trace_add(mp, TRACE_PSTOP, 0, (uint64_t)i);
}

/* trace_start(bytes). RuntimeError: there is a trace already. */
static PyObject *core_trace_start(PyObject *self, PyObject *arg)
{
    (void)self;
    size_t bytes = PyLong_AsSize_t(arg);
    if (bytes == (size_t)-1 && PyErr_Occurred())
        return NULL;
    if (host_is_main_thread() && getg_or_raise() == NULL) /* regions and logs are goroutines', main's too */
        return NULL;
    struct sites *made = PyMem_RawCalloc(1, sizeof(*made));
    if (made == NULL)
        return PyErr_NoMemory();
    made->n = 1;
    world_stop();
    bool first = sites == NULL;
    if (first) {
        sites = made;
        trace_begin(bytes);
        tell_of_all(getm());
    }
    world_start();
    if (!first) {
        PyMem_RawFree(made);
        PyErr_SetString(PyExc_RuntimeError, "a trace is being recorded already");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *not_tracing(void)
{
    PyErr_SetString(PyExc_RuntimeError, "no trace is being recorded");
    return NULL;
}

/* [(code or type, the code that has started it or None, code unit, whether a goroutine was made), ...] */
static PyObject *sites_list(void)
{
    PyObject *list = PyList_New((Py_ssize_t)sites->n);
    for (uint32_t i = 0; list && i < sites->n; i++) {
        struct site *site = &sites->entries[i];
        PyObject *one = Py_BuildValue("(OOIO)", site->what ? site->what : Py_None,
                                      site->by ? (PyObject *)site->by : Py_None, site->unit,
                                      site->made ? Py_True : Py_False);
        if (one == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    return list;
}

/* Have events count texts from `first` on. The last number that there is stands for what is forgotten. */
static void number_texts(struct tracelog *log, uint64_t first)
{
    for (size_t i = 0; i < log->n; i++) {
        struct traceevent *e = &log->events[i];
        if (trace_kind(e) == TRACE_BEGIN || trace_kind(e) == TRACE_LOG)
            e->more = e->more >= first ? e->more - first : ((uint64_t)1 << TRACE_ID_BITS) - 1;
    }
}

/* trace_collect(first): (the events as bytes, how many older ones were dropped, the sites). Texts have their numbers less
 * `first`. Another thread may end the trace as soon as the world goes on. */
static PyObject *core_trace_collect(PyObject *self, PyObject *arg)
{
    (void)self;
    struct tracelog log = {0};
    unsigned long long first = PyLong_AsUnsignedLongLong(arg);
    if (first == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    PyObject *list = NULL;
    COLLECTIONS_PAUSE();
    world_stop();
    bool traced = sites != NULL, ok = traced && trace_collect(&log);
    if (ok)
        list = sites_list();
    world_start();
    COLLECTIONS_GO_ON();
    if (!traced)
        return not_tracing();
    if (!ok)
        return PyErr_NoMemory();
    number_texts(&log, first);
    PyObject *r =
        list ? Py_BuildValue("(y#KN)", (char *)log.events, (Py_ssize_t)(log.n * sizeof(struct traceevent)),
                             (unsigned long long)log.dropped, list)
             : NULL;
    free(log.events);
    return r;
}

static PyObject *core_trace_stop(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    world_stop();
    struct sites *was = sites;
    sites = NULL;
    trace_end();
    forget_recent();
    world_start();
    if (was == NULL)
        return not_tracing();
    for (uint32_t i = 0; i < was->n; i++) {
        Py_XDECREF(was->entries[i].what);
        Py_XDECREF(was->entries[i].by);
    }
    PyMem_RawFree(was);
    Py_RETURN_NONE;
}

/* trace_mark(kind, number): this goroutine begins or ends a region, or logs. */
static PyObject *core_trace_mark(PyObject *self, PyObject *args)
{
    (void)self;
    int kind;
    unsigned long long number;
    if (!PyArg_ParseTuple(args, "iK:trace_mark", &kind, &number))
        return NULL;
    struct m *mp = getm();
    if (mp && mp->curg)
        trace_event(mp, (enum tracekind)kind, mp->curg->id, number);
    Py_RETURN_NONE;
}

/* The UTF-8 of each str of a list, to be freed; NULL: raised. */
static const char **texts_of(PyObject *list)
{
    Py_ssize_t n = PyList_GET_SIZE(list);
    const char **texts = PyMem_RawMalloc((size_t)(n + 1) * sizeof(*texts));
    if (texts == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; texts && i < n; i++)
        if ((texts[i] = PyUnicode_AsUTF8(PyList_GET_ITEM(list, i))) == NULL) {
            PyMem_RawFree(texts);
            return NULL;
        }
    return texts;
}

/* trace_perfetto(events, names of the sites, texts): packets of Perfetto's. */
static PyObject *core_trace_perfetto(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *names, *texts, *r = NULL;
    Py_buffer events;
    if (!PyArg_ParseTuple(args, "y*O!O!:trace_perfetto", &events, &PyList_Type, &names, &PyList_Type, &texts))
        return NULL;
    struct tracetexts all = {.sites = texts_of(names),
                             .nsites = (size_t)PyList_GET_SIZE(names),
                             .ntexts = (size_t)PyList_GET_SIZE(texts)};
    all.texts = all.sites ? texts_of(texts) : NULL;
    if (all.texts) {
        struct tracelog log = {.events = events.buf, .n = (size_t)events.len / sizeof(struct traceevent)};
        struct bytes out = {0};
        perfetto_write(&log, &all, &out);
        r = out.failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize(out.at, (Py_ssize_t)out.n);
        free(out.at);
    }
    PyMem_RawFree((void *)all.sites);
    PyMem_RawFree((void *)all.texts);
    PyBuffer_Release(&events);
    return r;
}

/* The texts of enum waitreason. */
static PyObject *core_wait_reasons(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    PyObject *list = PyList_New(0);
    for (int i = WAIT_NONE; list && i <= WAIT_SYNCTEST_WAIT; i++) {
        PyObject *text = PyUnicode_FromString(waitreason_name((uint8_t)i));
        if (text == NULL || PyList_Append(list, text) < 0)
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

/* The trace is the parent's, and so is what it holds. */
void trace_fork_child(void)
{
    sites = NULL;
    forget_recent();
}

PyMethodDef trace_functions[] = {
    {"wait_reasons", core_wait_reasons, METH_NOARGS, NULL},
    {"trace_start", core_trace_start, METH_O, NULL},
    {"trace_collect", core_trace_collect, METH_O, NULL},
    {"trace_stop", core_trace_stop, METH_NOARGS, NULL},
    {"trace_mark", core_trace_mark, METH_VARARGS, NULL},
    {"trace_perfetto", core_trace_perfetto, METH_VARARGS, NULL},
    {0},
};
