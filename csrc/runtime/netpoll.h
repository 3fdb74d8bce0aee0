/* netpoll.h: descriptors that goroutines wait for. After Go's runtime/netpoll.go.
 *
 * Every descriptor number that was ever waited for has one polldesc, for good: an event that comes late finds
 * memory, and `seq` tells that it is not for the descriptor's present owner. Each of its two sides, reading and
 * writing, has a queue of those parked until it is ready, and a latch for an event that came while nobody was.
 *
 * A descriptor is registered with the poller when somebody first parks on it, edge-triggered, for both sides
 * and for its life; one that never makes anybody wait costs nothing. The poller gives events; netpollready()
 * turns them into goroutines whose waits it has claimed, and which its caller must ready.
 *
 * netpollopen and netpollclose bracket the life of a descriptor that the runtime owns. Others' may be waited
 * for too: nothing tells when they are closed and their number used again, so each wait registers them anew. Unless
 * somebody has joined (netpolljoin), who owns the descriptor elsewhere and promises to call netpollevict before it is
 * closed: then it is registered for its life, as those of the runtime are.
 *
 * pd->lock guards all of a polldesc. Under it a wait is given a deadline (timers.lock), and a descriptor that is closed
 * is taken away from the poller. */
#ifndef GOPY_NETPOLL_H
#define GOPY_NETPOLL_H

#include "runtime/gmp.h"

enum pollmode { POLL_READ, POLL_WRITE };
#define POLL_ODD 4

struct pollside {
    struct waitq waiters; /* parked until it is ready */
    struct waitq lockers; /* parked until `held` is theirs */
    int64_t deadline;     /* of operations on it, or NEVER */
    bool ready;           /* an event came since the last operation began */
    bool held;            /* by one operation at a time: see iowait.h */
    bool drained;         /* the last operation left nothing to be had; an event would have come since */
};

enum polltcp { TCP_UNKNOWN, TCP_YES, TCP_NO };

struct polldesc {
    struct lock lock;
    uint32_t seq;       /* changes when the descriptor is opened and when it is closed */
    uint32_t nsys;      /* operations that may be in a system call with it at this moment */
    uint32_t gen;       /* registered with this generation of the poller; 0: not */
    bool open;          /* the runtime owns the descriptor */
    const void *joined; /* who has joined, or NULL. Never together with `open` */
    bool odd;           /* its end, an error or urgent data: `drained` does not hold where those are */
    uint8_t tcp;        /* enum polltcp: is it a TCP stream? */
    bool closeafter;    /* closed meanwhile: the last of nsys is to close(2) it */
    int armerr;         /* why it could not be registered; 0: it could */
    struct pollside side[2];
};

struct pollevent {
    int fd;
    uint32_t seq;
    uint8_t modes; /* bits 1 << enum pollmode, and POLL_ODD */
};

#define POLLEVENTS 128

struct pollevents {
    int n;
    bool broken; /* somebody wrote to breakfd */
    struct pollevent ev[POLLEVENTS];
};

/* What a back end supplies. Functions that can fail return 0 or an errno. Any thread may call them, attached
 * or not, several at once. */
struct netpoller {
    const char *name;
    int (*init)(int *breakfd); /* writing 8 bytes to breakfd ends a poll that blocks */
    /* Report events of fd, tagged with seq, those that hold already first: edge-triggered, of both modes and until
     * further notice; or, if `level`, one event of each mode that is asked for. again: fd is registered already. */
    int (*arm)(int fd, uint32_t seq, uint8_t modes, bool again);
    void (*disarm)(int fd);
    /* Wait until nanotime() reaches the deadline (0: do not wait) for an event or a break. EINTR: a signal. Only one
     * thread blocks in it at a time. */
    int (*poll)(struct pollevents *evs, int64_t deadline);
    void (*drain)(void); /* what was written to breakfd; else each poll ends at once */
    void (*fork)(void);  /* in the child: forget everything, so that init can be called again */
    bool level;
};

extern const struct netpoller netpoller_epoll, netpoller_poll;

struct netpoll {
    const struct netpoller *backend;
    uint32_t gen;      /* of the poller; 0: it has not been made */
    uint32_t lastgen;  /* the highest so far */
    uint32_t nwaiters; /* goroutines parked until a descriptor is ready */
    uint32_t nreg;     /* descriptors registered */
    uint32_t npolls;   /* polls that did not block: sysmon looks whether there have been any */
    int breakfd;
};

extern struct netpoll np;

/* The back end of that name, before any descriptor is waited for. false: there is none of it here. */
bool netpolluse(const char *name);

struct polldesc *polldesc_of(int fd); /* NULL: out of memory, or not a descriptor's number */
int netpollinit(void);
int netpollopen(int fd, uint32_t *seq); /* 0 or an errno; *seq is the caller's title to it */
/* Wake those parked on it, into list, and close it as soon as nobody uses it. false: it was closed. */
bool netpollclose(int fd, uint32_t seq, struct gqueue *list);
bool netpollevict(int fd, struct gqueue *list); /* the embedding is about to close a descriptor of its own */
/* `who`, which owns fd elsewhere, makes operations on it (iowait.h) until netpollevict: *seq is its title. false: the runtime
 * owns the descriptor, or another has joined. */
bool netpolljoin(int fd, const void *who, uint32_t *seq);
/* Called without pd->lock for somebody who is on a queue of pd. Should it fail, that one is woken and finds armerr.
 * again: events that came before are reported once more. */
void netpollarm(int fd, struct polldesc *pd, uint32_t seq, enum pollmode mode, bool again);
void netpollunblock_locked(struct polldesc *pd, enum pollmode mode, struct gqueue *list);
void netpollready(struct pollevents *evs, struct gqueue *list);
enum note_result netpollsleep(struct note *n, struct pollevents *evs, int64_t deadline); /* like note_sleep */
void netpollfork(void);

int breakfd_new(int fds[2]); /* a pipe to poll and to write to; on Linux an eventfd, twice. 0 or an errno */
void breakfd_drain(int fd);

/* A system call is over. -> whether the descriptor is to be closed now */
static inline bool netpollsysdone_locked(struct polldesc *pd)
{
    assert_held(&pd->lock);
    rt_assert(pd->nsys > 0);
    bool last = --pd->nsys == 0 && pd->closeafter;
    if (unlikely(last))
        pd->closeafter = false;
    return last;
}

/* Does anybody need the poller? */
static inline bool netpollwaiters(void) { return unlikely(real_load(&np.nwaiters) != 0); }

#endif
