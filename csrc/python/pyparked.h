/* pyparked.h: the references that the frames of a parked goroutine hold, for pyleaked.c. */
#ifndef GOPY_PYPARKED_H
#define GOPY_PYPARKED_H

#include "pyswitch.h"

/* Numbers in memory that is not Python's: they are gathered while nothing of Python's may be allocated. */
struct words {
    uint64_t *at;
    size_t n, cap;
    bool failed; /* there was no memory for one, at least */
};

void words_add(struct words *w, uint64_t word);

struct references {
    struct words held;  /* the objects, once for each reference that is counted in them */
    struct words loose; /* those that a frame refers to without having counted that */
    struct words calls; /* evaluation stacks of unknown depth: see pyparked.c */
};

/* The newest frame of go if its greenlet is suspended, while freeze_switches() holds. NULL: it is not, or an exception is set. */
void *suspended_frame(Goroutine *go);
/* Add what the frames of go refer to, which is parked; suspended is what suspended_frame() has said. Nothing of Python's runs
 * meanwhile. false: they are not known, and nothing was added. */
bool frames_references(Goroutine *go, void *suspended, struct references *to);
/* Add what o, a generator or a frame, shows to the collector without having counted it. */
void uncounted_references(PyObject *o, struct words *to);

#endif
