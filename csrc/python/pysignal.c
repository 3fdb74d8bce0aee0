/* pysignal.c: gopy.signal: which channels get which signals, and the thread that sends them.
 *
 * The thread is started by the first notify. It is attached to Python only while it sends. All signals are blocked in
 * it.
 *
 * notified_lock guards the list, `refs`, `in_hand` and the calls of signal_enable and signal_disable. An entry whose
 * channel is being stopped stays in the list until every signal that came before is delivered, and until the thread
 * does not have the entry in hand for a later signal: while the thread sends, it does not hold the lock. */
#include "pysignal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "pyattach.h"
#include "pychan.h"
#include "pyerror.h"
#include "pyop.h"
#include "pyownthread.h"

struct notified {
    PyChan *ch; /* a Chan, not a view */
    uint64_t mask;
    bool stopping;
    struct notified *next;
};

static struct lock notified_lock;
static struct notified *all_notified;
static struct notified *in_hand;           /* the receiver sends to this one's channel */
static uint32_t refs[MOST_SIGNALS + 1];    /* how many entries want the signal */
static PyObject *values[MOST_SIGNALS + 1]; /* what is sent for it; set at its first notify, never dropped */
static uint32_t receiver_running;

#define WANTS(n, sig) ((n)->mask >> ((sig) - 1) & 1)

/* ---- the receiver ---- */

static struct notified *next_notified(struct notified *after, int sig)
{
    lock(&notified_lock);
    struct notified *n = after ? after->next : all_notified;
    while (n && !WANTS(n, sig))
        n = n->next;
    in_hand = n;
    unlock(&notified_lock);
    return n;
}

static void deliver(PyThreadState *ts, int sig)
{
    PyEval_RestoreThread(ts);
    for (struct notified *n = NULL; (n = next_notified(n, sig)) != NULL;) {
        PyObject *value = new_ref(values[sig]);
        /* If nobody waits and the buffer is full, or the channel is closed, the signal is lost to this one. */
        if (chansend_begin(n->ch->c, NULL, value) != CHAN_OK)
            Py_DECREF(value);
    }
    PyEval_SaveThread();
}

static void receiver(void)
{
    PyThreadState *ts = own_state();
    for (int sig; ts && (sig = signal_recv()) != 0;)
        deliver(ts, sig);
}

static bool start_receiver(void)
{
    if (!acas(&receiver_running, 0, 1))
        return true;
    bool ok = start_detached_thread(receiver);
    if (!ok)
        astore(&receiver_running, 0);
    return ok;
}

/* At exit: from here on the receiver does not attach any more. */
void signals_shutdown(void)
{
    signal_quit();
    for (int i = 0; signal_receiving(); i++)
        nap(i);
}

void signals_before_fork(void)
{
    for (int i = 0; i < 200 && !signal_idle(); i++)
        nap(i);
}

void signals_fork_child(void)
{
    notified_lock = (struct lock){0};
    in_hand = NULL;
    receiver_running = 0;
    signal_fork_child();
    for (struct notified **at = &all_notified; *at;)
        if ((*at)->stopping) /* by a thread of the parent's, which holds on to it */
            *at = (*at)->next;
        else
            at = &(*at)->next;
    if (all_notified == NULL)
        return;
    aadd(&sched.nexternal, 1);
    start_receiver();
}

/* ---- the list ---- */

static struct notified *find_locked(PyChan *ch)
{
    struct notified *n = all_notified;
    while (n && (n->ch != ch || n->stopping))
        n = n->next;
    return n;
}

/* -> the mask of those that could be enabled: all, or errno is set. */
static uint64_t enable_locked(uint64_t mask)
{
    uint64_t done = 0;
    for (int sig = 1; sig <= MOST_SIGNALS; sig++) {
        uint64_t bit = (uint64_t)1 << (sig - 1);
        if (!(mask & bit))
            continue;
        if (!signal_enable(sig))
            break;
        done |= bit;
    }
    return done;
}

static void disable_locked(uint64_t mask)
{
    for (int sig = 1; sig <= MOST_SIGNALS; sig++)
        if ((mask >> (sig - 1) & 1) && refs[sig] == 0)
            signal_disable(sig);
}

/* ch is to get the signals of mask, too. If ch has no entry *fresh becomes it, and is then NULL. false: errno is
 * set. */
static bool notify(PyChan *ch, uint64_t mask, struct notified **fresh)
{
    lock(&notified_lock);
    uint64_t done = enable_locked(mask);
    if (done != mask) {
        int err = errno;
        disable_locked(done);
        unlock(&notified_lock);
        errno = err;
        return false;
    }
    struct notified *n = find_locked(ch);
    if (n == NULL) {
        if (all_notified == NULL)
            aadd(&sched.nexternal, 1);
        n = *fresh;
        *fresh = NULL;
        n->next = all_notified;
        all_notified = n;
    }
    for (int sig = 1; sig <= MOST_SIGNALS; sig++)
        refs[sig] += (mask & ~n->mask) >> (sig - 1) & 1;
    n->mask |= mask;
    unlock(&notified_lock);
    return true;
}

/* Nothing new goes to ch, but what has come already still does. -> its entry, or NULL. */
static struct notified *begin_stop(PyChan *ch)
{
    lock(&notified_lock);
    struct notified *n = find_locked(ch);
    if (n) {
        n->stopping = true;
        for (int sig = 1; sig <= MOST_SIGNALS; sig++)
            refs[sig] -= WANTS(n, sig);
        disable_locked(n->mask);
    }
    unlock(&notified_lock);
    return n;
}

static void end_stop(struct notified *n)
{
    lock(&notified_lock);
    for (int i = 0; in_hand == n; i++) {
        unlock(&notified_lock);
        nap(i);
        lock(&notified_lock);
    }
    struct notified **at = &all_notified;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    if (all_notified == NULL)
        aadd(&sched.nexternal, -1);
    unlock(&notified_lock);
    Py_DECREF(n->ch);
    free(n);
}

/* ---- for gopy/signal.py ---- */

static PyChan *channel_of(PyObject *o)
{
    if (PyObject_TypeCheck(o, &SendChan_Type))
        return ((PyChan *)o)->owner;
    type_error("ch", "a SendChan or a Chan", o);
    return NULL;
}

/* The signals of a tuple, and what to send for them. */
static bool mask_of(PyObject *signums, uint64_t *mask)
{
    *mask = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(signums); i++) {
        PyObject *value = PyTuple_GET_ITEM(signums, i);
        long sig = PyLong_AsLong(value);
        if (sig < 1 || sig > MOST_SIGNALS) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "`signum` must be a signal's number, got %ld", sig);
            return false;
        }
        *mask |= (uint64_t)1 << (sig - 1);
        if (aload(&values[sig]) == NULL && !acas(&values[sig], (PyObject *)NULL, new_ref(value)))
            Py_DECREF(value);
    }
    return true;
}

static PyObject *core_signal_notify(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *o, *signums;
    uint64_t mask;
    if (!PyArg_ParseTuple(args, "OO!", &o, &PyTuple_Type, &signums))
        return NULL;
    PyChan *ch = channel_of(o);
    if (ch == NULL || !mask_of(signums, &mask))
        return NULL;
    if (ch->c == NULL) {
        PyErr_SetString(hooks.Panic, "os/signal: Notify using nil channel");
        return NULL;
    }
    if (ch->c->bubble) {
        PyErr_SetString(hooks.Panic,
                        "os/signal: Notify using a synctest channel: signals come from outside its bubble");
        return NULL;
    }
    if (host_is_main_thread() && getg_or_raise() == NULL) /* it sees to its SIGINT first, see _on_adopt */
        return NULL;
    if (!start_receiver()) {
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    struct notified *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return PyErr_NoMemory();
    fresh->ch = (PyChan *)new_ref((PyObject *)ch);
    bool ok = notify(ch, mask, &fresh);
    int err = errno;
    if (fresh) {
        Py_DECREF(fresh->ch);
        free(fresh);
    }
    if (ok)
        Py_RETURN_NONE;
    errno = err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *core_signal_stop(PyObject *self, PyObject *o)
{
    (void)self;
    PyChan *ch = channel_of(o);
    if (ch == NULL)
        return NULL;
    struct notified *n = begin_stop(ch);
    for (uint32_t count = 0; count < 2; count++) {
        signal_avoid(count);
        for (int i = 0; !signal_handled(count); i++)
            nap(i);
    }
    uint32_t since = signal_round();
    for (int i = 0; !signal_delivered(since); i++)
        nap(i);
    /* Once the program exits, the receiver may have stopped with n in hand. */
    if (n && !real_load(&sched.exiting))
        end_stop(n);
    Py_RETURN_NONE;
}

/* The main thread has set its own SIGINT handler, which is for when no channel gets SIGINT. If one does, take it
 * back. */
static PyObject *core_signal_retake(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    lock(&notified_lock);
    if (refs[SIGINT])
        signal_enable(SIGINT);
    unlock(&notified_lock);
    Py_RETURN_NONE;
}

PyMethodDef signal_functions[] = {
    {"signal_notify", core_signal_notify, METH_VARARGS, NULL},
    {"signal_stop", core_signal_stop, METH_O, NULL},
    {"signal_retake", core_signal_retake, METH_NOARGS, NULL},
    {0},
};
