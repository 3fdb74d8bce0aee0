/* pyparked.c: the references that the frames of a parked stackful goroutine hold: locals, cells and evaluation stacks.
 *
 * Invariant: `held` gets an object no more often than frames have counted references to it. Too few make an object look as
 * if somebody else had it, which is harmless; one too many would hide somebody else. So all that is not certain is
 * left out: what C functions between two frames hold, frames that are not complete, and those of generators, which
 * show theirs to the collector themselves.
 *
 * From CPython 3.14 on a frame's stack pointer is right whenever C code is called. Before, it is so only in a frame
 * that has called a Python function without C code between; else the depth follows from the code and the instruction.
 * Such a stack is written to `calls` as it lies in memory, with all that it has room for, for gopy/_leaked.py to cut:
 * whether the frame is the goroutine's newest, the instruction's offset, the number of slots, and the slots, which may point nowhere. The
 * code is in `calls` first.
 *
 * The frames of a suspended greenlet are linked past those on its C stack (pyframes.c). Those of a goroutine that parks
 * on a thread that has found nothing else to run are the thread's. */
#include "pyparked.h"

#include <stdlib.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "internal/pycore_frame.h"
#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_genobject.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_stackref.h"
#endif
#pragma GCC diagnostic pop

void words_add(struct words *w, uint64_t word)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 256;
        uint64_t *at = realloc(w->at, cap * sizeof(*at));
        if (at == NULL) {
            w->failed = true;
            return;
        }
        w->at = at;
        w->cap = cap;
    }
    w->at[w->n++] = word;
}

static void add(struct words *to, void *o)
{
    if (o)
        words_add(to, (uintptr_t)o);
}

#if PY_VERSION_HEX >= 0x030E0000

#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030F0000
#define PyStackRef_RefcountOnObject(ref) (!PyStackRef_IsDeferred(ref))
#endif

static void add_ref(_PyStackRef ref, struct words *counted, struct words *uncounted)
{
    if (PyStackRef_IsNullOrInt(ref))
        return;
    struct words *to = PyStackRef_RefcountOnObject(ref) ? counted : uncounted;
    if (to)
        add(to, PyStackRef_AsPyObjectBorrow(ref));
}

static void add_refs(_PyInterpreterFrame *frame, struct words *counted, struct words *uncounted)
{
    add_ref(frame->f_executable, counted, uncounted);
    add_ref(frame->f_funcobj, counted, uncounted);
    _PyStackRef *end = frame->stackpointer ? frame->stackpointer : _PyFrame_Stackbase(frame);
    for (_PyStackRef *ref = frame->localsplus; ref < end; ref++)
        add_ref(*ref, counted, uncounted);
}

static void add_frame(_PyInterpreterFrame *frame, bool newest, struct references *to)
{
    (void)newest;
    add(&to->held, frame->f_locals);
    add(&to->held, frame->frame_obj);
    add_refs(frame, &to->held, &to->loose);
}

void uncounted_references(PyObject *o, struct words *to)
{
    if (PyGen_CheckExact(o) || PyCoro_CheckExact(o) || PyAsyncGen_CheckExact(o))
        add_refs(&((PyGenObject *)o)->gi_iframe, NULL, to);
    else if (PyFrame_Check(o) && ((PyFrameObject *)o)->f_frame->owner == FRAME_OWNED_BY_FRAME_OBJECT)
        add_refs(((PyFrameObject *)o)->f_frame, NULL, to);
}

#else

#if PY_VERSION_HEX >= 0x030D0000
static PyCodeObject *code_of(_PyInterpreterFrame *frame) { return _PyFrame_GetCode(frame); }
static PyObject *function_of(_PyInterpreterFrame *frame) { return frame->f_funcobj; }
static _Py_CODEUNIT *instruction_of(_PyInterpreterFrame *frame) { return frame->instr_ptr; }
#else
static PyCodeObject *code_of(_PyInterpreterFrame *frame) { return frame->f_code; }
static _Py_CODEUNIT *instruction_of(_PyInterpreterFrame *frame) { return frame->prev_instr; }
#if PY_VERSION_HEX >= 0x030C0000
static PyObject *function_of(_PyInterpreterFrame *frame) { return frame->f_funcobj; }
#else
static PyObject *function_of(_PyInterpreterFrame *frame) { return (PyObject *)frame->f_func; }
#endif
#endif

static void add_frame(_PyInterpreterFrame *frame, bool newest, struct references *to)
{
    PyCodeObject *code = code_of(frame);
    add(&to->held, code);
    add(&to->held, function_of(frame));
    add(&to->held, frame->f_locals);
    add(&to->held, frame->frame_obj);
    int known = frame->stacktop >= 0 ? frame->stacktop : code->co_nlocalsplus;
    for (int i = 0; i < known; i++)
        add(&to->held, frame->localsplus[i]);
    if (frame->stacktop >= 0)
        return;
    words_add(&to->calls, (uintptr_t)code);
    words_add(&to->calls, newest);
    words_add(&to->calls, (uint64_t)((char *)instruction_of(frame) - (char *)_PyCode_CODE(code)));
    words_add(&to->calls, (uint64_t)code->co_stacksize);
    for (int i = 0; i < code->co_stacksize; i++)
        words_add(&to->calls, (uintptr_t)frame->localsplus[code->co_nlocalsplus + i]);
}

/* The collector is shown what is counted. */
void uncounted_references(PyObject *o, struct words *to) { (void)o, (void)to; }

#endif

void *suspended_frame(Goroutine *go)
{
    PyObject *glet = goroutine_on_thread(go) ? NULL : goroutine_greenlet(go);
    PyObject *frame = glet ? PyObject_GetAttrString(glet, "gr_frame") : NULL;
    void *found = frame && PyFrame_Check(frame) ? ((PyFrameObject *)frame)->f_frame : NULL;
    Py_XDECREF(glet);
    Py_XDECREF(frame); /* its greenlet has it */
    return found;
}

/* The newest frame of go, or NULL if it has none. -> whether that is known */
static bool newest_frame(Goroutine *go, void *suspended, _PyInterpreterFrame **newest)
{
    struct worker *w = go->worker;
    PyThreadState *ts = m_tstate(go->g.boundm);
    if (w->at != w->glet) /* in a greenlet of the program's own */
        return false;
    if (!goroutine_on_thread(go)) {
        *newest = suspended;
        return true;
    }
    if (GOPY_THREADED && PY_VERSION_HEX < 0x030E0000) /* the code may be gone before it is looked at */
        return false;
    if (ts == NULL || first_chunk(ts) != w->chunk)
        return false;
    *newest = running_frame(ts);
    return true;
}

bool frames_references(Goroutine *go, void *suspended, struct references *to)
{
    _PyInterpreterFrame *f;
    if (!newest_frame(go, suspended, &f))
        return false;
    for (bool newest = true; f; f = f->previous) {
        if (_PyFrame_IsIncomplete(f))
            continue;
        if (f->owner == FRAME_OWNED_BY_THREAD)
            add_frame(f, newest, to);
        newest = false;
    }
    return true;
}
