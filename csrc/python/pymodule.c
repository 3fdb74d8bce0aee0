/* pymodule.c: puts the types and functions into gopy._core. cffi makes the extension and its init function;
 * gopy/__init__.py then calls gopy_init(), once. */
#include "pymodule.h"

#include "pyasyncio.h"
#include "pyatomic.h"
#include "pychan.h"
#include "pycond.h"
#include "pycondition.h"
#include "pycoroutine.h"
#include "pycreator.h"
#include "pydump.h"
#include "pyeventloop.h"
#include "pyframes.h"
#include "pyg.h"
#include "pygoroutine.h"
#include "pyhogs.h"
#include "pyident.h"
#include "pyio.h"
#include "pyleaked.h"
#include "pylocals.h"
#include "pylock.h"
#include "pymap.h"
#include "pynetfd.h"
#include "pyoffload.h"
#include "pyonce.h"
#include "pypanic.h"
#include "pypreempt.h"
#include "pyprofile.h"
#include "pyruntime.h"
#include "pyselect.h"
#include "pysignal.h"
#include "pysimplequeue.h"
#include "pysleep.h"
#include "pysocket.h"
#include "pystackful.h"
#include "pysynctest.h"
#include "pythreadlock.h"
#include "pytime.h"
#include "pytimerfunc.h"
#include "pytrace.h"
#include "pywaitgroup.h"
#include "pywaits.h"

static int add_type(PyObject *module, const char *name, PyTypeObject *type)
{
    return PyType_Ready(type) < 0 ? -1 : PyModule_AddObjectRef(module, name, (PyObject *)type);
}

/* By their own names. */
static PyTypeObject *const sync_types[] = {
    &Mutex_Type, &RWMutex_Type, &RLocker_Type,  &Once_Type, &WaitGroup_Type,
    &Cond_Type,  &Map_Type,     &MapItems_Type, NULL,
};

static int add_all(PyObject *module)
{
    if (stackful_init() < 0 || preempt_init() < 0 || frames_init() < 0 || condition_init() < 0 ||
        add_type(module, "Goroutine", &Goroutine_Type) < 0 ||
        add_type(module, "_ChanBase", &ChanBase_Type) < 0 ||
        add_type(module, "SendChan", &SendChan_Type) < 0 || add_type(module, "RecvChan", &RecvChan_Type) < 0)
        return -1;
    Chan_Type.tp_bases = PyTuple_Pack(2, &SendChan_Type, &RecvChan_Type);
    Chan_Type.tp_base = &SendChan_Type;
    if (Chan_Type.tp_bases == NULL || add_type(module, "Chan", &Chan_Type) < 0 ||
        PyType_Ready(&ChanIter_Type) < 0 || add_type(module, "RecvCase", &RecvCase_Type) < 0 ||
        add_type(module, "SendCase", &SendCase_Type) < 0 || add_type(module, "Default", &Default_Type) < 0 ||
        add_type(module, "Awaitable", &Awaitable_Type) < 0 ||
        add_type(module, "LoopQueue", &LoopQueue_Type) < 0 || add_type(module, "Lock", &Lock_Type) < 0 ||
        add_type(module, "RLock", &RLock_Type) < 0 || add_type(module, "Waiters", &Waiters_Type) < 0 ||
        add_type(module, "SimpleQueue", &SimpleQueue_Type) < 0 ||
        add_type(module, "NetFD", &NetFD_Type) < 0 || add_type(module, "Bubble", &Bubble_Type) < 0)
        return -1;
    PyTypeObject *const *types[] = {sync_types, atomic_types};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        for (PyTypeObject *const *type = types[i]; *type; type++)
            if (PyModule_AddType(module, *type) < 0)
                return -1;
    waitgroup_init();
    default_case = (PyObject *)PyObject_New(PyObject, &Default_Type);
    PyChan *nil = (PyChan *)Chan_Type.tp_alloc(&Chan_Type, 0);
    if (default_case == NULL || nil == NULL)
        return -1;
    nil->owner = nil;
    nil->zero = new_ref(Py_None);
    if (time_init((PyObject *)nil) < 0 || timerfunc_init() < 0 ||
        add_type(module, "Timer", &Timer_Type) < 0 || add_type(module, "Ticker", &Ticker_Type) < 0)
        return -1;
    if (PyModule_AddObjectRef(module, "default", default_case) < 0 ||
        PyModule_AddObjectRef(module, "nilchan", (PyObject *)nil) < 0 ||
        PyModule_AddObjectRef(module, "FREE_THREADED", FREE_THREADED ? Py_True : Py_False) < 0)
        return -1;
    static PyMethodDef sigint[2];
    sigint[0] = sigint_def;
    PyMethodDef *lists[] = {goroutine_functions,
                            select_functions,
                            time_functions,
                            timerfunc_functions,
                            coroutine_functions,
                            sleep_functions,
                            runtime_functions,
                            offload_functions,
                            io_functions,
                            signal_functions,
                            preempt_functions,
                            eventloop_functions,
                            dump_functions,
                            ident_functions,
                            locals_functions,
                            condition_functions,
                            socket_functions,
                            synctest_functions,
                            creator_functions,
                            hogs_functions,
                            profile_functions,
                            trace_functions,
                            waits_functions,
                            leaked_functions,
                            sigint};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        if (PyModule_AddFunctions(module, lists[i]) < 0)
            return -1;
    return 0;
}

int gopy_init(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *module = PyImport_ImportModule("gopy._core");
    int r = module ? add_all(module) : -1;
    if (r < 0)
        PyErr_Print();
    Py_XDECREF(module);
    PyGILState_Release(state);
    return r;
}
