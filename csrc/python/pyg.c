/* pyg.c: a goroutine as an object, from its making to its end: what it runs, and its name. */
#include "pyg.h"

Goroutine *main_goroutine;
int (*group_done)(PyObject *group);

Goroutine *goroutine_new(PyObject *fn)
{
    Goroutine *go = PyObject_New(Goroutine, &Goroutine_Type);
    if (go == NULL)
        return NULL;
    memset((char *)go + sizeof(PyObject), 0, sizeof(*go) - sizeof(PyObject));
    go->fn = new_ref(fn);
    return go;
}

/* From here on go runs fn, without arguments. Steals fn. */
void goroutine_replace(Goroutine *go, PyObject *fn)
{
    PyObject *was;
    Py_CLEAR(go->args);
    Py_CLEAR(go->kwnames);
    BEGIN_EXCLUSIVE(go); /* somebody may be asking for its name */
    was = go->fn;
    go->fn = fn;
    END_EXCLUSIVE();
    Py_XDECREF(was);
}

int goroutine_clear(Goroutine *go)
{
    PyObject *group = go->group;
    go->group = NULL;
    Py_CLEAR(go->context);
    goroutine_replace(go, NULL);
    if (likely(group == NULL))
        return 0;
    int r = group_done(group);
    Py_DECREF(group);
    return r;
}

PyObject *goroutine_name(Goroutine *go) /* new reference, or NULL without an exception */
{
    PyObject *name, *fn;
    BEGIN_EXCLUSIVE(go);
    name = go->name;
    fn = name ? NULL : go->fn;
    Py_XINCREF(name);
    Py_XINCREF(fn);
    END_EXCLUSIVE();
    if (fn) {
        name = PyObject_GetAttrString(fn, "__qualname__");
        if (name && !PyUnicode_Check(name))
            Py_CLEAR(name);
        if (name == NULL)
            name = PyUnicode_FromString(Py_TYPE(fn)->tp_name);
        PyErr_Clear();
        Py_DECREF(fn);
    }
    return name;
}

void goroutine_rename(Goroutine *go, PyObject *name, bool only_if_unset) /* steals name */
{
    PyObject *was = name;
    BEGIN_EXCLUSIVE(go);
    if (!only_if_unset || go->name == NULL) {
        was = go->name;
        go->name = name;
    }
    END_EXCLUSIVE();
    Py_XDECREF(was);
}

void goroutine_keep_name(Goroutine *go) { goroutine_rename(go, goroutine_name(go), true); }

void goroutine_dealloc(PyObject *self)
{
    Goroutine *go = (Goroutine *)self;
    if (go->weakrefs)
        PyObject_ClearWeakRefs(self);
    goroutine_clear(go);
    Py_XDECREF(go->name);
    Py_XDECREF(go->creator_code);
    PyObject_Free(self);
}
