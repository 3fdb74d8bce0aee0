/* pyselect.c: the cases of a select, and select().
 *
 * A case object is never changed after it is made, so it may serve in many selects at once. The working
 * memory of a select lies on the caller's stack, which nobody else looks at, except for the sudogs: those are
 * on the channels' queues while it is parked and its stack is swapped out, so they are on the heap. */
#include "pygopy.h"

#define ON_STACK 8

typedef struct {
    PyObject_HEAD
    PyChan *ch;
    PyObject *value; /* NULL: a receive */
} Case;

PyObject *default_case;

#if !GOPY_THREADED
#define MOST_SPARE 64
static Case *spare[MOST_SPARE];
static int nspare;
#endif

static PyObject *case_new(PyTypeObject *type, PyObject *ch, PyObject *value)
{
    Case *k;
#if !GOPY_THREADED
    if (nspare > 0) {
        k = spare[--nspare];
        PyObject_Init((PyObject *)k, type);
    } else
#endif
        if ((k = PyObject_GC_New(Case, type)) == NULL)
        return NULL;
    k->ch = (PyChan *)new_ref(ch);
    Py_XINCREF(value);
    k->value = value;
    PyObject_GC_Track(k);
    return (PyObject *)k;
}

static int case_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Case *)self)->ch);
    Py_VISIT(((Case *)self)->value);
    return 0;
}

static void case_dealloc(PyObject *self)
{
    Case *k = (Case *)self;
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, case_dealloc) Py_DECREF(k->ch);
    Py_XDECREF(k->value);
#if !GOPY_THREADED
    if (nspare < MOST_SPARE)
        spare[nspare++] = k;
    else
#endif
        PyObject_GC_Del(k);
    Py_TRASHCAN_END
}

static PyObject *case_repr(PyObject *self)
{
    Case *k = (Case *)self;
    return k->value ? PyUnicode_FromFormat("send(%R, %R)", k->ch, k->value)
                    : PyUnicode_FromFormat("recv(%R)", k->ch);
}

static PyObject *core_recv(PyObject *self, PyObject *ch)
{
    (void)self;
    if (unlikely(!PyObject_TypeCheck(ch, &RecvChan_Type))) {
        type_error("ch", "a Chan or RecvChan", ch);
        return NULL;
    }
    return case_new(&RecvCase_Type, ch, NULL);
}

static PyObject *core_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    if (unlikely(nargs != 2)) {
        PyErr_Format(PyExc_TypeError, "send() takes 2 positional arguments but %zd %s given", nargs,
                     nargs == 1 ? "was" : "were");
        return NULL;
    }
    if (unlikely(!PyObject_TypeCheck(args[0], &SendChan_Type))) {
        type_error("ch", "a Chan or SendChan", args[0]);
        return NULL;
    }
    return case_new(&SendCase_Type, args[0], args[1]);
}

/* Fill s->cases from the arguments. -> the index of the default, -1 without one, -2 for an exception. A value
 * to send is referred to: the reference moves if that case runs. */
Py_ssize_t select_collect(struct selectstate *s, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t dflt = -1;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        PyObject *o = args[i];
        struct scase *k = &s->cases[i];
        *k = (struct scase){0};
        if (likely(Py_TYPE(o) == &RecvCase_Type || Py_TYPE(o) == &SendCase_Type)) {
            k->c = ((Case *)o)->ch->c;
            k->elem = ((Case *)o)->value;
            k->send = k->elem != NULL;
        } else if (o == default_case && dflt < 0) {
            dflt = i;
        } else {
            if (o == default_case)
                PyErr_SetString(PyExc_ValueError, "`cases` must have at most one `default`");
            else
                type_error("cases", "made by recv(), send() or be `default`", o);
            return -2;
        }
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        Py_XINCREF((PyObject *)s->cases[i].elem);
    return dflt;
}

static enum chan_result wait_select(struct selectstate *s, int64_t deadline, uint32_t rand, uint32_t *casei)
{
    struct g *gp = getg_or_raise();
    if (gp == NULL)
        return CHAN_BLOCK;
    s->sudogs = PyMem_RawMalloc((s->n ? s->n : 1) * sizeof(*s->sudogs));
    if (s->sudogs == NULL)
        return CHAN_NOMEM;
    enum chan_result r = select_begin(s, gp, rand, casei);
    if (r == CHAN_PARK)
        r = select_finish(s, gp, gowait(gp, deadline), casei);
    PyMem_RawFree(s->sudogs);
    return r;
}

static PyObject *result(Py_ssize_t index, PyObject *value, bool ok) /* steals value */
{
    PyObject *r = PyTuple_New(3), *i = PyLong_FromSsize_t(index);
    if (r == NULL || i == NULL) {
        Py_XDECREF(r);
        Py_XDECREF(i);
        Py_DECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(r, 0, i);
    PyTuple_SET_ITEM(r, 1, value);
    PyTuple_SET_ITEM(r, 2, new_ref(ok ? Py_True : Py_False));
    return r;
}

uint32_t select_seed(void)
{
    struct m *mp = getm();
    uint32_t x = mp ? cheaprand(mp) : (uint32_t)nanotime();
    /* Murmur's finalizer: select_begin goes on with cheaprand's own steps, which must not lead to the next seed. */
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    x ^= x >> 16;
    return x ? x : 1;
}

static PyObject *run_select(struct selectstate *s, PyObject *const *args, Py_ssize_t nargs, int64_t deadline)
{
    Py_ssize_t dflt = select_collect(s, args, nargs);
    if (dflt == -2)
        return NULL;
    uint32_t casei = 0;
    enum chan_result r = select_begin(s, NULL, select_seed(), &casei);
    if (r == CHAN_BLOCK && dflt < 0 && deadline != DEADLINE_PAST)
        r = wait_select(s, deadline, select_seed(), &casei);
    return select_result(s, args, r, casei, dflt);
}

/* What a select returns or raises, now that r has happened to its case casei. args are its cases, of which it drops
 * the values that were not sent. */
PyObject *select_result(struct selectstate *s, PyObject *const *args, enum chan_result r, uint32_t casei,
                        Py_ssize_t dflt)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cases[i].send) {
            if (!(r == CHAN_OK && i == casei))
                Py_DECREF((PyObject *)s->cases[i].elem);
            s->cases[i].elem = NULL;
        }
    if (PyErr_Occurred())
        return NULL;
    struct scase *k = &s->cases[casei];
    if (r == CHAN_OK) {
        PyObject *value = k->send ? new_ref(Py_None) : received(k->c, k->elem);
        return value ? result(casei, value, true) : NULL;
    }
    if (r == CHAN_CLOSED && !k->send)
        return result(casei, new_ref(((Case *)args[casei])->ch->owner->zero), false);
    if (r == CHAN_CLOSED)
        PyErr_SetString(hooks.ClosedChannelError, "send on closed channel");
    else if (r == CHAN_BLOCK && dflt >= 0)
        return result(dflt, new_ref(Py_None), true);
    else
        raise_chan(r);
    return NULL;
}

static PyObject *core_select(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    preempt_point();
    int64_t deadline = NEVER;
    if (unlikely(kwnames != NULL) && parse_timeout_kw(args, nargs, nargs, kwnames, "select", &deadline) < 0)
        return NULL;
    struct selectstate s = {.n = (uint32_t)nargs};
    if (likely(nargs <= ON_STACK)) {
        struct scase cases[ON_STACK];
        uint16_t orders[2 * ON_STACK];
        s.cases = cases;
        s.pollorder = orders;
        s.lockorder = orders + ON_STACK;
        return run_select(&s, args, nargs, deadline);
    }
    if (nargs > MOST_CASES) {
        PyErr_Format(PyExc_ValueError, "`cases` must be at most %d", MOST_CASES);
        return NULL;
    }
    size_t n = (size_t)nargs;
    s.cases = PyMem_RawMalloc(n * (sizeof(*s.cases) + 2 * sizeof(uint16_t)));
    if (s.cases == NULL)
        return PyErr_NoMemory();
    s.pollorder = (uint16_t *)(s.cases + n);
    s.lockorder = s.pollorder + n;
    PyObject *r = run_select(&s, args, nargs, deadline);
    PyMem_RawFree(s.cases);
    return r;
}

static PyObject *default_repr(PyObject *self)
{
    (void)self;
    return PyUnicode_FromString("gopy.default");
}

static PyMethodDef case_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type checkers."},
    {0},
};

#define CASE(NAME, DOC)                                                                                      \
    .tp_name = "gopy." NAME, .tp_doc = DOC, .tp_basicsize = sizeof(Case), .tp_dealloc = case_dealloc,        \
    .tp_traverse = case_traverse, .tp_repr = case_repr, .tp_methods = case_methods,                          \
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION

PyTypeObject RecvCase_Type = {PyVarObject_HEAD_INIT(NULL, 0)
                                  CASE("RecvCase", "A receive in a select; made by recv(ch).")};
PyTypeObject SendCase_Type = {PyVarObject_HEAD_INIT(NULL, 0)
                                  CASE("SendCase", "A send in a select; made by send(ch, value).")};

PyTypeObject Default_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy.Default",
    .tp_doc = "The type of `default`, the case of a select that runs when no other can.",
    .tp_basicsize = sizeof(PyObject),
    .tp_repr = default_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

PyMethodDef select_functions[] = {
    {"recv", core_recv, METH_O,
     "recv($module, ch, /)\n--\n\nThe case of a select that receives from ch. Does nothing by itself."},
    {"send", (PyCFunction)(void (*)(void))core_send, METH_FASTCALL,
     "send($module, ch, value, /)\n--\n\nThe case of a select that sends value to ch. Does nothing by "
     "itself."},
    {"aselect", (PyCFunction)(void (*)(void))core_aselect, METH_FASTCALL,
     "aselect($module, /, *cases)\n--\n\nAn awaitable: select() for `async def` and generator goroutines, and "
     "asyncio."},
    {"select", (PyCFunction)(void (*)(void))core_select, METH_FASTCALL | METH_KEYWORDS,
     "select($module, /, *cases, timeout=None)\n--\n\n"
     "Park until one case can run, run exactly that one, and return (index, value, ok).\n\n"
     "value and ok are those of recv_ok() for a receive; None and True for a send or the default. Among "
     "ready\n"
     "cases the choice is uniformly random. With `default` it never parks. A case may be built once and "
     "used\n"
     "many times. select() with no cases parks for ever. TimeoutError after `timeout` seconds."},
    {0},
};
