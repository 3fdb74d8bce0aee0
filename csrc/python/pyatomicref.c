/* pyatomicref.c: Pointer and Value of gopy.atomic, each a reference. Without a GIL the reference is read or replaced
 * under the object's own lock, because reading a reference and counting it are two steps. */
#include "pyatomicref.h"

#include "pyerror.h"

typedef struct {
    PyObject_HEAD
    PyObject *ref; /* NULL: None */
    PyObject *weakrefs;
} AtomicRef;

static PyObject *as_object(PyObject *ref) { return ref ? ref : new_ref(Py_None); } /* steals ref */

static PyObject *ref_load(PyObject *self, PyObject *noargs)
{
    preempt_point();
    PyObject *ref;
    (void)noargs;
    BEGIN_EXCLUSIVE(self);
    ref = ((AtomicRef *)self)->ref;
    Py_XINCREF(ref);
    END_EXCLUSIVE();
    return as_object(ref);
}

enum replaced { REPLACED, IS_NOT_OLD, OTHER_TYPE };

/* Replace self's reference by one to `new`. OTHER_TYPE: it is to an object that is not of this type (NULL: any will
 * do). IS_NOT_OLD: it is not to old (NULL: any will do). *was, if REPLACED: the former reference, NULL for None. */
static enum replaced replace(PyObject *self, PyObject *old, PyObject *new, PyTypeObject *type, PyObject **was)
{
    PyObject **at = &((AtomicRef *)self)->ref;
    enum replaced r = REPLACED;
    new = new == Py_None ? NULL : new;
    BEGIN_EXCLUSIVE(self);
    if (type && *at && Py_TYPE(*at) != type)
        r = OTHER_TYPE;
    else if (old && old != (*at ? *at : Py_None))
        r = IS_NOT_OLD;
    if (r == REPLACED) {
        Py_XINCREF(new);
        *was = *at;
        *at = new;
    }
    END_EXCLUSIVE();
    return r;
}

static PyObject *pointer_store(PyObject *self, PyObject *new)
{
    preempt_point();
    PyObject *was;
    replace(self, NULL, new, NULL, &was);
    Py_XDECREF(was);
    Py_RETURN_NONE;
}

static PyObject *pointer_swap(PyObject *self, PyObject *new)
{
    preempt_point();
    PyObject *was;
    replace(self, NULL, new, NULL, &was);
    return as_object(was);
}

static PyObject *pointer_cas(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    PyObject *was = NULL;
    if (!check_nargs("compare_and_swap", nargs, 2))
        return NULL;
    bool ok = replace(self, args[0], args[1], NULL, &was) == REPLACED;
    Py_XDECREF(was);
    return PyBool_FromLong(ok);
}

/* A Value may not be set to nil, nor to a value of another type than it has. -1: raised; else whether it was set */
static int set_value(PyObject *self, const char *what, PyObject *old, PyObject *new, PyObject **was)
{
    *was = NULL;
    enum replaced r = new == Py_None ? OTHER_TYPE : replace(self, old, new, Py_TYPE(new), was);
    if (r != OTHER_TYPE)
        return r == REPLACED;
    PyErr_Format(hooks.Panic, "sync/atomic: %s of %s value into Value", what,
                 new == Py_None ? "nil" : "inconsistently typed");
    return -1;
}

static PyObject *value_store(PyObject *self, PyObject *new)
{
    preempt_point();
    PyObject *was;
    if (set_value(self, "store", NULL, new, &was) < 0)
        return NULL;
    Py_XDECREF(was);
    Py_RETURN_NONE;
}

static PyObject *value_swap(PyObject *self, PyObject *new)
{
    preempt_point();
    PyObject *was;
    return set_value(self, "swap", NULL, new, &was) < 0 ? NULL : as_object(was);
}

static PyObject *value_cas(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    PyObject *was;
    if (!check_nargs("compare_and_swap", nargs, 2))
        return NULL;
    if (args[0] != Py_None && args[1] != Py_None && Py_TYPE(args[0]) != Py_TYPE(args[1])) {
        PyErr_SetString(hooks.Panic, "sync/atomic: compare and swap of inconsistently typed values");
        return NULL;
    }
    int set = set_value(self, "compare and swap", args[0], args[1], &was);
    Py_XDECREF(was);
    return set < 0 ? NULL : PyBool_FromLong(set);
}

static PyObject *pointer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    PyObject *value = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &value))
        return NULL;
    AtomicRef *self = (AtomicRef *)type->tp_alloc(type, 0);
    if (self && value != Py_None)
        self->ref = new_ref(value);
    return (PyObject *)self;
}

static int ref_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((AtomicRef *)self)->ref);
    return 0;
}

static int ref_clear(PyObject *self)
{
    Py_CLEAR(((AtomicRef *)self)->ref);
    return 0;
}

static void ref_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, ref_dealloc) /* a long list linked by Pointers */
        if (((AtomicRef *)self)->weakrefs) PyObject_ClearWeakRefs(self);
    ref_clear(self);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyObject *ref_repr(PyObject *self)
{
    int status = Py_ReprEnter(self);
    if (status)
        return status < 0 ? NULL : PyUnicode_FromFormat("%s(...)", Py_TYPE(self)->tp_name);
    PyObject *ref = ref_load(self, NULL), *r = PyUnicode_FromFormat("%s(%R)", Py_TYPE(self)->tp_name, ref);
    Py_DECREF(ref);
    Py_ReprLeave(self);
    return r;
}

#define GENERIC {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type checkers."}

static PyMethodDef pointer_methods[] = {
    {"load", ref_load, METH_NOARGS, "load($self)\n--\n\nThe value."},
    {"store", pointer_store, METH_O, "store($self, value, /)\n--\n\nSet the value."},
    {"swap", pointer_swap, METH_O, "swap($self, new, /)\n--\n\nSet the value and return the old one."},
    {"compare_and_swap", FAST(pointer_cas),
     "compare_and_swap($self, old, new, /)\n--\n\n"
     "Set the value to new if it is old, the same object; whether it was."},
    GENERIC,
    {0},
};

static PyMethodDef value_methods[] = {
    {"load", ref_load, METH_NOARGS, "load($self)\n--\n\nThe value; None before the first store()."},
    {"store", value_store, METH_O,
     "store($self, value, /)\n--\n\nSet the value. Panic if it is None or of another type than before."},
    {"swap", value_swap, METH_O,
     "swap($self, new, /)\n--\n\nSet the value and return the old one. Panics as store() does."},
    {"compare_and_swap", FAST(value_cas),
     "compare_and_swap($self, old, new, /)\n--\n\n"
     "Set the value to new if it is old, the same object; whether it was. Panics as store() does."},
    GENERIC,
    {0},
};

#define REF                                                                                                  \
    .tp_basicsize = sizeof(AtomicRef), .tp_dealloc = ref_dealloc, .tp_traverse = ref_traverse,               \
    .tp_clear = ref_clear, .tp_repr = ref_repr, .tp_weaklistoffset = offsetof(AtomicRef, weakrefs),          \
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE

PyTypeObject Pointer_Type = {
    PyVarObject_HEAD_INIT(NULL, 0) REF,
    .tp_name = "gopy.atomic.Pointer",
    .tp_doc = "Pointer(value=None)\n--\n\nA reference to any object, whose every method is one atomic step.",
    .tp_new = pointer_new,
    .tp_methods = pointer_methods,
};

PyTypeObject Value_Type = {
    PyVarObject_HEAD_INIT(NULL, 0) REF,
    .tp_name = "gopy.atomic.Value",
    .tp_doc =
        "Value()\n--\n\n"
        "A reference whose every method is one atomic step. All its values are of the first one's type.",
    .tp_new = new_without_arguments,
    .tp_methods = value_methods,
};
