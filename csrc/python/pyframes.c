/* pyframes.c: shows the collector of free-threaded CPython 3.14 and 3.15 what suspended goroutines refer to.
 *
 * Why. There the frames of Python functions hold references to functions, code and modules that are not counted
 * ("deferred"): the collector finds them by walking the frames of every thread. A suspended greenlet's frames are
 * in no thread. So an object that nothing but a parked goroutine's local refers to would be collected under it,
 * and the goroutine would then call whatever lies there. 3.13 makes such objects immortal, which is why it needs
 * nothing. On 3.15 a greenlet shows its own frames, but the collector passes over every greenlet that existed when
 * gc.freeze() was called, whatever its goroutine refers to by now.
 *
 * How. One object of ours, which the collector sees and never collects, stands for all suspended frames: its
 * tp_traverse visits their uncounted references. The counted ones need no visit: references that the collector
 * cannot account for keep their objects alive. While the collector subtracts the references between objects,
 * uncounted ones must be left out; our object then has its own "unreachable" bit set, which is cleared before
 * the collector traverses it to mark what it reaches.
 *
 * What it relies on, all of it peculiar to these versions:
 *  - the world is stopped during every traversal, so nobody switches or changes the list (it is changed by
 *    attached threads only, which do not detach in between);
 *  - greenlet links the complete frames of a suspended greenlet past those on its C stack, which is swapped out;
 *    so the chain from its first complete frame may be followed;
 *  - greenlet holds what the C stack of a suspended greenlet refers to without counting (from 3.5.4 on).
 *
 * Refused: making the references counted when a goroutine parks and uncounted again when it resumes, which costs
 * every switch as much as a collection costs here. */
#include "pyframes.h"

#if GOPY_VISIT_FRAMES

#if PY_VERSION_HEX < 0x030E00F0 || PY_VERSION_HEX >= 0x03100000
#error                                                                                                       \
    "pyframes.c knows the frames of CPython 3.14 and 3.15 only: see its top before it is told of another version"
#endif
#ifdef Py_STACKREF_DEBUG
#error "pyframes.c does not know the references of an interpreter built with Py_STACKREF_DEBUG"
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "internal/pycore_gc.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_runtime.h"
#include "internal/pycore_stackref.h"
#pragma GCC diagnostic pop

#if PY_VERSION_HEX < 0x030F0000
#define PyStackRef_RefcountOnObject(ref) (!PyStackRef_IsDeferred(ref))
#endif

static struct lock frames_lock;
static struct frames *first;
static PyObject *root; /* never dropped */

void frames_add(struct frames *f)
{
    f->prev = NULL;
    lock(&frames_lock);
    f->next = first;
    if (first)
        first->prev = f;
    first = f;
    unlock(&frames_lock);
}

void frames_remove(struct frames *f)
{
    lock(&frames_lock);
    if (f->prev)
        f->prev->next = f->next;
    else
        first = f->next;
    if (f->next)
        f->next->prev = f->prev;
    unlock(&frames_lock);
}

/* The greenlet of f, which runs on this thread, is about to be suspended. */
void frames_suspend(struct frames *f, PyThreadState *ts)
{
    f->top = _PyFrame_GetFirstComplete(ts->current_frame);
}

/* Only the greenlet that forked goes on; the others' frames lie where they are and are never looked at. */
void frames_fork_child(struct frames *running)
{
    memset(&frames_lock, 0, sizeof(frames_lock));
    first = NULL;
    if (running)
        frames_add(running);
}

static int visit_uncounted(_PyStackRef ref, visitproc visit, void *arg)
{
    if (PyStackRef_IsNullOrInt(ref) || PyStackRef_RefcountOnObject(ref))
        return 0;
    return visit(PyStackRef_AsPyObjectBorrow(ref), arg);
}

static int visit_frame(_PyInterpreterFrame *frame, visitproc visit, void *arg)
{
    int r;
    if (frame->owner >= FRAME_OWNED_BY_INTERPRETER)
        return 0;
    if ((r = visit_uncounted(frame->f_executable, visit, arg)) != 0 ||
        (r = visit_uncounted(frame->f_funcobj, visit, arg)) != 0)
        return r;
    _PyStackRef *end = frame->stackpointer;
    /* Debug builds hide the stack pointer here and there: visit the locals at least. */
    if (end == NULL)
        end = _PyFrame_Stackbase(frame);
    for (_PyStackRef *ref = frame->localsplus; ref < end; ref++)
        if ((r = visit_uncounted(*ref, visit, arg)) != 0)
            return r;
    return 0;
}

static int root_traverse(PyObject *self, visitproc visit, void *arg)
{
    if (self->ob_gc_bits & _PyGC_BITS_UNREACHABLE) /* references are being counted */
        return 0;
    for (struct frames *f = first; f; f = f->next)
        for (_PyInterpreterFrame *frame = f->top; frame; frame = frame->previous) {
            int r = visit_frame(frame, visit, arg);
            if (r != 0)
                return r;
        }
    return 0;
}

static PyTypeObject Root_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gopy._SuspendedFrames",
    .tp_doc = "Stands for the frames of all parked goroutines.",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = root_traverse,
    .tp_free = PyObject_GC_Del,
};

/* Called before and after every collection. After gc.freeze() the collector passes over all that existed then,
 * our object too, which it must not. */
static PyObject *collection(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)self, (void)args, (void)nargs;
    if (__atomic_load_n(&root->ob_gc_bits, __ATOMIC_RELAXED) & _PyGC_BITS_FROZEN)
        __atomic_and_fetch(&root->ob_gc_bits, (uint8_t)~_PyGC_BITS_FROZEN, __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

static PyMethodDef collection_def = {"gopy_thaw", FAST(collection), NULL};

/* Whether the interpreter that runs has the layout that was compiled for: it tells debuggers its own. */
static bool layout_is_known(void)
{
    const struct _Py_DebugOffsets *runs = &_PyRuntime.debug_offsets;
    return runs->free_threaded == 1 && runs->interpreter_frame.size == sizeof(_PyInterpreterFrame) &&
           runs->interpreter_frame.previous == offsetof(_PyInterpreterFrame, previous) &&
           runs->interpreter_frame.executable == offsetof(_PyInterpreterFrame, f_executable) &&
           runs->interpreter_frame.instr_ptr == offsetof(_PyInterpreterFrame, instr_ptr) &&
           runs->interpreter_frame.localsplus == offsetof(_PyInterpreterFrame, localsplus) &&
           runs->interpreter_frame.owner == offsetof(_PyInterpreterFrame, owner) &&
           runs->interpreter_frame.stackpointer == offsetof(_PyInterpreterFrame, stackpointer) &&
           runs->thread_state.current_frame == offsetof(PyThreadState, current_frame);
}

bool is_frames_root(PyObject *o) { return o == root; }

int frames_init(void)
{
    if (!layout_is_known()) {
        PyErr_Format(PyExc_ImportError,
                     "gopy was compiled for %s and runs on %s, whose frames differ: "
                     "install it again, from source",
                     PY_VERSION, Py_GetVersion());
        return -1;
    }
    if (PyType_Ready(&Root_Type) < 0 || (root = (PyObject *)PyObject_GC_New(PyObject, &Root_Type)) == NULL)
        return -1;
    PyObject_GC_Track(root);
    PyObject *gc = PyImport_ImportModule("gc"), *fn = PyCFunction_New(&collection_def, NULL);
    PyObject *callbacks = gc ? PyObject_GetAttrString(gc, "callbacks") : NULL;
    int r = callbacks && fn ? PyList_Append(callbacks, fn) : -1;
    Py_XDECREF(callbacks);
    Py_XDECREF(fn);
    Py_XDECREF(gc);
    return r;
}

#endif
