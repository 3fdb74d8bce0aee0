/* pyframes.h: the frames of suspended greenlets, for a collector that does not find them by itself. */
#ifndef GOPY_PYFRAMES_H
#define GOPY_PYFRAMES_H

#include "pyversion.h"

#if GOPY_VISIT_FRAMES
struct frames {
    struct frames *next, *prev;
    void *top; /* NULL while it runs */
};
int frames_init(void);
void frames_add(struct frames *f);
void frames_remove(struct frames *f);
void frames_suspend(struct frames *f, PyThreadState *ts);
void frames_fork_child(struct frames *running);
bool is_frames_root(PyObject *o); /* what stands for all suspended frames */
#else
struct frames {
    char none[0];
};
static inline int frames_init(void) { return 0; }
static inline void frames_add(struct frames *f) { (void)f; }
static inline void frames_remove(struct frames *f) { (void)f; }
static inline void frames_fork_child(struct frames *running) { (void)running; }
static inline bool is_frames_root(PyObject *o) { return o == NULL; }
#endif

#endif
