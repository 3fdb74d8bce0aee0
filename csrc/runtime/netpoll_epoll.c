/* netpoll_epoll.c: the back end on Linux. Edge-triggered: one registration a descriptor for its life, for both
 * modes. A waiter is woken within microseconds of its deadline by epoll_pwait2, or on kernels before 5.11 by
 * ppoll on the epoll descriptor itself. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif
#include "runtime/netpoll.h"

#ifdef __linux__
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define BREAK UINT64_MAX /* the data of the break descriptor's event */

static int epfd = -1, breakfds[2] = {-1, -1};
static bool no_pwait2;

static int epoll_init(int *breakfd)
{
    int err = breakfd_new(breakfds);
    if (err)
        return err;
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = BREAK};
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, breakfds[0], &ev) < 0) {
        err = errno;
        if (epfd >= 0)
            close(epfd);
        close(breakfds[0]);
        return err;
    }
    *breakfd = breakfds[1];
    return 0;
}

static int epoll_arm(int fd, uint32_t seq, uint8_t modes, bool again)
{
    (void)modes;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = (uint64_t)seq << 32 | (uint32_t)fd};
    int op = again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    /* The number may have been closed and used again meanwhile, so try the other operation, too. */
    for (int tries = 0; tries < 3; tries++) {
        if (epoll_ctl(epfd, op, fd, &ev) == 0)
            return 0;
        if (errno == EEXIST)
            op = EPOLL_CTL_MOD;
        else if (errno == ENOENT)
            op = EPOLL_CTL_ADD;
        else
            break;
    }
    return errno;
}

static void epoll_disarm(int fd)
{
    struct epoll_event ev = {0};
    epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &ev);
}

static int wait_until(struct epoll_event *evs, int64_t deadline)
{
    if (deadline == NEVER || deadline == 0)
        return epoll_wait(epfd, evs, POLLEVENTS, deadline == 0 ? 0 : -1);
    int64_t left = deadline - nanotime();
    if (left < 0)
        left = 0;
    struct timespec ts = {left / 1000000000, left % 1000000000};
    if (!real_peek(&no_pwait2)) {
        int n = (int)syscall(SYS_epoll_pwait2, epfd, evs, POLLEVENTS, &ts, NULL, 0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        real_poke(&no_pwait2, true);
    }
    struct pollfd self = {.fd = epfd, .events = POLLIN};
    int n = ppoll(&self, 1, &ts, NULL);
    return n <= 0 ? n : epoll_wait(epfd, evs, POLLEVENTS, 0);
}

static int epoll_poll(struct pollevents *to, int64_t deadline)
{
    struct epoll_event evs[POLLEVENTS];
    to->n = 0;
    to->broken = false;
    int n = wait_until(evs, deadline);
    if (n < 0)
        return errno;
    for (int i = 0; i < n; i++) {
        uint32_t got = evs[i].events;
        uint8_t modes = 0;
        if (evs[i].data.u64 == BREAK) {
            to->broken = true;
            continue;
        }
        if (got & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
            modes |= 1 << POLL_READ;
        if (got & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            modes |= 1 << POLL_WRITE;
        if (got & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
            modes |= POLL_ODD;
        to->ev[to->n++] = (struct pollevent){
            .fd = (int)(uint32_t)evs[i].data.u64, .seq = (uint32_t)(evs[i].data.u64 >> 32), .modes = modes};
    }
    return 0;
}

static void epoll_drain(void) { breakfd_drain(breakfds[0]); }

static void epoll_fork(void)
{
    close(epfd);
    close(breakfds[0]);
    epfd = breakfds[0] = breakfds[1] = -1;
}

const struct netpoller netpoller_epoll = {
    .name = "epoll",
    .init = epoll_init,
    .arm = epoll_arm,
    .disarm = epoll_disarm,
    .poll = epoll_poll,
    .drain = epoll_drain,
    .fork = epoll_fork,
};
#endif
