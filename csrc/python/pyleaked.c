/* pyleaked.c: for gopy/_leaked.py: all objects that the collector knows of, what refers to what, and what parked goroutines
 * refer to and wait for, as it is at one moment.
 *
 * Invariant: between the first object and the last no Python code runs, nothing of Python's is allocated or freed, and
 * no goroutine changes its place: with a GIL because it is held, without one because the collector stops the world
 * for whom it shows its objects to. So all is written to `words`, and becomes objects of Python's afterwards. */
#include "pyleaked.h"

#include <stdlib.h>

#include "pyawait.h"
#include "pychan.h"
#include "pycond.h"
#include "pyerror.h"
#include "pylock.h"
#include "pyonce.h"
#include "pyparked.h"
#include "pyselect.h"
#include "pyversion.h"
#include "pywaitgroup.h"

struct look {
    PyObject *goroutines; /* a list */
    void **suspended;     /* suspended_frame() of each */
    PyObject *probe;      /* an object that nobody else refers to */
    Py_ssize_t own;       /* so many references to each object in nodes are of who shows it */
    bool begun;
    struct words nodes;  /* of each object: its address, its references, and the end of its part of edges */
    struct words edges;  /* what the objects refer to */
    struct words excess; /* what is in edges, but is not counted */
    struct words
        parked; /* of each goroutine that is known: its index, and the ends of its parts of refs and waits */
    struct references refs;
    struct words waits; /* an address and its references */
    struct words
        bound; /* the methods of a `with`, bound to a lock: address, the lock, whether it is __exit__ */
};

/* ---- what a parked goroutine waits for ---- */

static bool is_lock(PyTypeObject *type)
{
    return type == &Mutex_Type || type == &RWMutex_Type || type == &WaitGroup_Type || type == &Once_Type;
}

static void add_waited(struct look *look, PyObject *o)
{
    words_add(&look->waits, (uintptr_t)o);
    words_add(&look->waits, (uint64_t)Py_REFCNT(o));
}

/* What has to be reachable for o, which is waited for, to become ready: nothing if it never does. false: that is not known. */
static bool wait_for(struct look *look, PyObject *o, uint8_t reason)
{
    PyTypeObject *type = Py_TYPE(o);
    if (PyType_IsSubtype(type, &ChanBase_Type)) {
        PyChan *ch = (PyChan *)o;
        if (ch->c && chan_timed(ch->c))
            return false;
        if (ch->c)
            add_waited(look, (PyObject *)ch->owner);
        return true;
    }
    /* A Cond's waiter may wait for L by now. */
    if (!is_lock(type) && type != &Goroutine_Type && !(type == &Cond_Type && reason == WAIT_SYNC_COND_WAIT))
        return false;
    add_waited(look, o);
    return true;
}

/* A select's channels, by its sudogs, and the values that it sends, which they hold. */
static bool wait_for_cases(struct look *look, struct gwait *wait)
{
    for (uint32_t i = 0; i < wait->nsudogs; i++) {
        struct sudog *sg = &wait->sudogs[i];
        if (sg->q == NULL) /* a nil channel's */
            continue;
        size_t at = sg->elem ? offsetof(struct hchan, sendq) : offsetof(struct hchan, recvq);
        struct hchan *c = (struct hchan *)(void *)((char *)sg->q - at);
        if (chan_timed(c))
            return false;
        add_waited(look, (PyObject *)(void *)((char *)c - offsetof(PyChan, own)));
        if (sg->elem)
            words_add(&look->refs.held, (uintptr_t)sg->elem);
    }
    return true;
}

static bool wait_of(struct look *look, Goroutine *go)
{
    struct g *gp = &go->g;
    struct gwait *wait = gp->wait;
    uint8_t reason = gp->reason & ~WAIT_FLAGS;
    PyAwait *a = go->awaiting;
    PyObject *o = wait->obj;
    if (gp->kind == GSTACKLESS) {
        if (a == NULL || go->worker || a->op->deadline != NEVER || a->task)
            return false;
        o = a->op->obj;
    } else if (go->worker == NULL || wait->timer.heap) {
        return false;
    }
    if (reason == WAIT_SELECT || reason == WAIT_SELECT_NO_CASES)
        return wait_for_cases(look, wait);
    if (reason == WAIT_CHAN_SEND && wait->sg.elem)
        words_add(&look->refs.held, (uintptr_t)wait->sg.elem);
    return o && wait_for(look, o, reason);
}

/* ---- what it refers to ---- */

static void look_at_goroutine(struct look *look, Py_ssize_t i)
{
    Goroutine *go = (Goroutine *)PyList_GET_ITEM(look->goroutines, i);
    struct look before = *look;
    bool parked = go->g.kind <= GSTACKLESS && &go->g != sched.g1 && aload(&go->g.status) == Gwaiting &&
                  aload(&go->g.armed);
    if (!parked || !wait_of(look, go) ||
        (go->g.kind == GSTACKFUL && !frames_references(go, look->suspended[i], &look->refs))) {
        look->refs.held.n = before.refs.held.n;
        look->waits.n = before.waits.n;
        return;
    }
    PyObject *const own[] = {go->fn, go->args, go->context, (PyObject *)go->awaiting, go->group};
    for (size_t k = 0; k < sizeof(own) / sizeof(*own); k++)
        if (own[k])
            words_add(&look->refs.held, (uintptr_t)own[k]);
    words_add(&look->parked, (uint64_t)i);
    words_add(&look->parked, look->refs.held.n);
    words_add(&look->parked, look->refs.loose.n);
    words_add(&look->parked, look->refs.calls.n);
    words_add(&look->parked, look->waits.n);
}

/* ---- what objects refer to ---- */

static int add_edge(PyObject *o, void *arg)
{
    struct look *look = arg;
    if (PyType_IS_GC(Py_TYPE(o)) || is_lock(Py_TYPE(o)))
        words_add(&look->edges, (uintptr_t)o);
    return 0;
}

static void add_bound(struct look *look, PyObject *o)
{
    PyObject *lock = PyCFunction_GET_SELF(o);
    const char *name = ((PyCFunctionObject *)o)->m_ml->ml_name;
    bool exits = strcmp(name, "__exit__") == 0;
    if (lock == NULL || !is_lock(Py_TYPE(lock)) || !(exits || strcmp(name, "__enter__") == 0))
        return;
    words_add(&look->bound, (uintptr_t)o);
    words_add(&look->bound, (uintptr_t)lock);
    words_add(&look->bound, exits);
}

/* A greenlet shows its frames, or does not, according to the version; what stands for suspended frames shows what they
 * do not count. Neither is looked into: what they refer to is held by somebody unknown. */
static int add_node(PyObject *o, void *arg)
{
    struct look *look = arg;
    if (!look->begun) {
        look->begun = true;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(look->goroutines); i++)
            look_at_goroutine(look, i);
    }
    if (o == look->probe)
        look->own = Py_REFCNT(o) - 1;
    words_add(&look->nodes, (uintptr_t)o);
    words_add(&look->nodes, (uint64_t)Py_REFCNT(o));
    if (Py_TYPE(o)->tp_traverse && !is_greenlet(o) && !is_frames_root(o)) {
        Py_TYPE(o)->tp_traverse(o, add_edge, look);
        uncounted_references(o, &look->excess);
    }
    if (PyWeakref_Check(o)) { /* whoever has it may get at the object */
        PyObject *referent = ((PyWeakReference *)o)->wr_object;
        add_edge(referent, look);
        words_add(&look->excess, (uintptr_t)referent);
    }
    if (WITH_IS_IN_C && PyCFunction_Check(o))
        add_bound(look, o);
    words_add(&look->nodes, look->edges.n);
    return 1;
}

static bool look_at_heap(struct look *look)
{
#if SHOWS_OBJECTS
    PyUnstable_GC_VisitObjects(add_node, look);
    return true;
#else
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *objects = gc ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    for (Py_ssize_t i = 0; objects && i < PyList_GET_SIZE(objects); i++)
        add_node(PyList_GET_ITEM(objects, i), look);
    Py_XDECREF(gc);
    Py_XDECREF(objects);
    return objects != NULL;
#endif
}

/* ---- telling Python ---- */

static PyObject *bytes_of(struct words *w)
{
    return PyBytes_FromStringAndSize((const char *)w->at, (Py_ssize_t)(w->n * sizeof(*w->at)));
}

/* The codes of the stacks in calls, in their order. */
static PyObject *codes_of(struct words *calls)
{
    PyObject *codes = PyList_New(0);
    for (size_t i = 0; codes && i < calls->n; i += 4 + (size_t)calls->at[i + 3])
        if (PyList_Append(codes, (PyObject *)(uintptr_t)calls->at[i]) < 0)
            Py_CLEAR(codes);
    return codes;
}

static PyObject *result_of(struct look *look)
{
    struct words *all[] = {&look->nodes,      &look->edges,     &look->excess,
                           &look->parked,     &look->refs.held, &look->refs.loose,
                           &look->refs.calls, &look->waits,     &look->bound};
    PyObject *result = PyTuple_New(11);
    for (int i = 0; result && i < 9; i++) {
        PyObject *bytes = all[i]->failed ? PyErr_NoMemory() : bytes_of(all[i]);
        if (bytes == NULL)
            Py_CLEAR(result);
        else
            PyTuple_SET_ITEM(result, i, bytes);
    }
    if (result) {
        PyTuple_SET_ITEM(result, 9, codes_of(&look->refs.calls));
        PyTuple_SET_ITEM(result, 10, PyLong_FromSsize_t(look->own));
    }
    if (PyErr_Occurred())
        Py_CLEAR(result);
    return result;
}

static void look_free(struct look *look)
{
    Py_XDECREF(look->probe);
    free(look->suspended);
    free(look->nodes.at);
    free(look->edges.at);
    free(look->excess.at);
    free(look->parked.at);
    free(look->refs.held.at);
    free(look->refs.loose.at);
    free(look->refs.calls.at);
    free(look->waits.at);
    free(look->bound.at);
}

/* heap(goroutines) -> the arrays of struct look, as bytes, the codes of the calls, and `own`. No finalizer runs meanwhile: it
 * could park this goroutine, and others would leave where they are suspended. */
static PyObject *core_heap(PyObject *self, PyObject *goroutines)
{
    (void)self;
    struct look look = {.goroutines = goroutines};
    Py_ssize_t n = PyList_GET_SIZE(goroutines);
    look.suspended = calloc((size_t)n + 1, sizeof(*look.suspended));
    look.probe = PyList_New(0);
    if (look.suspended == NULL || look.probe == NULL) {
        look_free(&look);
        return PyErr_NoMemory();
    }
    int gc = PyGC_Disable();
    freeze_switches();
    for (Py_ssize_t i = 0; i < n; i++)
        look.suspended[i] = suspended_frame((Goroutine *)PyList_GET_ITEM(goroutines, i));
    PyErr_Clear();
    PyObject *result = look_at_heap(&look) ? result_of(&look) : NULL;
    thaw_switches();
    if (gc)
        PyGC_Enable();
    look_free(&look);
    return result;
}

PyMethodDef leaked_functions[] = {
    {"heap", core_heap, METH_O, NULL},
    {0},
};
