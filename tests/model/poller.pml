/* poller.pml: who sleeps in the poller, and what ends that. After idle, sleep_listed and poll_watch in m.c, netpollsleep in
 * netpoll.c and note_wakeup in lock.c.
 *
 * Two Ms, each with a P, run out of work, or one does and the other computes for ever. A plain thread begins to wait for a descriptor, which becomes ready at some time
 * afterwards, or never; another thread wakes an idle M, for work that is soon done. An M that has been woken idles again: were it to
 * compute, descriptors would be sysmon's.
 *
 * Checked, once nobody can move any more: an event that came has been taken, and nobody sleeps who has been woken.
 *
 * What must fail:
 *   -DNO_FENCE_IDLE   idle looks for those who wait without a barrier behind its stores (WEAK)
 *   -DLOOK_FIRST      it looks before it stores that the P is idle
 *   -DBREAKFD_LATE    the poller's note gets to know breakfd once the M can be found idle
 *   -DWRITE_FIRST     note_wakeup writes to breakfd before it sets the key
 *   -DPOLL_AGAIN      netpollsleep does not look at the key between a break and the next poll */
#define WAITER 2
#define WAKER 3
#define THREADS 4
#define DEPTH 4
#define NONE 255
#define NPIDLE 0
#define NWAITERS 1
#define POLLER 2 /* M + 1 */
#define LOCK 3
#define KEY(m) (4 + (m))
#define BREAKFD(m) (6 + (m)) /* as the key, written under sched.lock */
#define WORDS 8
#include "memory.pml"

/* Under sched.lock. Ps are alike, so they are counted. */
byte nidle;
bool midle[2], nextp[2];
/* The kernel's. */
bool armed, event, broken, futex[2];
/* For the check alone. */
bool came, taken;

/* pidleget_locked and midleget_locked, then wake_with_locked. */
inline wake_one()
{
    if
    :: nidle > 0 ->
        nidle--;
        astore_sc(NPIDLE, nidle);
        if
        :: midle[0] -> m = 0
        :: midle[1] && !midle[0] -> m = 1
        fi;
        midle[m] = false;
        nextp[m] = true;
        fd = mem[BREAKFD(m)]; /* note_wakeup */
#ifdef WRITE_FIRST
        if
        :: fd -> broken = true
        :: else
        fi;
#endif
        axchg(x, KEY(m), 1);
        if
#ifndef WRITE_FIRST
        :: fd -> broken = true
#endif
        :: else -> futex[m] = false /* whoever sleeps there, wakes */
        fi
    :: else
    fi;
    d_step { m = 0; x = 0; fd = false }
}

proctype M(byte self)
{
    byte p = 1, x;
    bool polls, ev;
idle:
    skip;
#ifdef LOOK_FIRST
    x = LOAD(NWAITERS);
#endif
    lock(LOCK);
    if
    :: p ->
        d_step { nidle++; p = 0 }
        astore_sc(NPIDLE, nidle) /* releasep_locked */
    :: else
    fi;
    d_step { mem[KEY(self)] = 0; midle[self] = true }
#ifndef NO_FENCE_IDLE
    afence();
#endif
    polls = LOAD(POLLER) == 0 && nidle > 0; /* becomes_poller_locked */
#ifndef LOOK_FIRST
    x = LOAD(NWAITERS);
#endif
    polls = polls && x != 0;
    x = 0;
    if
    :: polls ->
        astore(POLLER, self + 1);
#ifndef BREAKFD_LATE
        mem[BREAKFD(self)] = 1
#endif
    :: else
    fi;
    unlock(LOCK);
    if
    :: polls ->
#ifdef BREAKFD_LATE
        mem[BREAKFD(self)] = 1;
#endif
        do /* netpollsleep */
        :: LOAD(KEY(self)) == 1 -> break
        :: LOAD(KEY(self)) == 0 ->
end_polling:
            do
            :: atomic { (event || broken) -> ev = event; event = false }
                if
                :: broken -> broken = false /* drain */
                :: else
                fi;
#ifdef POLL_AGAIN
                if
                :: ev -> break
                :: else
                fi
#else
                break
#endif
            od;
            if
            :: ev -> break
            :: else
            fi
        od;
        if
        :: ev -> taken = true; ev = false /* netpollready: it waits no more */
            aadd(NWAITERS, -1)
        :: else
        fi
    :: else ->
        do /* note_sleep */
        :: LOAD(KEY(self)) == 1 -> break
        :: d_step { DRAINED(self) && mem[KEY(self)] == 0 -> futex[self] = true } /* futex_wait looks once more */
end_asleep: !futex[self]
        od
    fi;
    x = 0;
    lock(LOCK);
    if
    :: polls -> /* leave_poller_locked */
        mem[BREAKFD(self)] = 0;
        astore(POLLER, 0)
    :: else
    fi;
    if
    :: nextp[self] -> nextp[self] = false; p = 1
    :: else -> /* it was an event: unlist_locked */
        midle[self] = false;
        if
        :: nidle > 0 -> d_step { nidle--; p = 1 }
            astore_sc(NPIDLE, nidle)
        :: else
        fi
    fi;
    polls = false;
    unlock(LOCK);
    goto idle
}

proctype waiter(byte self)
{
    byte m, x;
    bool fd;
    aadd(NWAITERS, 1); /* a barrier, too */
    armed = true; /* netpollarm */
    aload_sc(x, NPIDLE); /* poll_watch */
    if
    :: x != 0 && LOAD(POLLER) == 0 ->
        x = 0;
        lock(LOCK);
        if
        :: LOAD(POLLER) == 0 -> wake_one()
        :: else
        fi;
        unlock(LOCK)
    :: else
    fi
}

proctype waker(byte self)
{
    byte m, x;
    bool fd;
    lock(LOCK);
    wake_one();
    unlock(LOCK)
}

proctype device()
{
    armed ->
    if
    :: d_step { event = true; came = true }
    :: skip /* never */
    fi
}

init
{
    atomic {
        run M(0);
        if
        :: run M(1)
        :: skip
        fi;
        run waiter(WAITER);
        run waker(WAKER);
        run device()
    }
    timeout -> assert(taken == came && !nextp[0] && !nextp[1])
}
