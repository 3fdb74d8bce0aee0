/* pyleaked.c: for gopy/_leaked.py: what a parked stackless goroutine refers to, and what it waits for.
 *
 * Between two steps such a goroutine has nothing on a C stack. Its coroutine, its awaitable and its context are objects that the
 * collector can look into, and the references that its Goroutine has to them are exactly those that are told here. */
#include "pyleaked.h"

#include "pyawait.h"
#include "pychan.h"
#include "pycond.h"
#include "pyg.h"
#include "pylock.h"
#include "pyonce.h"
#include "pyselect.h"
#include "pywaitgroup.h"

/* Append what has to be reachable for o, which is waited for, to become ready. false: raised, or it is not known (*known is
 * then false). Nothing is appended for what never becomes ready. */
static bool add_wait(PyObject *list, PyObject *o, bool *known)
{
    if (PyObject_TypeCheck(o, &ChanBase_Type)) {
        PyChan *ch = (PyChan *)o;
        *known = ch->c == NULL || !chan_timed(ch->c);
        return *known && (ch->c == NULL || PyList_Append(list, (PyObject *)ch->owner) == 0);
    }
    PyTypeObject *type = Py_TYPE(o);
    *known = type == &Mutex_Type || type == &RWMutex_Type || type == &WaitGroup_Type || type == &Cond_Type ||
             type == &Once_Type;
    return *known && PyList_Append(list, o) == 0;
}

static bool add_waits(PyObject *list, PyAwait *a, uint8_t reason, bool *known)
{
    PyObject *obj = a->op->obj;
    *known = obj != NULL && a->op->deadline == NEVER && a->task == NULL;
    /* A Cond's waiter that waits for L by now. */
    if (*known && Py_TYPE(obj) == &Cond_Type && (reason & ~WAIT_DURABLE) != WAIT_SYNC_COND_WAIT)
        *known = false;
    if (!*known)
        return false;
    if (!PyTuple_CheckExact(obj))
        return add_wait(list, obj, known);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(obj); i++) { /* the cases of an aselect() */
        PyObject *ch = case_channel(PyTuple_GET_ITEM(obj, i));
        *known = ch != NULL;
        if (!*known || !add_wait(list, ch, known))
            return false;
    }
    return true;
}

/* parked_on(goroutine) -> (addresses of what its Goroutine refers to, what it waits for), or None: not known. */
static PyObject *core_parked_on(PyObject *self, PyObject *arg)
{
    (void)self;
    Goroutine *go = (Goroutine *)arg;
    PyAwait *a = go->awaiting;
    bool known =
        !GOPY_THREADED && go->g.kind == GSTACKLESS && go->g.status == Gwaiting && a && go->worker == NULL;
    PyObject *waits = known ? PyList_New(0) : NULL, *held = NULL, *result = NULL;
    if (waits && add_waits(waits, a, go->g.reason, &known) && (held = PyList_New(0)) != NULL) {
        PyObject *const all[] = {go->fn, go->args, go->context, (PyObject *)a, go->group};
        bool ok = true;
        for (size_t i = 0; ok && i < sizeof(all) / sizeof(*all); i++) {
            PyObject *address = all[i] ? PyLong_FromVoidPtr(all[i]) : NULL;
            ok = all[i] == NULL || (address && PyList_Append(held, address) == 0);
            Py_XDECREF(address);
        }
        result = ok ? PyTuple_Pack(2, held, waits) : NULL;
    }
    Py_XDECREF(held);
    Py_XDECREF(waits);
    if (result == NULL && !PyErr_Occurred())
        result = new_ref(Py_None);
    return result;
}

PyMethodDef leaked_functions[] = {
    {"parked_on", core_parked_on, METH_O, NULL},
    {0},
};
