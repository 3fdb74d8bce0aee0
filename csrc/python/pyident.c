/* pyident.c: the identity of whoever calls, by which locks and the standard library tell threads apart: a goroutine has one of
 * its own, for life. The main goroutine's is its thread's, which may hold locks when it first uses gopy; one that forks
 * keeps its own in the child, where it is the main one. */
#include "pyident.h"

#include "pyswitch.h"

#define GOROUTINE_IDENT ((uint64_t)1 << 62)

static uint64_t
    forked_ident; /* of the main goroutine, if it was another's in the process that forked; else 0 */

static uint64_t ident_of(struct g *gp)
{
    if (unlikely(gp->kind ==
                 GSYSTEM)) /* a signal handler while everything is parked: that is the main goroutine's */
        gp = sched.g1;
    if (gp != sched.g1)
        return GOROUTINE_IDENT | gp->id;
    return forked_ident ? forked_ident : PyThread_get_thread_ident();
}

uint64_t ident_here(void)
{
    struct m *mp = getm();
    return mp && mp->curg ? ident_of(mp->curg) : PyThread_get_thread_ident();
}

void ident_fork_child(struct g *gp) { forked_ident = gp == sched.g1 ? forked_ident : ident_of(gp); }

static PyObject *core_get_ident(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyLong_FromUnsignedLongLong(ident_here());
}

/* The native identity that ident stands for; 0: its goroutine is on no thread. */
static uint64_t native_ident(uint64_t ident)
{
    if (ident == forked_ident && forked_ident)
        return m_thread_ident(&sched.m0);
    if (!(ident & GOROUTINE_IDENT))
        return ident;
    uint64_t id = ident & ~GOROUTINE_IDENT;
    struct allg *s = &sched.allg[id % ALLG_SHARDS];
    struct m *mp = NULL;
    lock(&s->lock);
    for (struct g *gp = s->first; gp; gp = gp->allnext)
        if (gp->id == id)
            mp = gp->boundm;
    unlock(&s->lock);
    return mp ? m_thread_ident(mp) : 0;
}

static PyObject *core_native_ident(PyObject *self, PyObject *arg)
{
    (void)self;
    unsigned long long ident = PyLong_AsUnsignedLongLong(arg);
    if (ident == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLongLong(native_ident(ident));
}

bool parks_here(void)
{
    struct m *mp = getm();
    return mp && mp->curg && mp->curg->kind != GSYSTEM && !real_load(&sched.exiting);
}

static PyObject *core_parks(PyObject *self, PyObject *noargs)
{
    (void)self, (void)noargs;
    return PyBool_FromLong(parks_here());
}

PyMethodDef ident_functions[] = {
    {"native_ident", core_native_ident, METH_O, NULL},
    {"parks", core_parks, METH_NOARGS, NULL},
    {"get_ident", core_get_ident, METH_NOARGS, NULL},
    {0},
};
