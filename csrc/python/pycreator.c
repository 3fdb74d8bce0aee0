/* pycreator.c: where a goroutine was started, and by which.
 *
 * A goroutine keeps two words about that: the code object whose call has started it, and the creator's id together with
 * the offset of the call. What line that is, is found out when it is shown. Frames of gopy's own Python code do not
 * count where a frame of the program's is below them: a program that calls errgroup's go() wants to see its own line. */
#include "pycreator.h"

#include "pyerror.h"
#include "pyversion.h"

#if !FRAMES_ARE_OPAQUE
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "internal/pycore_frame.h"
#endif

#define CODE_UNIT 2 /* bytes of an instruction */
#define UNIT_BITS                                                                                            \
    20 /* of Goroutine.creator: the instruction's offset in code units; the rest is the creator's id */
#define UNIT_MOST (((uint64_t)1 << UNIT_BITS) - 1)

#define TAIL 8

/* The folder of gopy's own Python code, with a slash at the end, if it is ASCII. Its last bytes are compared first. */
static const char *own_folder;
static size_t own_length;
static uint64_t own_tail;

/* Does code belong to gopy's own Python code? */
static inline bool is_own(PyCodeObject *code)
{
    PyObject *name = code->co_filename;
    if (unlikely(own_folder == NULL) || !PyUnicode_IS_COMPACT_ASCII(name) ||
        (size_t)PyUnicode_GET_LENGTH(name) <= own_length)
        return false;
    const char *text = (const char *)((PyASCIIObject *)name + 1);
    uint64_t tail;
    memcpy(&tail, text + own_length - TAIL, TAIL);
    return unlikely(tail == own_tail) && memcmp(text, own_folder, own_length) == 0;
}

/* The code that runs on this thread, a new reference, and the offset of its instruction in bytes. NULL: there is none. */
static PyCodeObject *running_code(PyThreadState *ts, int *offset)
{
    struct _PyInterpreterFrame *frame = running_frame(ts);
    if (frame == NULL)
        return NULL;
#if FRAMES_ARE_OPAQUE
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    if (unlikely(code == NULL || !PyCode_Check(code))) {
        Py_XDECREF(code);
        return NULL;
    }
    *offset = PyUnstable_InterpreterFrame_GetLasti(frame);
#else
    PyObject *code = new_ref((PyObject *)frame->f_code);
    *offset = _PyInterpreterFrame_LASTI(frame) * CODE_UNIT;
#endif
    return (PyCodeObject *)code;
}

/* The code of the newest frame of the program's below those of gopy's own, likewise. Frames are objects that are made
 * here, and whoever asks for a trace is in the midst of parking: no collection may run a finalizer then. */
__attribute__((noinline)) static PyCodeObject *users_code(PyThreadState *ts, int *offset)
{
    COLLECTIONS_PAUSE();
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    PyCodeObject *code = NULL;
    while (frame) {
        code = PyFrame_GetCode(frame);
        *offset = PyFrame_GetLasti(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
        if (!is_own(code))
            break;
        Py_CLEAR(code);
    }
    Py_XDECREF(frame);
    COLLECTIONS_GO_ON();
    return code;
}

static inline uint32_t unit_at(int offset) { return offset > 0 ? (uint32_t)offset / CODE_UNIT : 0; }

PyCodeObject *creator_running(uint32_t *unit)
{
    int offset = 0;
    PyCodeObject *code = running_code(PyThreadState_Get(), &offset);
    *unit = unit_at(offset);
    Py_XDECREF(code); /* its frame has it */
    return code;
}

bool creator_is_own(PyCodeObject *code) { return is_own(code); }

PyCodeObject *creator_here(uint32_t *unit)
{
    PyThreadState *ts = PyThreadState_Get();
    int offset = 0;
    PyCodeObject *code = running_code(ts, &offset);
    if (code && unlikely(is_own(code))) {
        int below;
        PyCodeObject *users = users_code(ts, &below);
        if (users) {
            Py_DECREF(code);
            code = users;
            offset = below;
        }
    }
    *unit = unit_at(offset);
    return code;
}

void creator_note(Goroutine *go, struct m *mp)
{
    uint32_t unit;
    uint64_t id = mp && mp->curg ? mp->curg->id : 0;
    go->creator_code = creator_here(&unit);
    go->creator = id << UNIT_BITS | (unit < UNIT_MOST ? unit : UNIT_MOST);
}

uint32_t creator_unit(Goroutine *go) { return (uint32_t)(go->creator & UNIT_MOST); }

uint64_t creator_id(Goroutine *go) { return go->creator >> UNIT_BITS; }

/* created_by(goroutine): (code, line, id of the creator or 0 for a plain thread), or None where no Python code has
 * started it. */
static PyObject *core_created_by(PyObject *self, PyObject *arg)
{
    (void)self;
    if (!Py_IS_TYPE(arg, &Goroutine_Type)) {
        type_error("goroutine", "a Goroutine", arg);
        return NULL;
    }
    Goroutine *go = (Goroutine *)arg;
    if (go->creator_code == NULL)
        Py_RETURN_NONE;
    int offset = (int)creator_unit(go) * CODE_UNIT;
    return Py_BuildValue("(OiK)", go->creator_code, PyCode_Addr2Line(go->creator_code, offset),
                         (unsigned long long)creator_id(go));
}

/* own_folder(path): where gopy's own Python code is. */
static PyObject *core_own_folder(PyObject *self, PyObject *path)
{
    (void)self;
    Py_ssize_t length;
    if (!PyUnicode_Check(path)) {
        type_error("path", "a str", path);
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize(path, &length);
    if (text == NULL)
        return NULL;
    if (PyUnicode_IS_ASCII(path) && length > TAIL) {
        Py_INCREF(path);
        own_length = (size_t)length;
        memcpy(&own_tail, text + length - TAIL, TAIL);
        own_folder = text;
    }
    Py_RETURN_NONE;
}

PyMethodDef creator_functions[] = {
    {"created_by", core_created_by, METH_O, NULL},
    {"own_folder", core_own_folder, METH_O, NULL},
    {0},
};
