/* pyatomic.c: the integers and the bool of gopy.atomic. With a GIL each method is atomic as it stands; without one,
 * integers are the machine's atomics. References are in pyatomicref.c. */
#include "pyatomic.h"

#include "pyatomicref.h"
#include "pyerror.h"

/* ---- integers ---- */

typedef struct {
    PyObject_HEAD
    uint64_t value; /* of a type with 32 bits, those in the form of narrow() */
} AtomicInt;

struct width {
    bool is_signed;
    int bits;
};

static const struct width widths[] = {{true, 32}, {true, 64}, {false, 32}, {false, 64}};
static PyTypeObject *const int_types[4];

#define VALUE(self) (&((AtomicInt *)(self))->value)

static int out_of_range(const char *arg, struct width w)
{
    PyErr_Format(PyExc_ValueError, "`%s` does not fit into %s%d bits", arg, w.is_signed ? "" : "unsigned ",
                 w.bits);
    return -1;
}

/* o as the bits of an integer so wide; -1: raised. */
static inline int parse_int(PyObject *o, const char *arg, struct width w, uint64_t *bits)
{
    if (unlikely(!PyIndex_Check(o)))
        return type_error(arg, "an int", o);
    PyObject *n = PyLong_CheckExact(o) ? o : PyNumber_Index(o);
    if (n == NULL)
        return -1;
    int overflow;
    int64_t v = PyLong_AsLongLongAndOverflow(n, &overflow);
    bool ok = overflow == 0;
    if (overflow > 0 && !w.is_signed && w.bits == 64) {
        v = (int64_t)PyLong_AsUnsignedLongLong(n);
        ok = !PyErr_Occurred();
        PyErr_Clear();
    } else if (ok && w.bits == 32) {
        ok = w.is_signed ? v == (int32_t)v : v == (uint32_t)v;
    } else if (ok && !w.is_signed) {
        ok = v >= 0;
    }
    if (n != o)
        Py_DECREF(n);
    *bits = (uint64_t)v;
    return likely(ok) ? 0 : out_of_range(arg, w);
}

static inline PyObject *to_int(uint64_t bits, struct width w)
{
    if (w.bits == 32)
        return w.is_signed ? PyLong_FromLong((int32_t)bits) : PyLong_FromUnsignedLong((uint32_t)bits);
    return w.is_signed ? PyLong_FromLongLong((int64_t)bits) : PyLong_FromUnsignedLongLong(bits);
}

/* Every operation works on all 64 bits, the comparison of compare_and_swap() too. So a value of 32 bits is stored in
 * one form only: with the upper half as its sign says. */
static inline uint64_t narrow(uint64_t bits, struct width w)
{
    return w.bits == 64 ? bits : w.is_signed ? (uint64_t)(int64_t)(int32_t)bits : (uint32_t)bits;
}

enum change { ADD, AND, OR, SWAP };

static inline PyObject *change(PyObject *self, PyObject *arg, struct width w, enum change how)
{
    preempt_point();
    uint64_t by, was, next;
    if (unlikely(parse_int(arg, how == ADD ? "delta" : how == SWAP ? "new" : "mask", w, &by) < 0))
        return NULL;
    do {
        was = aload(VALUE(self));
        next = how == ADD ? was + by : how == AND ? was & by : how == OR ? was | by : by;
        next = narrow(next, w);
    } while (!acas(VALUE(self), was, next));
    return to_int(how == ADD ? next : was, w);
}

static inline PyObject *int_cas(PyObject *self, PyObject *const *args, Py_ssize_t nargs, struct width w)
{
    preempt_point();
    uint64_t was, next;
    if (!check_nargs("compare_and_swap", nargs, 2))
        return NULL;
    if (parse_int(args[0], "old", w, &was) < 0 || parse_int(args[1], "new", w, &next) < 0)
        return NULL;
    return PyBool_FromLong(acas(VALUE(self), was, next));
}

static struct width width_of(PyTypeObject *type)
{
    for (; type; type = type->tp_base) /* a subclass is as its base */
        for (int i = 0; i < 4; i++)
            if (type == int_types[i])
                return widths[i];
    return widths[1];
}

static PyObject *int_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    PyObject *value = NULL;
    uint64_t bits = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &value) ||
        (value && parse_int(value, "value", width_of(type), &bits) < 0))
        return NULL;
    PyObject *self = type->tp_alloc(type, 0);
    if (self)
        *VALUE(self) = bits;
    return self;
}

static void plain_dealloc(PyObject *self) { Py_TYPE(self)->tp_free(self); }

static PyObject *int_repr(PyObject *self)
{
    PyObject *n = to_int(aload(VALUE(self)), width_of(Py_TYPE(self)));
    PyObject *r = n ? PyUnicode_FromFormat("%s(%S)", Py_TYPE(self)->tp_name, n) : NULL;
    Py_XDECREF(n);
    return r;
}

#define INT_TYPE(NAME, SIGNED, BITS, RANGE)                                                                  \
    static PyObject *NAME##_load(PyObject *self, PyObject *noargs)                                           \
    {                                                                                                        \
        (void)noargs;                                                                                        \
        preempt_point();                                                                                     \
        return to_int(aload_sc(VALUE(self)), (struct width){SIGNED, BITS});                                  \
    }                                                                                                        \
    static PyObject *NAME##_store(PyObject *self, PyObject *value)                                           \
    {                                                                                                        \
        uint64_t bits;                                                                                       \
        preempt_point();                                                                                     \
        if (parse_int(value, "value", (struct width){SIGNED, BITS}, &bits) < 0)                              \
            return NULL;                                                                                     \
        astore_sc(VALUE(self), bits);                                                                        \
        Py_RETURN_NONE;                                                                                      \
    }                                                                                                        \
    static PyObject *NAME##_add(PyObject *self, PyObject *delta)                                             \
    {                                                                                                        \
        return change(self, delta, (struct width){SIGNED, BITS}, ADD);                                       \
    }                                                                                                        \
    static PyObject *NAME##_and(PyObject *self, PyObject *mask)                                              \
    {                                                                                                        \
        return change(self, mask, (struct width){SIGNED, BITS}, AND);                                        \
    }                                                                                                        \
    static PyObject *NAME##_or(PyObject *self, PyObject *mask)                                               \
    {                                                                                                        \
        return change(self, mask, (struct width){SIGNED, BITS}, OR);                                         \
    }                                                                                                        \
    static PyObject *NAME##_swap(PyObject *self, PyObject *value)                                            \
    {                                                                                                        \
        return change(self, value, (struct width){SIGNED, BITS}, SWAP);                                      \
    }                                                                                                        \
    static PyObject *NAME##_cas(PyObject *self, PyObject *const *args, Py_ssize_t nargs)                     \
    {                                                                                                        \
        return int_cas(self, args, nargs, (struct width){SIGNED, BITS});                                     \
    }                                                                                                        \
    static PyMethodDef NAME##_methods[] = {                                                                  \
        {"load", NAME##_load, METH_NOARGS, "load($self)\n--\n\nThe value."},                                 \
        {"store", NAME##_store, METH_O,                                                                      \
         "store($self, value, /)\n--\n\nSet the value. ValueError if it does not fit."},                     \
        {"add", NAME##_add, METH_O,                                                                          \
         "add($self, delta, /)\n--\n\nAdd delta and return the new value; it wraps around.\n\n"              \
         "ValueError if delta itself does not fit."},                                                        \
        {"and_", NAME##_and, METH_O, "and_($self, mask, /)\n--\n\nValue &= mask; returns the old value."},   \
        {"or_", NAME##_or, METH_O, "or_($self, mask, /)\n--\n\nValue |= mask; returns the old value."},      \
        {"swap", NAME##_swap, METH_O, "swap($self, new, /)\n--\n\nSet the value and return the old one."},   \
        {"compare_and_swap", FAST(NAME##_cas),                                                               \
         "compare_and_swap($self, old, new, /)\n--\n\nSet the value to new if it is old; whether it was."},  \
        {0},                                                                                                 \
    };                                                                                                       \
    static PyTypeObject NAME##_Type = {                                                                      \
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.atomic." #NAME,                                       \
        .tp_doc = #NAME "(value=0)\n--\n\n"                                                                  \
                        "An integer, " RANGE ", whose every method is one atomic step. What is given must\n" \
                        "fit (ValueError); what add() makes of it wraps around.",                            \
        .tp_basicsize = sizeof(AtomicInt),                                                                   \
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,                                                \
        .tp_new = int_new,                                                                                   \
        .tp_dealloc = plain_dealloc,                                                                         \
        .tp_repr = int_repr,                                                                                 \
        .tp_methods = NAME##_methods,                                                                        \
    };

INT_TYPE(Int32, true, 32, "-2**31 to 2**31-1")
INT_TYPE(Int64, true, 64, "-2**63 to 2**63-1")
INT_TYPE(Uint32, false, 32, "0 to 2**32-1")
INT_TYPE(Uint64, false, 64, "0 to 2**64-1")

static PyTypeObject *const int_types[4] = {&Int32_Type, &Int64_Type, &Uint32_Type, &Uint64_Type};

/* ---- Bool ---- */

static int parse_bool(PyObject *o, const char *arg)
{
    return PyBool_Check(o) ? o == Py_True : type_error(arg, "a bool", o);
}

static PyObject *bool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    PyObject *value = Py_False;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &value))
        return NULL;
    int v = parse_bool(value, "value");
    PyObject *self = v < 0 ? NULL : type->tp_alloc(type, 0);
    if (self)
        *VALUE(self) = (uint64_t)v;
    return self;
}

static PyObject *bool_load(PyObject *self, PyObject *noargs)
{
    (void)noargs;
    preempt_point();
    return PyBool_FromLong((long)aload_sc(VALUE(self)));
}

static PyObject *bool_store(PyObject *self, PyObject *value)
{
    preempt_point();
    int v = parse_bool(value, "value");
    if (v < 0)
        return NULL;
    astore_sc(VALUE(self), (uint64_t)v);
    Py_RETURN_NONE;
}

static PyObject *bool_swap(PyObject *self, PyObject *value)
{
    preempt_point();
    int v = parse_bool(value, "new");
    return v < 0 ? NULL : PyBool_FromLong((long)axchg(VALUE(self), (uint64_t)v));
}

static PyObject *bool_cas(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    preempt_point();
    if (!check_nargs("compare_and_swap", nargs, 2))
        return NULL;
    int was = parse_bool(args[0], "old"), next = was < 0 ? -1 : parse_bool(args[1], "new");
    return next < 0 ? NULL : PyBool_FromLong(acas(VALUE(self), (uint64_t)was, (uint64_t)next));
}

static PyObject *bool_repr(PyObject *self)
{
    return PyUnicode_FromFormat("%s(%s)", Py_TYPE(self)->tp_name, aload(VALUE(self)) ? "True" : "False");
}

#define LOAD_DOC "load($self)\n--\n\nThe value."
#define STORE_DOC "store($self, value, /)\n--\n\nSet the value."
#define SWAP_DOC "swap($self, new, /)\n--\n\nSet the value and return the old one."

static PyMethodDef bool_methods[] = {
    {"load", bool_load, METH_NOARGS, LOAD_DOC},
    {"store", bool_store, METH_O, STORE_DOC},
    {"swap", bool_swap, METH_O, SWAP_DOC},
    {"compare_and_swap", FAST(bool_cas),
     "compare_and_swap($self, old, new, /)\n--\n\nSet the value to new if it is old; whether it was."},
    {0},
};

static PyTypeObject AtomicBool_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.atomic.Bool",
    .tp_doc = "Bool(value=False)\n--\n\nA bool whose every method is one atomic step.",
    .tp_basicsize = sizeof(AtomicInt),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = bool_new,
    .tp_dealloc = plain_dealloc,
    .tp_repr = bool_repr,
    .tp_methods = bool_methods,
};

PyTypeObject *const atomic_types[] = {
    &Int32_Type, &Int64_Type, &Uint32_Type, &Uint64_Type, &AtomicBool_Type, &Pointer_Type, &Value_Type, NULL,
};
