/* pygopy.h: what the files of this folder share. Python.h is included here and nowhere else. */
#ifndef PYGOPY_H
#define PYGOPY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#include "runtime/runtime.h"

/* A pooled greenlet, see pystackful.c. */
struct worker;

typedef struct {
    PyObject_HEAD
    struct g g;
    struct worker *worker;    /* NULL until it starts */
    PyObject *fn, *context;   /* until it ends; of a stackless one, fn is its coroutine or generator */
    struct pyawait *awaiting; /* stackless: what it waits for, between two steps */
    PyObject *args;           /* NULL: there are none */
    PyObject *kwnames; /* NULL: args is the only argument itself; else args is a tuple, theirs at its end */
    PyObject *group;   /* a WaitGroup that is told of its end, or NULL */
    PyObject *name;    /* NULL: fn's __qualname__ */
    PyObject *weakrefs;
} Goroutine;

/* A channel, or a view of one from one side. */
typedef struct pychan {
    PyObject_HEAD
    struct hchan *c;      /* NULL: the nil channel */
    struct pychan *owner; /* of a view: the channel, referred to; else itself, borrowed */
    PyObject *zero;
    PyObject *weakrefs;
    struct hchan own;
} PyChan;

#include "pyop.h"

/* An awaitable, see pyawait.c. */
enum await_state { AWAIT_NEW, AWAIT_YIELDED, AWAIT_WAITING, AWAIT_WOKEN, AWAIT_READY, AWAIT_USED };

typedef struct pyawait {
    PyObject_HEAD
    struct op *op;         /* `small`, or memory of its own for a kind that has more to keep */
    PyObject *exc;         /* READY: what its coroutine is resumed with, or NULL: with op->value */
    PyObject *leaving;     /* the CancelledError of a task that is to be cancelled as soon as can be; None: its
                              coroutine goes on no more */
    struct taskwait *task; /* of a task that waits, or has waited; see pyasyncio.c */
    uint8_t state;         /* enum await_state */
    bool iterated;         /* yielded by itself, not by a generator: it is resumed, not its generator */
    bool blocking;         /* asyncio's _asyncio_future_blocking */
    bool cancelled;        /* asyncio's cancel() has ended the wait */
    struct op small;
    struct gwait wait; /* of the stackless goroutine that awaits it */
} PyAwait;

/* Nobody resumes it: what it gets is for others. */
static inline bool await_orphaned(PyAwait *a) { return a->leaving == Py_None; }

/* A Mutex; of an RWMutex only MUTEX_OTHER is set in mu. */
typedef struct {
    PyObject_HEAD
    struct mutex mu;
    PyObject *weakrefs;
} SyncMutex;

typedef struct {
    SyncMutex base;
    struct rwmutex rw;
} SyncRWMutex;

/* What RWMutex.rlocker() returns. */
typedef struct {
    PyObject_HEAD
    SyncRWMutex *rw;
} RLocker;

/* A socket whose calls park the goroutine: pynetfd.c. */
typedef struct {
    PyObject_HEAD
    int fd; /* as long as the polldesc has seq */
    uint32_t seq;
    bool opened;
    uint8_t tcp;    /* 1: it is, 2: it is not, 0: nobody has asked */
    PyObject *peer;   /* bytes, the address that accept() got, or NULL */
    PyObject *unread; /* bytes that a cancelled read_full() had got, or NULL; whoever has the reading side's */
    PyObject *weakrefs;
} NetFD;

/* One call on it, in steps: step() makes the system call and says DONE, AGAIN, FAILED with errno set, or RAISED. */
enum step { DONE, AGAIN, FAILED, RAISED };

struct netop {
    struct op op;
    enum step (*step)(struct netop *io, int fd);
    enum op_result (*result)(struct netop *io); /* after DONE */
    PyObject *got;                              /* what the step has made, or NULL */
    PyObject *held;                             /* a reference for as long as the operation lives, or NULL */
    char *buf;
    Py_ssize_t len, done; /* of buf, and how much of it */
    PyObject *const *args;
    Py_buffer view; /* whose buf it is; its obj NULL: another's */
    struct iowait w;
    bool drained; /* see iowait_end */
    bool nothing; /* it reads no bytes: there is no step */
    bool turn;    /* it has its side of the descriptor, and waits only for its task to go on */
};

static inline Goroutine *goroutine_of(struct g *gp)
{
    return (Goroutine *)((char *)gp - offsetof(Goroutine, g));
}

extern PyTypeObject Goroutine_Type, ChanBase_Type, SendChan_Type, RecvChan_Type, Chan_Type, ChanIter_Type;
extern PyTypeObject Mutex_Type, RWMutex_Type, RLocker_Type, Once_Type, WaitGroup_Type, Cond_Type;
extern PyTypeObject Map_Type, MapItems_Type, Pointer_Type, Value_Type;
extern PyTypeObject *const sync_types[], *const atomic_types[]; /* by their own names, NULL at the end */
extern PyTypeObject RecvCase_Type, SendCase_Type, Default_Type, Awaitable_Type, LoopQueue_Type;
extern PyTypeObject Timer_Type, Ticker_Type, NetFD_Type;

/* What the Python half of the package supplies (gopy/_panic.py), by core_sethooks. */
extern struct hooks {
    PyObject *panic;       /* (goroutine, exception): it left the goroutine's function */
    PyObject *deadlock;    /* (): nothing runs; raise in the main goroutine if nothing ever will */
    PyObject *adopt;       /* (): the main thread has joined */
    PyObject *exit_forked; /* (exception or None): the end of a child forked by another goroutine than main */
    PyObject *loop_queue;  /* (): the LoopQueue of the running asyncio loop (gopy/_asyncio.py) */
    PyObject *once_ado;   /* (Once, fn): the coroutine of Once.ado() (gopy/_asyncio.py) */
    PyObject *close_asyncgen; /* (async generator): a stackless goroutine has left it unfinished */
    PyObject *Panic, *ClosedChannelError, *Goexit;
} hooks;

/* pyhost.c */
int host_init(unsigned long main_ident);
PyObject *fetch_exception(void);     /* the exception that is set, which is set no more */
void raise_exception(PyObject *exc); /* steals exc */
void wait_for_memory(struct m *mp);
PyThreadState *own_state(void);
void nap(int i); /* detached: for who waits in a loop for another thread, before the i-th look */
void pyhost_before_fork(void);
void pyhost_fork_parent(void);
void pyhost_before_exit(void);
void stop_for_good(void) __attribute__((noreturn)); /* this thread, attached: the program is ending */
void pyhost_fork_child(void);
uintptr_t sections_leave(PyThreadState *ts);
void sections_enter(PyThreadState *ts, uintptr_t sections);
struct g *getg_or_raise(void);                                       /* a preempt_point(), too */
int parse_timeout(PyObject *o, const char *name, int64_t *deadline); /* seconds or None; 0: deadline past */
int64_t deadline_after(int64_t ns); /* of a duration that parse_duration gave */
int parse_duration(PyObject *o, const char *name,
                   int64_t *ns); /* seconds; 0: none or less, NEVER: for ever */
int parse_timeout_kw(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t most, PyObject *kwnames,
                     const char *fn, int64_t *deadline);
bool check_nargs(const char *fn, Py_ssize_t nargs, Py_ssize_t wanted); /* false: raised */
int type_error(const char *arg, const char *wanted, PyObject *got);
#define MOST_CASES 65536 /* of a select */

/* pypanic.c */
int raise_main_exception(void);     /* -1, with the exception pending for the main goroutine */
void interrupt_main(PyObject *exc); /* borrowed; it is raised in the main goroutine as soon as can be */
void poke_main(void);
void goroutine_failed(Goroutine *go);
void panic_thread(void);
void panic_forget(void);
void panic_reserve(void);
extern PyMethodDef sigint_def;

/* pysignal.c */
void signals_shutdown(void);
void signals_before_fork(void);
void signals_fork_child(void);

/* pyframes.c: the frames of a suspended greenlet, for a collector that does not find them by itself. */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x030F0000
#define GOPY_VISIT_FRAMES 1
struct frames {
    struct frames *next, *prev;
    void *top; /* NULL while it runs */
};
int frames_init(void);
void frames_add(struct frames *f);
void frames_remove(struct frames *f);
void frames_suspend(struct frames *f, PyThreadState *ts);
void frames_fork_child(struct frames *running);
#else
#define GOPY_VISIT_FRAMES 0
struct frames {
    char none[0];
};
static inline int frames_init(void) { return 0; }
static inline void frames_add(struct frames *f) { (void)f; }
static inline void frames_remove(struct frames *f) { (void)f; }
static inline void frames_fork_child(struct frames *running) { (void)running; }
#endif

/* pystackful.c */
int stackful_init(void);
bool stackful_adopt_main(struct m *mp);
void stackful_m_main(struct m *mp);
void stackful_fork_child(void);
void end_of_forked_main(void) __attribute__((noreturn));
PyObject *goroutine_greenlet(Goroutine *go); /* new reference or NULL without an exception */
bool goroutine_on_thread(Goroutine *go);
PyThreadState *m_tstate(struct m *mp);
unsigned long m_thread_ident(struct m *mp);
void freeze_switches(void);
void thaw_switches(void);
void freeze_fork_child(void);

/* pyworker.c */
extern PyObject *worker_function;
extern PyCodeObject *worker_code; /* its code: the frames of a goroutine lie above it */
int worker_init(unaryfunc run);

void worker_takes(struct m *mp, struct worker *w, Goroutine *go);

/* pypreempt.c */
int preempt_init(void);
void preempt_adopt(void); /* this thread has become an M's */

/* pyeventloop.c: what a goroutine that runs an event loop has in its thread state */
struct eventloop {
    PyObject *firstiter, *finalizer; /* sys.set_asyncgen_hooks() */
    PyObject *loop, *task;           /* asyncio's running loop and current task, or NULL */
    int fd;                          /* the M's loopfd */
};
PyObject *running_loop(void);
void eventloop_leave(PyThreadState *ts, struct eventloop *had);
void eventloop_enter(PyThreadState *ts, struct eventloop *had);

/* Is there anything to leave? */
static inline bool eventloop_here(PyThreadState *ts)
{
    return ts->async_gen_firstiter != NULL || ts->async_gen_finalizer != NULL;
}

/* pycall.c */
PyObject *goroutine_call(Goroutine *go); /* what its function returns */
void goroutine_finish(struct m *mp, Goroutine *go, PyObject *r);
void set_context(PyThreadState *ts, PyObject *context); /* steals context */
void end_of_forked_main(void);

/* pystackless.c */
void stackless_step(struct m *mp, PyThreadState *ts, struct worker *w, Goroutine *go);

/* pycoroutine.c */
bool is_coroutine(PyObject *o);
PySendResult coroutine_throw(PyObject *coro, PyObject **result); /* the exception that is set */
PySendResult coroutine_resume(PyObject *coro, PyAwait *a, PyObject **result); /* with a's outcome; NULL: None */
PyAwait *coroutine_yielded(PyObject *yielded, enum op_result *did);
enum fn_kind { FN_PLAIN, FN_GENERATOR, FN_COROUTINE };
int kind_of(PyObject *fn, Py_ssize_t n, const char *name);

/* pyawait.c */
PyAwait *await_new(const struct op_kind *kind, PyObject *obj, PyObject *value, int64_t deadline);
bool await_try(PyAwait *a, enum op_result *did);
bool await_claim(PyAwait *a);
enum op_result await_begin(PyAwait *a, struct g *gp);
enum op_result await_finish(PyAwait *a, struct g *gp, enum wake w);
void await_keep(PyAwait *a, enum op_result did);
PyObject *await_take(PyAwait *a);
void await_leaves(PyAwait *a, PyObject *exc);
void await_give_up(PyAwait *a);
void await_misused(void);

/* pyasyncio.c */
void taskwait_free(struct taskwait *tw);
int taskwait_traverse(struct taskwait *tw, visitproc visit, void *arg);
void taskwait_clear(struct taskwait *tw);
bool taskwait_end(PyAwait *a);
enum op_result taskwait_finish(PyAwait *a);
void chan_give_back(struct hchan *c, PyObject *value); /* for an undo: value was received from c; steals it */
bool await_leave(PyAwait *a); /* end its wait for a task; false: it does not wait, or is being woken */
PyObject *await_get_loop(PyObject *self, PyObject *noargs);
PyObject *await_add_done_callback(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *await_cancel(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *await_result_method(PyObject *self, PyObject *noargs);
PyObject *await_done(PyObject *self, PyObject *noargs);
PyObject *await_cancelled(PyObject *self, PyObject *noargs);
PyObject *await_expire(PyObject *self, PyObject *noargs);
PyObject *await_get_blocking(PyObject *self, void *closure);
int await_set_blocking(PyObject *self, PyObject *value, void *closure);

/* pychanop.c */
PyObject *chan_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_recv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_next(PyObject *ch);
PyObject *chan_asend(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_arecv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_arecv_ok(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *chan_anext(PyObject *ch);

/* pygoroutine.c */
Goroutine *goroutine_new(PyObject *fn);
PyObject *goroutine_go(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *group);
void goroutine_clear(Goroutine *go); /* drop what it runs */
void goroutine_replace(Goroutine *go, PyObject *fn);
void goroutine_keep_name(Goroutine *go);
extern Goroutine *main_goroutine;

/* pymutex.c */
PyObject *new_without_arguments(PyTypeObject *type, PyObject *args, PyObject *kwargs); /* a tp_new */

/* pylock.c: l is a Mutex, an RWMutex, or the RLocker of one */
enum op_result sync_result(struct op *op, enum sync_result r, enum wake w);
enum sync_result lock_begin(PyObject *l, struct g *gp);
enum sync_result lock_finish(PyObject *l, struct g *gp, enum wake w);
bool lock_release(PyObject *l); /* false: it was not locked so */
PyObject *lock_slowly(PyObject *l, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *rlock_slowly(PyObject *rw, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *lock_alock(PyObject *l, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *lock_aexit(PyObject *l, PyObject *const *args, Py_ssize_t nargs);
PyObject *rwmutex_arlock(PyObject *rw, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
int mutex_acquire(struct mutex *mu); /* -1: raised */

/* pyrwmutex.c */
int rwmutex_release(struct rwmutex *rw, bool write); /* -1: raised */

/* pywaitgroup.c */
int waitgroup_done(PyObject *group); /* -1: raised */
/* pytime.c */
int time_init(PyObject *nilchan);
PyObject *time_object(void *elem);                     /* what a timer sent, as a new float, or NULL */
void time_give_back(struct hchan *c, PyObject *value); /* steals value: see await_give_back */
extern PyObject *start_due_functions;                  /* the work of SYSTEM_TIMERS */

/* pyio.c */
PyObject *raise_errno(int err); /* NULL, with the OSError */
void raise_io(enum io_result r, int err);

/* pynetop.c */
extern const struct op_kind netop_late, netop_write;
void netop_clear(struct op *op);
bool netfd_is_open(NetFD *f);
enum step step_read(struct netop *io, int fd);
enum step step_read_into(struct netop *io, int fd), step_read_full(struct netop *io, int fd);
enum step step_write(struct netop *io, int fd), step_accept(struct netop *io, int fd);
enum step step_call(struct netop *io, int fd);
enum op_result result_got(struct netop *io), result_done(struct netop *io);

static inline struct g *current_g(void)
{
    struct m *mp = getm();
    return likely(mp && mp->curg && !real_peek(&sched.attention)) ? mp->curg : getg_or_raise();
}

/* the functions of the other files, gathered by pymodule.c */
extern PyMethodDef goroutine_functions[], select_functions[], time_functions[], sleep_functions[], runtime_functions[];
extern PyMethodDef coroutine_functions[], offload_functions[], io_functions[], signal_functions[], preempt_functions[];
extern PyMethodDef eventloop_functions[], dump_functions[];
extern PyObject *default_case;

/* The object that was received from c as elem; takes over its reference. NULL: out of memory, with the exception. */
static inline PyObject *received(struct hchan *c, void *elem)
{
    return likely(!c->timed) ? (PyObject *)elem : time_object(elem);
}

/* Around what another thread may do to the same object at the same time; with a GIL, nothing. */
#if GOPY_THREADED
#define BEGIN_EXCLUSIVE(o) Py_BEGIN_CRITICAL_SECTION(o)
#define END_EXCLUSIVE() Py_END_CRITICAL_SECTION()
#else
#define BEGIN_EXCLUSIVE(o) {
#define END_EXCLUSIVE() }
#endif

static inline int *recursion_remaining(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return &ts->py_recursion_remaining;
#else
    return &ts->recursion_remaining;
#endif
}

static inline int recursion_limit(PyThreadState *ts)
{
#if PY_VERSION_HEX >= 0x030C0000
    return ts->py_recursion_limit;
#else
    return ts->recursion_limit;
#endif
}

static inline PyObject *new_ref(PyObject *o)
{
    Py_INCREF(o);
    return o;
}

#endif
