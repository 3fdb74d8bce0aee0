/* pylocals.c: threading.local, which CPython keeps for each thread, and a goroutine has of its own once the program is patched.
 *
 * Invariant, once `locals_owned`: the thread state holds the locals of the goroutine that runs on it. Whoever parks takes
 * them along, to its worker if it keeps one, else to itself (locals_pack); one that ends drops them. So objects of
 * threading.local need not know of goroutines, be they made before the program was patched, of a subclass, or C's. */
#include "pylocals.h"

#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pyerror.h"
#include "pyeventloop.h"

#define MOST_DROPS 8 /* what is dropped may come to use locals again */

bool locals_owned;

#if LOCALS_BY_KEY
static void list_add(struct locals *l) { (void)l; }
static void list_remove(struct locals *l) { (void)l; }
#else
static struct locals *listed;

static void list_add(struct locals *l)
{
    if ((l->next = listed) != NULL)
        listed->at = &l->next;
    l->at = &listed;
    listed = l;
}

static void list_remove(struct locals *l)
{
    if (l->next)
        l->next->at = l->at;
    *l->at = l->next;
}
#endif

void locals_move_out(PyThreadState *ts, struct locals *to)
{
    to->dict = ts->dict;
    ts->dict = NULL;
#if LOCALS_BY_KEY
    to->key = ts->threading_local_key;
    to->sentinel = ts->threading_local_sentinel;
    ts->threading_local_key = ts->threading_local_sentinel = NULL;
#endif
    list_add(to);
}

/* What the thread state holds is nobody's: it is of the time before the program was patched. */
void locals_move_in(PyThreadState *ts, struct locals *from)
{
    struct locals old = {.dict = ts->dict};
    list_remove(from);
    ts->dict = from->dict;
    from->dict = NULL;
#if LOCALS_BY_KEY
    old.key = ts->threading_local_key;
    old.sentinel = ts->threading_local_sentinel;
    ts->threading_local_key = from->key;
    ts->threading_local_sentinel = from->sentinel;
    from->key = from->sentinel = NULL;
    Py_XDECREF(old.key);
    Py_XDECREF(old.sentinel);
#endif
    Py_XDECREF(old.dict);
}

void locals_drop_here(PyThreadState *ts)
{
    for (int i = 0; i < MOST_DROPS && locals_here(ts); i++) {
        eventloop_forget(ts);
        PyObject *dict = ts->dict;
        ts->dict = NULL;
#if LOCALS_BY_KEY
        PyObject *key = ts->threading_local_key, *sentinel = ts->threading_local_sentinel;
        ts->threading_local_key = ts->threading_local_sentinel = NULL;
        Py_XDECREF(key);
        Py_XDECREF(sentinel);
#endif
        Py_XDECREF(dict);
    }
}

/* ---- of a goroutine that keeps no worker ---- */

static void free_packed(PyObject *capsule)
{
    struct locals *l = PyCapsule_GetPointer(capsule, NULL);
    list_remove(l);
#if LOCALS_BY_KEY
    Py_XDECREF(l->key);
    Py_XDECREF(l->sentinel);
#endif
    Py_XDECREF(l->dict);
    free(l);
}

PyObject *locals_pack(PyThreadState *ts)
{
    if (likely(!locals_here(ts)))
        return NULL;
    for (;;) {
        struct locals *l = malloc(sizeof(*l));
        PyObject *capsule = l ? PyCapsule_New(l, NULL, free_packed) : NULL;
        if (capsule) {
            locals_move_out(ts, l);
            return capsule;
        }
        free(l);
        PyErr_Clear();
        nap(0);
    }
}

void locals_unpack(PyThreadState *ts, PyObject *packed)
{
    struct locals *l = PyCapsule_GetPointer(packed, NULL);
    locals_move_in(ts, l);
    PyCapsule_SetDestructor(packed, NULL);
    free(l);
    Py_DECREF(packed);
}

/* ---- objects of threading.local that go before those who have used them ---- */

#if LOCALS_BY_KEY
static bool watch_locals(void) { return true; }
#else
/* Up to 3.12 such an object, as it goes, takes its entry out of the dict of each thread state, where it finds it by its own
 * address. An entry that it left behind would be found by the next object at that address, and refers to what is no more. */
static destructor local_dealloc;

static void forget_local(PyObject *local)
{
    PyObject *key = PyUnicode_FromFormat("thread.local.%p", local), *dicts = key ? PyList_New(0) : NULL;
    bool ok = dicts != NULL;
    for (struct locals *l = listed; ok && l; l = l->next)
        if (l->dict && PyDict_GetItemWithError(l->dict, key))
            ok = PyList_Append(dicts, l->dict) == 0;
    for (Py_ssize_t i = 0; ok && i < PyList_GET_SIZE(dicts); i++) {
        PyObject *entry = _PyDict_Pop(PyList_GET_ITEM(dicts, i), key, Py_None);
        ok = entry != NULL;
        Py_XDECREF(entry);
    }
    if (!ok)
        PyErr_WriteUnraisable(local);
    Py_XDECREF(key);
    Py_XDECREF(dicts);
}

static void dealloc_local(PyObject *local)
{
    PyObject *exc = PyErr_Occurred() ? fetch_exception() : NULL;
    Py_SET_REFCNT(local, 1); /* while Python may run */
    if (listed)
        forget_local(local);
    Py_SET_REFCNT(local, 0);
    if (exc)
        raise_exception(exc);
    local_dealloc(local);
}

static bool watch_locals(void)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyTypeObject *type = module ? (PyTypeObject *)PyObject_GetAttrString(module, "_local") : NULL;
    Py_XDECREF(module);
    if (type == NULL)
        return false;
    if (local_dealloc == NULL) {
        local_dealloc = type->tp_dealloc;
        type->tp_dealloc = dealloc_local;
    }
    Py_DECREF(type);
    return true;
}
#endif

static PyObject *core_own_locals(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    if (!watch_locals())
        return NULL;
    locals_owned = true;
    Py_RETURN_NONE;
}

PyMethodDef locals_functions[] = {
    {"own_locals", core_own_locals, METH_NOARGS, NULL},
    {0},
};
