/* runtime.h: all that the Python layer includes. */
#ifndef GOPY_RUNTIME_H
#define GOPY_RUNTIME_H

#include "runtime/chan.h"
#include "runtime/chunks.h"
#include "runtime/hogs.h"
#include "runtime/host.h"
#include "runtime/iowait.h"
#include "runtime/offload.h"
#include "runtime/perfetto.h"
#include "runtime/sched.h"
#include "runtime/select.h"
#include "runtime/sigqueue.h"
#include "runtime/sudog.h"
#include "runtime/sync.h"
#include "runtime/synctest.h"
#include "runtime/timechan.h"
#include "runtime/trace.h"
#include "runtime/wait.h"

#endif
