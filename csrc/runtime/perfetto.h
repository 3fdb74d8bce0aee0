/* perfetto.h: events of a trace as Perfetto's trace format. */
#ifndef GOPY_PERFETTO_H
#define GOPY_PERFETTO_H

#include "runtime/trace.h"

struct bytes {
    char *at;
    size_t n, cap;
    bool failed; /* for want of memory */
};

/* What the numbers in events stand for. */
struct tracetexts {
    const char *const *sites, *const *texts;
    size_t nsites, ntexts;
};

/* Appends packets of perfetto.protos.Trace. out->at is to be freed, whatever comes of it. */
void perfetto_write(const struct tracelog *log, const struct tracetexts *texts, struct bytes *out);

#endif
