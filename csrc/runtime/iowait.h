/* iowait.h: operations on descriptors. After Go's internal/poll: fd_mutex.go and fd_poll_runtime.go.
 *
 * An operation on a descriptor that the runtime owns is
 *     iowait_begin     IO_OK: its side of the descriptor is this operation's, and the descriptor stays open
 *     a system call that does not block, unless w->empty says that it is known to find nothing
 *                      (or iowait_poll, which says whether one would find something)
 *     iowait_again     if the call said EAGAIN. IO_OK: try once more; else the operation has ended as if by iowait_end
 *     iowait_end       after anything else
 * where IO_PARK says that gp is queued, to be followed by gowait(gp, w->deadline) and iowait_finish, whose answers are
 * the same. One operation at a time has a side; others wait for it in the order in which they came. With gp NULL
 * IO_PARK queues nothing and the operation has ended.
 *
 * An operation that has got a part of what it wants says so by w->partial. Should it end without the rest (but not by
 * IO_CLOSED) the side is its own still: it puts the part where the next one finds it, and then calls iowait_leave.
 *
 * `w` may be on a stack that is switched out while its owner waits, if nobody else touches it then: wakers do not. */
#ifndef GOPY_IOWAIT_H
#define GOPY_IOWAIT_H

#include "runtime/netpoll.h"
#include "runtime/wait.h"

enum io_result {
    IO_OK,
    IO_PARK,
    IO_CLOSED,
    IO_ERRNO, /* w->err says why */
    IO_ENDED, /* the wait has ended: w->ended says how. WAKE_TIMEOUT also if the deadline had passed before it */
};

struct iowait {
    int fd;
    uint32_t seq;
    uint8_t mode;     /* enum pollmode */
    bool locking;     /* it waits for its side, not for the descriptor */
    bool empty;       /* set by iowait_begin, until an event has come */
    bool partial;     /* see above; false when it begins */
    uint8_t ended;    /* of IO_ENDED: enum wake */
    int err;          /* of IO_ERRNO */
    int64_t limit;    /* the operation's own deadline, besides its side's; NEVER: it has none */
    int64_t deadline; /* of the wait that is to begin */
    struct polldesc *pd;
};

enum io_result iowait_begin(struct iowait *w, struct g *gp);
bool iowait_poll(const struct iowait *w);
enum io_result iowait_again(struct iowait *w, struct g *gp);
enum io_result iowait_finish(struct iowait *w, struct g *gp, enum wake how);
/* drained: a TCP stream gave less than was asked for, so the next bytes will come with an event, whoever else reads the
 * descriptor. (Not so a unix socket, where a read ends at descriptors that come with the data.) */
void iowait_end(struct iowait *w, bool drained);
void iowait_learn(const struct iowait *w, enum polltcp tcp); /* that is what w's descriptor is */

void iowait_leave(struct iowait *w);

/* Operations in that direction fail from `when` on, also those that are parked. false: it is closed. */
bool iowait_setdeadline(int fd, uint32_t seq, enum pollmode mode, int64_t when);
bool iowait_close(int fd, uint32_t seq);

/* For system calls that need neither side and do not wait: until iowait_release the descriptor stays open and its number
 * its own. false: it is closed. */
bool iowait_hold(int fd, uint32_t seq);
void iowait_release(int fd);

/* Wait until anybody's descriptor is ready. It need not be non-blocking. */
enum io_result fdwait_begin(struct iowait *w, int fd, enum pollmode mode, struct g *gp);
enum io_result fdwait_finish(struct iowait *w, struct g *gp, enum wake how);
void fdwait_evict(int fd); /* somebody is about to close it */

#endif
