/* pytime.c: sleep. */
#include "pygopy.h"

static PyObject *core_sleep(PyObject *self, PyObject *seconds)
{
    (void)self;
    int64_t deadline;
    if (seconds == Py_None) {
        type_error("seconds", "a number of seconds", seconds);
        return NULL;
    }
    if (parse_timeout(seconds, "seconds", &deadline) < 0)
        return NULL;
    if (deadline == DEADLINE_PAST)
        Py_RETURN_NONE;
    struct g *gp = getg_or_raise();
    if (gp == NULL)
        return NULL;
    enum wake w = gosleep(gp, deadline);
    if (likely(w == WAKE_TIMEOUT))
        Py_RETURN_NONE;
    raise_chan(w == WAKE_INTERRUPT ? CHAN_INTERRUPT : CHAN_NOMEM);
    return NULL;
}

PyMethodDef time_functions[] = {
    {"sleep", core_sleep, METH_O,
     "sleep($module, seconds, /)\n--\n\nPark this goroutine for at least so many seconds. Zero and less: "
     "return at once.\n\n"
     "TypeError unless a number, ValueError for nan."},
    {"asleep", core_asleep, METH_O,
     "asleep($module, seconds, /)\n--\n\nAn awaitable: sleep() for `async def` and generator goroutines, and "
     "asyncio. The time counts from this call."},
    {0},
};
