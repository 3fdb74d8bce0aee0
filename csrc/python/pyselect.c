/* pyselect.c: the cases of a select, and select() and aselect().
 *
 * A case object is never changed after it is made, so it may serve in many selects at once. The working memory of a
 * select() lies on the caller's stack, which nobody else looks at, that of an aselect() on the heap. The sudogs are on
 * the heap in both: they are on the channels' queues while the stack may be swapped out. */
#include "pyselect.h"

#include "pyawait.h"
#include "pychan.h"
#include "pyerror.h"

#define ON_STACK 8
#define MOST_CASES 65536

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

PyObject *case_channel(PyObject *o)
{
    bool is_case = Py_TYPE(o) == &RecvCase_Type || Py_TYPE(o) == &SendCase_Type;
    return is_case ? (PyObject *)((Case *)o)->ch : NULL;
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
    preempt_point();
    if (unlikely(!PyObject_TypeCheck(ch, &RecvChan_Type))) {
        type_error("ch", "a Chan or RecvChan", ch);
        return NULL;
    }
    return case_new(&RecvCase_Type, ch, NULL);
}

static PyObject *core_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self;
    preempt_point();
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

/* Fill s->cases from the arguments. -> the index of the default, -1 without one, -2 for an exception. s->cases has a
 * reference to each value to send, which moves if that case runs. */
static Py_ssize_t collect(struct selectstate *s, PyObject *const *args, Py_ssize_t nargs)
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

static uint32_t seed(void)
{
    struct m *mp = getm();
    struct bubble *b = bubble_here();
    uint32_t x = mp ? cheaprand(mp) : (uint32_t)nanotime();
    if (unlikely(b && b->seeded))
        x = bubble_rand(b);
    /* Murmur's finalizer: select_begin goes on with cheaprand's own steps, which must not lead to the next seed. */
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    x ^= x >> 16;
    return x ? x : 1;
}

struct selecting {
    struct op op;
    struct selectstate s;
    PyObject *const *args; /* the cases, whoever holds them */
    Py_ssize_t dflt;       /* which of them is the default; -1: none */
    uint32_t casei;        /* which of them has run */
    bool tried;
};

/* Drop the values that have not been sent. r is what has happened to the case casei. */
static void drop_unsent(struct selectstate *s, enum chan_result r, uint32_t casei)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cases[i].send) {
            if (!(r == CHAN_OK && i == casei))
                Py_XDECREF((PyObject *)s->cases[i].elem);
            s->cases[i].elem = NULL;
        }
}

/* r has happened to the case k->casei, or, if it is CHAN_BLOCK, the default runs. */
static enum op_result selected(struct selecting *k, enum chan_result r)
{
    struct op *op = &k->op;
    struct scase *c = &k->s.cases[k->casei];
    drop_unsent(&k->s, r, k->casei);
    if (r == CHAN_BLOCK) {
        op->value = result(k->dflt, new_ref(Py_None), true);
    } else if (r == CHAN_CLOSED && c->send) {
        PyErr_SetString(hooks.ClosedChannelError, "send on closed channel");
    } else if (r == CHAN_CLOSED) {
        op->value = result(k->casei, new_ref(((Case *)k->args[k->casei])->ch->owner->zero), false);
    } else {
        PyObject *value = c->send ? new_ref(Py_None) : received(c->c, c->elem);
        op->value = value ? result(k->casei, value, true) : NULL;
        op->ok = !c->send;
    }
    return op->value ? OP_DONE : OP_RAISED;
}

static enum op_result foreign(bool send)
{
    PyErr_Format(hooks.Panic, "%s on synctest channel from outside bubble", send ? "send" : "receive");
    return OP_RAISED;
}

static enum op_result select_kind_begin(struct op *op, struct g *gp)
{
    struct selecting *k = OP_OF(struct selecting, op);
    struct selectstate *s = &k->s;
    enum chan_result r = CHAN_BLOCK;
    if (!k->tried) { /* without sudogs: most need not wait */
        k->tried = true;
        r = select_begin(s, NULL, seed(), &k->casei);
    }
    if (r == CHAN_BLOCK && k->dflt < 0) {
        if (gp == NULL)
            return OP_PARK;
        s->sudogs = PyMem_RawMalloc((s->n ? s->n : 1) * sizeof(*s->sudogs));
        r = s->sudogs ? select_begin(s, gp, seed(), &k->casei) : CHAN_NOMEM;
    }
    if (r == CHAN_PARK)
        return OP_PARK;
    if (unlikely(r == CHAN_BUBBLE)) {
        drop_unsent(s, r, 0);
        return foreign(s->cases[k->casei].send);
    }
    return r == CHAN_NOMEM ? op_failed(WAKE_NOMEM) : selected(k, r);
}

static enum op_result select_kind_finish(struct op *op, struct g *gp, enum wake w)
{
    struct selecting *k = OP_OF(struct selecting, op);
    enum chan_result r = select_finish(&k->s, gp, w, &k->casei);
    return r == CHAN_OK || r == CHAN_CLOSED ? selected(k, r) : op_failed(w);
}

static void select_kind_undo(struct op *op)
{
    struct selecting *k = OP_OF(struct selecting, op);
    if (!op->ok) /* nothing was received */
        return;
    PyObject *value = new_ref(PyTuple_GET_ITEM(op->value, 1));
    Py_CLEAR(op->value);
    chan_give_back(k->s.cases[k->casei].c, value);
}

static void select_kind_clear(struct op *op)
{
    struct selecting *k = OP_OF(struct selecting, op);
    drop_unsent(&k->s, CHAN_BLOCK, 0);
    PyMem_RawFree(k->s.sudogs);
}

/* An aselect(), whose cases are in memory of their own and in a tuple. */
static void aselect_clear(struct op *op)
{
    struct selecting *k = OP_OF(struct selecting, op);
    if (k->s.cases)
        select_kind_clear(op);
    PyMem_RawFree(k->s.cases);
}

static const struct op_kind select_kind = {
    .name = "select", .begin = select_kind_begin, .finish = select_kind_finish};
static const struct op_kind aselect_kind = {.name = "aselect",
                                            .begin = select_kind_begin,
                                            .finish = select_kind_finish,
                                            .undo = select_kind_undo,
                                            .clear = aselect_clear,
                                            .size = sizeof(struct selecting)};

/* Memory for n cases, to be freed by s->cases. false: raised. */
static bool allocate(struct selectstate *s, Py_ssize_t n)
{
    if (n > MOST_CASES) {
        PyErr_Format(PyExc_ValueError, "`cases` must be at most %d", MOST_CASES);
        return false;
    }
    s->cases = PyMem_RawMalloc((size_t)n * (sizeof(*s->cases) + 2 * sizeof(uint16_t)) + 1);
    if (s->cases == NULL) {
        PyErr_NoMemory();
        return false;
    }
    s->pollorder = (uint16_t *)(s->cases + n);
    s->lockorder = s->pollorder + n;
    return true;
}

static PyObject *run_select(struct selecting *k)
{
    if ((k->dflt = collect(&k->s, k->args, (Py_ssize_t)k->s.n)) == -2)
        return NULL;
    enum op_result did = OP_PARK;
    if (likely(!real_peek(&sched.attention)) && (did = select_kind_begin(&k->op, NULL)) == OP_DONE)
        /* Most selects end here, without a wait and with nothing left to clear. */
        return k->op.value;
    PyObject *r = did == OP_PARK ? op_run(&k->op) : op_wait(&k->op, NULL, did);
    select_kind_clear(&k->op);
    return r;
}

static PyObject *core_select(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    struct selecting k;
    k.op = (struct op){.kind = &select_kind, .deadline = NEVER};
    k.s.n = (uint32_t)nargs;
    k.s.sudogs = NULL;
    k.args = args;
    k.tried = false;
    if (unlikely(kwnames != NULL) &&
        parse_timeout_kw(args, nargs, nargs, kwnames, "select", &k.op.deadline) < 0)
        return NULL;
    if (likely(nargs <= ON_STACK)) {
        struct scase cases[ON_STACK];
        uint16_t orders[2 * ON_STACK];
        k.s.cases = cases;
        k.s.pollorder = orders;
        k.s.lockorder = orders + ON_STACK;
        return run_select(&k);
    }
    if (!allocate(&k.s, nargs))
        return NULL;
    PyObject *r = run_select(&k);
    PyMem_RawFree(k.s.cases);
    return r;
}

static PyObject *core_aselect(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    (void)self;
    int64_t deadline = NEVER;
    if (unlikely(kwnames != NULL) && parse_timeout_kw(args, nargs, nargs, kwnames, "aselect", &deadline) < 0)
        return NULL;
    PyObject *cases = PyTuple_New(nargs);
    if (cases == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < nargs; i++)
        PyTuple_SET_ITEM(cases, i, new_ref(args[i]));
    PyAwait *a = await_new(&aselect_kind, cases, NULL, deadline);
    Py_DECREF(cases);
    if (a == NULL)
        return NULL;
    struct selecting *k = OP_OF(struct selecting, a->op);
    k->args = &PyTuple_GET_ITEM(cases, 0);
    if (!allocate(&k->s, nargs))
        Py_CLEAR(a);
    else if ((k->dflt = collect(&k->s, k->args, nargs)) == -2)
        Py_CLEAR(a);
    else
        k->s.n = (uint32_t)nargs;
    return (PyObject *)a;
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
    {"send", FAST(core_send),
     "send($module, ch, value, /)\n--\n\nThe case of a select that sends value to ch. Does nothing by "
     "itself."},
    {"aselect", FASTKW(core_aselect),
     "aselect($module, /, *cases, timeout=None)\n--\n\n"
     "An awaitable: select() for `async def` and generator goroutines, and asyncio."},
    {"select", FASTKW(core_select),
     "select($module, /, *cases, timeout=None)\n--\n\n"
     "Park until one case can run, run exactly that one, and return (index, value, ok).\n\n"
     "value and ok are those of recv_ok() for a receive; None and True for a send or the default. Among "
     "ready\n"
     "cases the choice is uniformly random. With `default` it never parks. A case may be built once and "
     "used\n"
     "many times. select() with no cases parks for ever. TimeoutError after `timeout` seconds."},
    {0},
};
