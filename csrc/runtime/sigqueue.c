/* sigqueue.c: after Go's runtime/sigqueue.go.
 *
 * A signal goes through three hands: the handler, which counts itself in `delivering`; the bits of `pending`;
 * the receiver, which says so in `receiving`. It is in the next one's before it leaves the last one's, so
 * signal_idle(), which looks in that order, does not miss it.
 *
 * In a hail of signals the three are never seen empty at once. So whoever waits only for the signals that came before
 * it disabled one takes the hands one after the other. Handlers: each of the two counts has been 0 once; handlers that
 * begin meanwhile are counted in the other, and know what is wanted now. Receiver: it has begun two more `rounds`, for
 * it may have begun one already without having taken the bits yet.
 *
 * A handler may already have begun on another thread when its signal is disabled. It finds that the signal is not
 * `wanted` any more and raises it again, for whoever handles it now: so none is lost. The signal may come back to our
 * handler, which knows it by its mark: the number of enablings that the first handler saw before it saw that the signal
 * is not wanted. If there has been an enabling since, the signal may have met the handler of that one, and is raised
 * once more. If not, whoever handles the signal now has passed it on to the handler that they found, ours, and it has
 * had its effect. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_sigqueue */
#endif

#include "runtime/sigqueue.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define BIT(sig) ((uint64_t)1 << ((sig) - 1))

static struct sigaction former[MOST_SIGNALS + 1];
static uint64_t wanted, pending;
static uint32_t enablings;           /* counted once the signal is wanted, before its handler is there */
static char marks[256];              /* their addresses mark signals that are raised again */
static uint64_t taken;               /* the receiver's own */
static uint32_t delivering[2], turn; /* which of the two is a new handler's */
static uint32_t receiving, rounds, quit, poking;
static struct note arrived;

static bool is_fault(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP;
}

/* Sent by raise() or pthread_kill()? */
static bool is_own(const siginfo_t *info)
{
#ifdef SI_TKILL
    return info->si_code == SI_TKILL && info->si_pid == getpid();
#else
    return info->si_code <= 0 && info->si_pid == getpid();
#endif
}

/* Send sig to a thread, marked by an address of ours. false: it could not be marked, and was not sent. */
static bool send_marked(pthread_t thread, int sig, void *mark)
{
#ifdef __GLIBC__
    return pthread_sigqueue(thread, sig, (union sigval){.sival_ptr = mark}) == 0;
#else
    return (void)thread, (void)sig, (void)mark, false;
#endif
}

static bool is_marked(const siginfo_t *info, const void *mark)
{
    return info->si_code == SI_QUEUE && info->si_pid == getpid() && info->si_value.sival_ptr == mark;
}

/* Is this SIGINT signal_poke's? */
static bool is_poke(const siginfo_t *info)
{
    return is_marked(info, &poking) || (is_own(info) && real_xchg(&poking, 0));
}

static void call_former(int sig, siginfo_t *info, void *context)
{
    struct sigaction *act = &former[sig];
    if (act->sa_flags & SA_SIGINFO)
        act->sa_sigaction(sig, info, context);
    else if (act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN)
        act->sa_handler(sig);
}

/* After `seen` enablings sig is not wanted: raise it again, or, if it has come back and the former effect is the
 * default, have that. A signal that cannot be marked is not raised a second time. */
static void pass_on(int sig, const siginfo_t *info, uint32_t seen)
{
    void *mark = &marks[seen % sizeof(marks)];
    bool comes_back = is_marked(info, mark);
    if (!comes_back && !send_marked(pthread_self(), sig, mark) && !(comes_back = is_own(info)))
        raise(sig);
    if (comes_back && !(former[sig].sa_flags & SA_SIGINFO) && former[sig].sa_handler == SIG_DFL) {
        sigaction(sig, &former[sig], NULL);
        raise(sig);
    }
}

static void sighandler(int sig, siginfo_t *info, void *context)
{
    int was = errno;
    if (sig == SIGINT && is_poke(info)) {
        call_former(sig, info, context);
    } else if (is_fault(sig) && info->si_code > 0) { /* it happens again, to whoever was here before */
        sigaction(sig, &former[sig], NULL);
    } else {
        uint32_t *count = &delivering[real_load(&turn)];
        real_add(count, 1);
        uint32_t seen = __atomic_load_n(&enablings, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&wanted, __ATOMIC_SEQ_CST) & BIT(sig)) {
            __atomic_fetch_or(&pending, BIT(sig), __ATOMIC_SEQ_CST);
            note_wakeup_in_handler(&arrived);
        } else {
            pass_on(sig, info, seen);
        }
        real_add(count, -1);
    }
    errno = was;
}

static bool is_ours(const struct sigaction *act)
{
    return (act->sa_flags & SA_SIGINFO) && act->sa_sigaction == sighandler;
}

bool signal_enable(int sig)
{
    struct sigaction act = {.sa_sigaction = sighandler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART},
                     was;
    if (sig == SIGINT) { /* signal_poke() is to end system calls */
        act.sa_flags &= ~SA_RESTART;
        real_store(&poking, 0);
    }
    sigemptyset(&act.sa_mask);
    if (sigaction(sig, NULL, &was) != 0)
        return false;
    if (!is_ours(&was))
        former[sig] = was; /* before the handler can run */
    __atomic_fetch_or(&wanted, BIT(sig), __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&enablings, 1, __ATOMIC_SEQ_CST);
    if (is_ours(&was) || sigaction(sig, &act, NULL) == 0)
        return true;
    __atomic_fetch_and(&wanted, ~BIT(sig), __ATOMIC_SEQ_CST);
    return false;
}

void signal_disable(int sig)
{
    struct sigaction act;
    if (sigaction(sig, NULL, &act) == 0 && is_ours(&act))
        sigaction(sig, &former[sig], NULL);
    __atomic_fetch_and(&wanted, ~BIT(sig), __ATOMIC_SEQ_CST);
}

int signal_recv(void)
{
    for (;;) {
        real_xchg(&receiving, 1);
        if (real_load(&quit))
            break;
        if (!taken) {
            real_add(&rounds, 1);
            taken = real_xchg(&pending, 0);
        }
        if (taken) {
            int sig = __builtin_ctzll(taken) + 1;
            taken &= taken - 1;
            return sig;
        }
        real_xchg(&receiving, 0);
        /* First clear the note, then look at `pending` once more: a handler does it the other way around. */
        real_xchg(&arrived.key, 0);
        if (__atomic_load_n(&pending, __ATOMIC_SEQ_CST) == 0 && !real_load(&quit))
            note_sleep(&arrived, NEVER);
    }
    real_xchg(&receiving, 0);
    return 0;
}

void signal_quit(void)
{
    real_xchg(&quit, 1);
    note_wakeup(&arrived);
}

bool signal_receiving(void) { return __atomic_load_n(&receiving, __ATOMIC_SEQ_CST); }

static bool nothing_received(void)
{
    return (__atomic_load_n(&pending, __ATOMIC_SEQ_CST) == 0 && !signal_receiving()) || real_load(&quit);
}

bool signal_idle(void) { return signal_handled(0) && signal_handled(1) && nothing_received(); }

void signal_avoid(uint32_t count) { real_xchg(&turn, !count); }

bool signal_handled(uint32_t count) { return __atomic_load_n(&delivering[count], __ATOMIC_SEQ_CST) == 0; }

uint32_t signal_round(void) { return __atomic_load_n(&rounds, __ATOMIC_SEQ_CST); }

bool signal_delivered(uint32_t since) { return signal_round() - since >= 2 || nothing_received(); }

/* What is pending has come to the child: the parent had delivered all before it forked. */
void signal_fork_child(void)
{
    taken = 0;
    delivering[0] = delivering[1] = receiving = quit = poking = 0;
    note_clear(&arrived);
}

void signal_poke(pthread_t thread)
{
    if (send_marked(thread, SIGINT, &poking))
        return;
    real_store(&poking, (real_load(&wanted) & BIT(SIGINT)) != 0); /* one that is enabled meanwhile gets it */
    pthread_kill(thread, SIGINT);
}
