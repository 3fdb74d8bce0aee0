/* pyworker.c: workers: the greenlets that goroutines run in, and where their frames begin.
 *
 * A worker runs a function of C: no Python frame lies below its goroutine's, as in a thread. Between two goroutines the
 * interpreter thus looks for no signal handler, finalizer or pending call, which would find no goroutine to park.
 *
 * Python keeps frames in chunks, of 16 KiB and so at least a page of memory, and does not free a greenlet's first one, the
 * root, as long as the greenlet lives. Most goroutines need a few hundred bytes. So a worker brings a small root of its
 * own, in the block of memory that it is in itself; what does not fit there is in chunks as ever (pychunks.c).
 *
 * Python gives memory of chunks back to its arena allocator, with its size. A root is in its thread state while the
 * worker is on, so it gets there when the thread state of a thread that was stopped is freed, at exit or after a fork.
 * ROOT_SIZE tells our allocator to leave it alone. Another one, which a program has put in the place of ours, would unmap
 * it: the system refuses that, as a root never begins at a page.
 *
 * The collector does not know of a worker's greenlet, as long as there is the worker. To traverse it, and so each parked
 * goroutine in every full collection, would find nothing: the worker holds the greenlet, so all that the greenlet refers to
 * lives anyway. What the collector has to be shown of its frames, pyframes.c shows. */
#include "pyworker.h"

static PyMethodDef worker_def = {"goroutine", NULL, METH_NOARGS, NULL};
static PyObject *worker_args; /* of its greenlet */

_Static_assert(offsetof(struct worker, root) % 16 == 8,
               "malloc aligns to 16, and a root is to begin at no page");

int worker_init(PyCFunction run)
{
    worker_def.ml_meth = run;
    PyObject *function = PyCFunction_New(&worker_def, NULL);
    worker_args = function ? PyTuple_Pack(1, function) : NULL;
    Py_XDECREF(function);
    return worker_args ? 0 : -1;
}

/* The worker w has just begun, on the thread of ts. It has a chunk if greenlet has called a function that traces. */
void root_install(struct worker *w, PyThreadState *ts)
{
    if (likely(ts->datastack_chunk == NULL)) {
        _PyStackChunk *root = (_PyStackChunk *)w->root;
        *root = (_PyStackChunk){.size = ROOT_SIZE};
        ts->datastack_chunk = root;
        /* Python frees a chunk when what lies at its beginning goes, so nothing may lie there. */
        ts->datastack_top = &root->data[1];
        ts->datastack_limit = (PyObject **)((char *)root + ROOT_SIZE);
    }
    w->chunk = first_chunk(ts);
}

void root_remove(struct worker *w, PyThreadState *ts)
{
    if (likely(ts->datastack_chunk == (_PyStackChunk *)w->root)) {
        ts->datastack_chunk = NULL;
        ts->datastack_top = ts->datastack_limit = NULL;
    }
}

struct worker *pop_idle(struct hostm *hm)
{
    struct worker *w = hm->idle;
    if (w) {
        hm->idle = w->next;
        if (--hm->nidle < hm->idle_low)
            hm->idle_low = hm->nidle;
    }
    return w;
}

void free_worker(struct worker *w)
{
    frames_remove(&w->frames);
    if (unlikely(Py_REFCNT(w->glet) > 1)) /* the program has it */
        PyObject_GC_Track(w->glet);
    Py_DECREF(w->glet);
    free(w);
}

void free_dead(struct hostm *hm)
{
    struct worker *w = hm->dead;
    hm->dead = NULL;
    if (w)
        free_worker(w);
}

struct worker *new_worker(void)
{
    struct worker *w = malloc(WORKER_SIZE);
    if (w)
        memset(w, 0, sizeof(*w));
    if (w == NULL || (w->glet = greenlet_new(worker_args)) == NULL) {
        free(w);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    PyObject_GC_UnTrack(w->glet);
    w->at = w->glet;
    frames_add(&w->frames);
    return w;
}
