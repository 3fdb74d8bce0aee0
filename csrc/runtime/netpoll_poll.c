/* netpoll_poll.c: the back end where there is no better one: poll(2), level-triggered. A descriptor is in the table
 * only while somebody waits for it; each event takes that mode out again. A poll costs time in proportion to the table,
 * and who adds to it must break a poll that is under way, to have it seen. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/netpoll.h"

/* A lock with a GIL, too: a poll that blocks takes its events out of the table without the GIL. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
/* table_lock as the laws know it. */
static struct lock table_rank __attribute__((unused)) = LOCK_INIT(RANK_POLLTABLE);
static struct wanted {
    int fd;
    uint32_t seq;
    uint8_t modes;
} *table;
static int ntable, most;
static uint32_t blocked; /* somebody sleeps in the poll, or is about to */
static int breakfds[2] = {-1, -1};

static void lock_table(void)
{
#if GOPY_LAWS
    lockrank_check(&table_rank, RANK_POLLTABLE);
#endif
    pthread_mutex_lock(&table_lock);
#if GOPY_LAWS
    lockrank_taken(&table_rank, RANK_POLLTABLE);
#endif
}

static void unlock_table(void)
{
#if GOPY_LAWS
    lockrank_release(&table_rank);
#endif
    pthread_mutex_unlock(&table_lock);
}

static int poll_init(int *breakfd)
{
    int err = breakfd_new(breakfds);
    *breakfd = breakfds[1];
    return err;
}

static struct wanted *find_locked(int fd)
{
    assert_held(&table_rank);
    for (int i = 0; i < ntable; i++)
        if (table[i].fd == fd)
            return &table[i];
    return NULL;
}

static void break_poll(void)
{
    uint64_t one = 1;
    while (write(breakfds[1], &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static int poll_arm(int fd, uint32_t seq, uint8_t modes, bool again)
{
    (void)again;
    struct pollfd p = {.fd = fd};
    if (poll(&p, 1, 0) >= 0 && p.revents & POLLNVAL)
        return EBADF;
    lock_table();
    struct wanted *w = find_locked(fd);
    if (w == NULL && ntable == most) {
        int more = most ? 2 * most : 64;
        struct wanted *bigger = realloc(table, (size_t)more * sizeof(*table));
        if (bigger == NULL) {
            unlock_table();
            return ENOMEM;
        }
        table = bigger;
        most = more;
    }
    if (w == NULL) {
        w = &table[ntable++];
        *w = (struct wanted){.fd = fd, .seq = seq};
    } else if (w->seq != seq) {
        w->seq = seq;
        w->modes = 0;
    }
    w->modes |= modes;
    unlock_table();
    if (real_load(&blocked))
        break_poll();
    return 0;
}

static void poll_disarm(int fd)
{
    lock_table();
    struct wanted *w = find_locked(fd);
    if (w)
        *w = table[--ntable];
    unlock_table();
}

/* Of the events in `got`, take what is still wanted out of the table. */
static void collect_locked(struct pollevents *to, struct pollfd *got, int n)
{
    assert_held(&table_rank);
    for (int i = 0; i < n && to->n < POLLEVENTS; i++) {
        struct wanted *w = got[i].revents ? find_locked(got[i].fd) : NULL;
        uint8_t modes = 0;
        if (got[i].revents & (POLLIN | POLLPRI | POLLHUP | POLLERR | POLLNVAL))
            modes |= 1 << POLL_READ;
        if (got[i].revents & (POLLOUT | POLLHUP | POLLERR | POLLNVAL))
            modes |= 1 << POLL_WRITE;
        if (w == NULL || (modes &= w->modes) == 0)
            continue;
        to->ev[to->n++] = (struct pollevent){.fd = w->fd, .seq = w->seq, .modes = modes};
        if ((w->modes &= (uint8_t)~modes) == 0)
            *w = table[--ntable];
    }
}

static int poll_poll(struct pollevents *to, int64_t deadline)
{
    to->n = 0;
    to->broken = false;
    if (deadline)
        real_xchg(&blocked, 1);
    lock_table();
    int n = 0;
    struct pollfd *fds = malloc((size_t)(ntable + 1) * sizeof(*fds));
    for (; fds && n < ntable; n++) {
        short events = (short)((table[n].modes & 1 << POLL_READ ? POLLIN | POLLPRI : 0) |
                               (table[n].modes & 1 << POLL_WRITE ? POLLOUT : 0));
        fds[n] = (struct pollfd){.fd = table[n].fd, .events = events};
    }
    unlock_table();
    if (fds == NULL)
        return ENOMEM;
    fds[n] = (struct pollfd){.fd = breakfds[0], .events = POLLIN};
    int64_t left = deadline == NEVER ? -1 : deadline ? deadline - nanotime() : 0;
    int ms = left < 0               ? (deadline == NEVER ? -1 : 0)
             : left > 3600000000000 ? 3600000
                                    : (int)((left + 999999) / 1000000);
    int r = poll(fds, (nfds_t)n + 1, ms), err = r < 0 ? errno : 0;
    if (deadline)
        real_store(&blocked, 0);
    if (r > 0) {
        to->broken = fds[n].revents != 0;
        lock_table();
        collect_locked(to, fds, n);
        unlock_table();
    }
    free(fds);
    return err;
}

static void poll_drain(void) { breakfd_drain(breakfds[0]); }

static void poll_fork(void)
{
    table_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    ntable = 0;
    blocked = 0;
    for (int i = 0; i < 2; i++)
        if (i == 0 || breakfds[1] != breakfds[0])
            close(breakfds[i]);
}

const struct netpoller netpoller_poll = {
    .name = "poll",
    .init = poll_init,
    .arm = poll_arm,
    .disarm = poll_disarm,
    .poll = poll_poll,
    .drain = poll_drain,
    .fork = poll_fork,
    .level = true,
};
