/* pyargs.h: numbers of seconds, and the deadlines that they come to. */
#ifndef GOPY_PYARGS_H
#define GOPY_PYARGS_H

#include "pyobject.h"

#define DEADLINE_PAST ((int64_t)0) /* do not wait */

/* o, a number of seconds, as nanoseconds: 0 for zero and less, NEVER for more than a century. -1: raised. */
int parse_duration(PyObject *o, const char *name, int64_t *ns);
int64_t deadline_after(int64_t ns); /* of a duration that parse_duration gave */
int parse_timeout(PyObject *o, const char *name, int64_t *deadline); /* seconds or None */
/* Of a call that takes `most` positional arguments, all of them needed, and `timeout` by keyword. */
int parse_timeout_kw(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t most, PyObject *kwnames,
                     const char *fn, int64_t *deadline);

#endif
