/* pymap.c: Map. A dict; whoever changes it holds `mu`, because two steps on a dict are not one.
 *
 * Keys and values are the program's: hashing and comparing them, and any allocation that starts a collection,
 * may run its code, which may use the same map. So `mu` is a goroutine's lock, not a thread's, and its owner may
 * take it again. What is taken out is dropped after `mu` is free. */
#include "pymap.h"

#include "pyerror.h"
#include "pylock.h"
#include "pyversion.h"

typedef struct {
    PyObject_HEAD
    PyObject *dict;
    struct mutex mu;
    void *owner; /* of mu: its goroutine, or the thread where there is none */
    uint32_t depth;
    PyObject *weakrefs;
} SyncMap;

static void *myself(void)
{
    struct m *mp = getm();
    return mp && mp->curg ? (void *)mp->curg : (void *)PyThreadState_Get();
}

static int enter(SyncMap *m)
{
    void *me = myself();
    if (unlikely(apeek(&m->owner) == me)) {
        m->depth++;
        return 0;
    }
    if (unlikely(!mutexlock_fast(&m->mu)) && mutex_acquire(&m->mu) < 0)
        return -1;
    apoke(&m->owner, me);
    return 0;
}

static void leave(SyncMap *m)
{
    if (unlikely(m->depth > 0)) {
        m->depth--;
        return;
    }
    apoke(&m->owner, NULL);
    if (unlikely(!mutexunlock_fast(&m->mu)))
        mutexunlock(&m->mu);
}

static PyObject *pair(PyObject *value, bool ok) /* steals value, NULL: None */
{
    PyObject *r = PyTuple_New(2);
    if (r == NULL) {
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(r, 0, value ? value : new_ref(Py_None));
    PyTuple_SET_ITEM(r, 1, new_ref(ok ? Py_True : Py_False));
    return r;
}

static PyObject *map_load(PyObject *self, PyObject *key)
{
    preempt_point();
    PyObject *value;
    int found = dict_get(((SyncMap *)self)->dict, key, &value);
    return found < 0 ? NULL : pair(value, found);
}

/* Set, with what was there in *was. -> whether there was anything; -1: raised */
static int exchange(SyncMap *m, PyObject *key, PyObject *value, PyObject **was)
{
    *was = NULL;
    if (enter(m) < 0)
        return -1;
    int found = dict_get(m->dict, key, was);
    if (found >= 0 && PyDict_SetItem(m->dict, key, value) < 0)
        found = -1;
    leave(m);
    if (found < 0)
        Py_CLEAR(*was);
    return found;
}

static PyObject *map_store(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    PyObject *was;
    if (!check_nargs("store", nargs, 2) || exchange((SyncMap *)self, args[0], args[1], &was) < 0)
        return NULL;
    Py_XDECREF(was);
    Py_RETURN_NONE;
}

static PyObject *map_swap(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    PyObject *was;
    int found = check_nargs("swap", nargs, 2) ? exchange((SyncMap *)self, args[0], args[1], &was) : -1;
    return found < 0 ? NULL : pair(was, found);
}

static PyObject *map_load_or_store(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    SyncMap *m = (SyncMap *)self;
    PyObject *value;
    if (!check_nargs("load_or_store", nargs, 2))
        return NULL;
    int found = dict_get(m->dict, args[0], &value);
    if (found == 0) {
        if (enter(m) < 0)
            return NULL;
        found = dict_get(m->dict, args[0], &value);
        if (found == 0 && PyDict_SetItem(m->dict, args[0], args[1]) < 0)
            found = -1;
        leave(m);
    }
    return found < 0 ? NULL : found ? pair(value, true) : pair(new_ref(args[1]), false);
}

/* Take key out, if old is NULL or equal to what is there. *was as in exchange(). */
static int take(SyncMap *m, PyObject *key, PyObject *old, PyObject **was)
{
    *was = NULL;
    if (enter(m) < 0)
        return -1;
    int found = dict_get(m->dict, key, was);
    if (found > 0 && old)
        found = PyObject_RichCompareBool(*was, old, Py_EQ);
    if (found > 0 && PyDict_DelItem(m->dict, key) < 0) {
        found = PyErr_ExceptionMatches(PyExc_KeyError) ? 0 : -1; /* its own comparison has taken it out */
        if (found == 0)
            PyErr_Clear();
    }
    leave(m);
    if (found <= 0)
        Py_CLEAR(*was);
    return found;
}

static PyObject *map_load_and_delete(PyObject *self, PyObject *key)
{
    preempt_point();
    PyObject *was;
    int found = take((SyncMap *)self, key, NULL, &was);
    return found < 0 ? NULL : pair(was, found);
}

static PyObject *map_delete(PyObject *self, PyObject *key)
{
    preempt_point();
    PyObject *was;
    if (take((SyncMap *)self, key, NULL, &was) < 0)
        return NULL;
    Py_XDECREF(was);
    Py_RETURN_NONE;
}

static PyObject *map_compare_and_delete(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    PyObject *was;
    int found =
        check_nargs("compare_and_delete", nargs, 2) ? take((SyncMap *)self, args[0], args[1], &was) : -1;
    if (found < 0)
        return NULL;
    Py_XDECREF(was);
    return PyBool_FromLong(found);
}

static PyObject *map_compare_and_swap(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    SyncMap *m = (SyncMap *)self;
    PyObject *was;
    if (!check_nargs("compare_and_swap", nargs, 3) || enter(m) < 0)
        return NULL;
    int same = dict_get(m->dict, args[0], &was);
    if (same > 0)
        same = PyObject_RichCompareBool(was, args[1], Py_EQ);
    if (same > 0 && PyDict_SetItem(m->dict, args[0], args[2]) < 0)
        same = -1;
    leave(m);
    Py_XDECREF(was);
    return same < 0 ? NULL : PyBool_FromLong(same);
}

static PyObject *map_clear_(PyObject *self, PyObject *noargs)
{
    preempt_point();
    SyncMap *m = (SyncMap *)self;
    (void)noargs;
    if (enter(m) < 0)
        return NULL;
    PyObject *kept = PyDict_Copy(m->dict); /* until mu is free */
    if (kept)
        PyDict_Clear(m->dict);
    leave(m);
    if (kept == NULL)
        return NULL;
    Py_DECREF(kept);
    Py_RETURN_NONE;
}

static PyObject *map_range(PyObject *self, PyObject *fn)
{
    preempt_point();
    if (!PyCallable_Check(fn)) {
        type_error("fn", "callable", fn);
        return NULL;
    }
    PyObject *keys = PyDict_Keys(((SyncMap *)self)->dict);
    int more = keys ? 1 : -1;
    for (Py_ssize_t i = 0; more > 0 && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i), *value;
        int found = dict_get(((SyncMap *)self)->dict, key, &value);
        if (found <= 0) {
            more = found < 0 ? -1 : 1;
            continue;
        }
        PyObject *r = PyObject_CallFunctionObjArgs(fn, key, value, NULL);
        more = r ? PyObject_IsTrue(r) : -1;
        Py_XDECREF(r);
        Py_DECREF(value);
    }
    Py_XDECREF(keys);
    if (more < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- items() ---- */

typedef struct {
    PyObject_HEAD
    SyncMap *m;
    PyObject *keys; /* a list that nobody else has */
    Py_ssize_t next;
} MapItems;

static PyObject *map_items(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    PyObject *keys = PyDict_Keys(((SyncMap *)self)->dict);
    MapItems *it = keys ? PyObject_GC_New(MapItems, &MapItems_Type) : NULL;
    if (it == NULL) {
        Py_XDECREF(keys);
        return NULL;
    }
    it->m = (SyncMap *)new_ref(self);
    it->keys = keys;
    it->next = 0;
    PyObject_GC_Track(it);
    return (PyObject *)it;
}

static PyObject *items_next(PyObject *self)
{
    preempt_point();
    MapItems *it = (MapItems *)self;
    while (apeek(&it->next) < PyList_GET_SIZE(it->keys)) {
        Py_ssize_t i = aadd(&it->next, 1) - 1;
        if (i >= PyList_GET_SIZE(it->keys))
            break;
        PyObject *key = PyList_GET_ITEM(it->keys, i), *value;
        int found = dict_get(it->m->dict, key, &value);
        if (found == 0)
            continue;
        PyObject *r = found > 0 ? PyTuple_Pack(2, key, value) : NULL;
        Py_XDECREF(value);
        return r;
    }
    return NULL;
}

static int items_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)((MapItems *)self)->m);
    Py_VISIT(((MapItems *)self)->keys);
    return 0;
}

static void items_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_DECREF(((MapItems *)self)->m);
    Py_DECREF(((MapItems *)self)->keys);
    PyObject_GC_Del(self);
}

PyTypeObject MapItems_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._core._MapItems",
    .tp_basicsize = sizeof(MapItems),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = items_dealloc,
    .tp_traverse = items_traverse,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = items_next,
};

/* ---- the type ---- */

static PyObject *map_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = new_without_arguments(type, args, kwargs);
    if (self && (((SyncMap *)self)->dict = PyDict_New()) == NULL)
        Py_CLEAR(self);
    return self;
}

/* The dict clears itself in a collection; the map must go on to have it, for a __del__ that still uses it. */
static int map_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((SyncMap *)self)->dict);
    return 0;
}

static void map_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, map_dealloc) if (((SyncMap *)self)->weakrefs) PyObject_ClearWeakRefs(self);
    Py_XDECREF(((SyncMap *)self)->dict);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyMethodDef map_methods[] = {
    {"load", map_load, METH_O,
     "load($self, key, /)\n--\n\n(value, True), or (None, False) if key is not there."},
    {"store", FAST(map_store), "store($self, key, value, /)\n--\n\nSet the value of key."},
    {"load_or_store", FAST(map_load_or_store),
     "load_or_store($self, key, value, /)\n--\n\n"
     "(its value, True) if key is there, else store value: (value, False)."},
    {"load_and_delete", map_load_and_delete, METH_O,
     "load_and_delete($self, key, /)\n--\n\nload(), and delete it in the same step."},
    {"swap", FAST(map_swap),
     "swap($self, key, value, /)\n--\n\n"
     "Set the value of key: (the old one, True), or (None, False) if key was not there."},
    {"compare_and_swap", FAST(map_compare_and_swap),
     "compare_and_swap($self, key, old, new, /)\n--\n\n"
     "Set the value of key to new if it is there and its value == old; whether so."},
    {"compare_and_delete", FAST(map_compare_and_delete),
     "compare_and_delete($self, key, old, /)\n--\n\nDelete key if it is there and its value == old; whether so."},
    {"delete", map_delete, METH_O, "delete($self, key, /)\n--\n\nDelete key; nothing if it is not there."},
    {"clear", map_clear_, METH_NOARGS, "clear($self)\n--\n\nDelete all keys."},
    {"range", map_range, METH_O,
     "range($self, fn, /)\n--\n\n"
     "Call fn(key, value) for each key, until it returns something false.\n\n"
     "No key comes twice. It is no snapshot: a value is what it is when its turn comes, and keys may have\n"
     "been stored or deleted meanwhile, by fn too."},
    {"items", map_items, METH_NOARGS, "items($self)\n--\n\nAn iterator over (key, value); see range()."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type checkers."},
    {0},
};

PyTypeObject Map_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.sync.Map",
    .tp_doc =
        "Map()\n--\n\n"
        "A dict that goroutines and threads may use at once, as Go's sync.Map; every method but range()\n"
        "and items() is one atomic step. Keys must be hashable.",
    .tp_basicsize = sizeof(SyncMap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = map_new,
    .tp_dealloc = map_dealloc,
    .tp_traverse = map_traverse,
    .tp_weaklistoffset = offsetof(SyncMap, weakrefs),
    .tp_methods = map_methods,
};
