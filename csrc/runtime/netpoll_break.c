/* netpoll_break.c: what ends a poll from another thread. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "runtime/netpoll.h"

/* Never 0, which a note takes for none, nor another number that means something to a program. */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

int breakfd_new(int fds[2])
{
#ifdef __linux__
    fds[0] = fds[1] = above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
#else
    if (pipe(fds) < 0)
        return errno;
    for (int i = 0; i < 2; i++) {
        fds[i] = above_stdio(fds[i]);
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
#endif
    return fds[0] < 0 || fds[1] < 0 ? errno : 0;
}

void breakfd_drain(int fd)
{
    char buf[512];
    while (read(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf))
        ;
}
