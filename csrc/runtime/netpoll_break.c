/* netpoll_break.c: ends a poll from another thread. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "runtime/netpoll.h"

#define KEPT 256

static struct lock kept_lock;
static int kept[KEPT][2];
static int nkept;

/* Never 0, which a note takes for none, nor any other number that means something to a program. */
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

int breakfd_get(int fds[2])
{
    lock(&kept_lock);
    bool any = nkept > 0;
    if (any) {
        nkept--;
        fds[0] = kept[nkept][0];
        fds[1] = kept[nkept][1];
    }
    unlock(&kept_lock);
    return any ? 0 : breakfd_new(fds);
}

void breakfd_put(const int fds[2])
{
    lock(&kept_lock);
    bool room = nkept < KEPT; /* more threads than that at once: the rest leak rather than be written to */
    if (room) {
        kept[nkept][0] = fds[0];
        kept[nkept++][1] = fds[1];
    }
    unlock(&kept_lock);
}

void breakfd_drain(int fd)
{
    char buf[512];
    while (read(fd, buf, sizeof(buf)) > (ssize_t)sizeof(uint64_t))
        ;
}

/* In the child: they are the parent's, whose wake-ups must not be taken away. */
void breakfd_fork(void)
{
    kept_lock.word = 0;
    for (int i = 0; i < nkept; i++)
        for (int j = 0; j < 2; j++)
            if (j == 0 || kept[i][1] != kept[i][0])
                close(kept[i][j]);
    nkept = 0;
}
