/* load PORT PID CONNECTIONS REQUESTS [PATH]: keep a server on 127.0.0.1 busy.
 *
 * Each connection sends 64 bytes, waits until they are back, and sends again; or, with a PATH, a GET for it, whose
 * answers must all be as long as the first. REQUESTS is how many such round trips are
 * measured, over all connections, after a tenth as many that are not. Prints a line of JSON: the CPU seconds that the
 * process PID has used meanwhile, how long it took, and the 99th percentile of the round trips' seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LARGEST 65536  /* bytes of an answer */
#define PATIENCE 20000 /* ms without any answer */

static char text[4096] = "an echo of 64 bytes";
static int request_size = 64, answer_size = 64;

struct conn {
    int fd, got; /* bytes of the answer so far */
    int64_t sent;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        die("clock_gettime");
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void request(struct conn *c)
{
    c->got = 0;
    c->sent = now(CLOCK_MONOTONIC);
    if (send(c->fd, text, (size_t)request_size, MSG_NOSIGNAL) != request_size)
        die("send");
}

static void dial(struct conn *c, int port, int epfd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        die("setsockopt");
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll_ctl");
}

/* One answer, or a part of it, is there: was it the rest? */
static int answered(struct conn *c)
{
    char answer[LARGEST];
    ssize_t n = recv(c->fd, answer, (size_t)(answer_size - c->got), 0);
    if (n <= 0) {
        fprintf(stderr, "the server closed a connection\n");
        exit(1);
    }
    c->got += (int)n;
    return c->got == answer_size;
}

/* So many answers; how long each took, if `took` is given. With `again`, the next request follows each. */
static void round_trips(int epfd, long times, bool again, int64_t *took)
{
    struct epoll_event evs[64];
    for (long done = 0; done < times;) {
        int n = epoll_wait(epfd, evs, 64, PATIENCE);
        if (n <= 0) {
            fprintf(stderr, "no answer for %d ms\n", PATIENCE);
            exit(1);
        }
        for (int i = 0; i < n && done < times; i++) {
            struct conn *c = evs[i].data.ptr;
            if (!answered(c))
                continue;
            if (took)
                took[done] = now(CLOCK_MONOTONIC) - c->sent;
            done++;
            if (again)
                request(c);
        }
    }
}

/* How long an answer to the GET is: its head, and what the head says of its body. */
static void learn_size(struct conn *c)
{
    static char answer[LARGEST + 1];
    char *end, *length;
    int got = 0;
    request(c);
    while ((end = strstr(answer, "\r\n\r\n")) == NULL) {
        ssize_t n = recv(c->fd, answer + got, (size_t)(LARGEST - got), 0);
        if (n <= 0)
            die("the first answer");
        got += (int)n;
        answer[got] = 0;
    }
    length = strcasestr(answer, "\r\nContent-Length:");
    if (length == NULL || length > end || strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "the first answer is not 200 with a length:\n%s", answer);
        exit(1);
    }
    answer_size = (int)(end + 4 - answer) + atoi(length + 17);
    if (answer_size > LARGEST) {
        fprintf(stderr, "the answer is too long\n");
        exit(1);
    }
    while (got < answer_size) {
        ssize_t n = recv(c->fd, answer, (size_t)(answer_size - got), 0);
        if (n <= 0)
            die("the first answer");
        got += (int)n;
    }
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: load PORT PID CONNECTIONS REQUESTS [PATH]\n");
        return 2;
    }
    int port = atoi(argv[1]), conns = atoi(argv[3]), epfd = epoll_create1(0);
    long times = atol(argv[4]);
    clockid_t cpu;
    struct conn *conn = calloc((size_t)conns, sizeof(*conn));
    int64_t *took = calloc((size_t)times + 1, sizeof(*took));
    if (conn == NULL || took == NULL || epfd < 0 || clock_getcpuclockid(atoi(argv[2]), &cpu) != 0)
        die("load");
    for (int i = 0; i < conns; i++)
        dial(&conn[i], port, epfd);
    if (argc == 6) {
        request_size =
            snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", argv[5], port);
        learn_size(&conn[0]);
    }
    for (int i = 0; i < conns; i++)
        request(&conn[i]);
    round_trips(epfd, conns + times / 10, true, NULL);
    int64_t cpu_before = now(cpu), before = now(CLOCK_MONOTONIC);
    round_trips(epfd, times, true, took);
    int64_t seconds = now(CLOCK_MONOTONIC) - before, used = now(cpu) - cpu_before;
    round_trips(epfd, conns, false, NULL); /* nothing unread is left, which would make it a reset */
    qsort(took, (size_t)times, sizeof(*took), by_size);
    printf("{\"cpu\": %.9f, \"seconds\": %.9f, \"p99\": %.9f}\n", (double)used / 1e9, (double)seconds / 1e9,
           (double)took[times * 99 / 100] / 1e9);
    return 0;
}
