/* mutex.pml: the state word of a Mutex, its queue and those who park on it. After sync_mutex.c, line by line.
 *
 * Three goroutines, each on an M of its own, lock and unlock ROUNDS times; the wait of the last may time out. What time
 * decides in C (whether a waiter starves, and whether starvation mode goes on) is decided either way here. spin() only
 * looks, so it is left out: between any two steps of the model any time may pass.
 *
 * Checked: one holder at a time, who sees all that the former ones stored (`DATA`); the flags' invariant whenever mu->lock
 * is free; and that everybody comes to his end, so that no wake-up is lost, and leaves the state 0.
 *
 * What must fail:
 *   -DPOKE_STATE     mutexunlock's last store of the state is relaxed (WEAK)
 *   -DSTORE_WAITERS  a waiter stores WAITERS instead of exchanging it for what it saw
 *   -DENQUEUE_LATE   a waiter queues itself once it has let go of mu->lock
 *   -DKEEP_WOKEN     one that was woken, and has lost, parks again and leaves WOKEN set */
#define THREADS 3
#define DEPTH 4
#define STATE 0
#define LOCK 1
#define DATA 2
#define WORDS 3
#include "memory.pml"

#define LOCKED 1
#define WAITERS 2
#define WOKEN 4
#define STARVING 8

#define ROUNDS 2

/* Under mu->lock: q, and `success` of each sudog. */
byte q[THREADS], nq;
bool success[THREADS];
/* gp->armed, and that it has been readied, or its timer was first: changed by read-modify-writes. */
bool armed[THREADS], woken[THREADS];
byte inside, held;

#define INVARIANT(s)                                                                                         \
    (((s) & WAITERS) != 0) == (nq != 0) && !(((s) & WOKEN) && ((s) & STARVING)) &&                           \
        (!((s) & STARVING) || (((s) & LOCKED) && ((s) & WAITERS)))

inline unlock_mu()
{
    atomic {
        assert(INVARIANT(LOAD(STATE)));
        unlock(LOCK)
    }
}

inline enqueue(g)
{
    d_step { q[nq] = g; nq++ }
}

inline enqueue_front(g)
{
    d_step { q[2] = q[1]; q[1] = q[0]; q[0] = g; nq++ }
}

inline take_first(g)
{
    g = q[0];
    q[0] = q[1];
    q[1] = q[2];
    q[2] = 0;
    nq--
}

/* -> sg, or NONE; those who have timed out are dropped on the way. */
#define NONE 255
inline dequeue(sg)
{
    d_step {
        sg = NONE;
        do
        :: sg == NONE && nq > 0 ->
            take_first(sg);
            if
            :: armed[sg] -> armed[sg] = false /* wait_claim */
            :: else -> sg = NONE
            fi
        :: else -> break
        od
    }
}

inline dequeue_sudog(g)
{
    d_step {
        if
        :: nq > 0 && q[0] == g -> take_first(i)
        :: nq > 1 && q[0] != g && q[1] == g -> q[1] = q[2]; q[2] = 0; nq--
        :: nq > 2 && q[0] != g && q[1] != g && q[2] == g -> q[2] = 0; nq--
        :: else
        fi;
        i = 0
    }
}

inline wait_locked(again)
{
    d_step { success[self] = false; armed[self] = true } /* wait_begin */
    if
    :: again -> enqueue_front(self)
    :: else -> enqueue(self)
    fi
}

/* -> ok */
inline trylock()
{
    do
    :: s = LOAD(STATE);
        if
        :: s & LOCKED -> ok = false; break
        :: else ->
            acas(ok, STATE, s, s | LOCKED);
            if
            :: ok -> break
            :: else
            fi
        fi
    od
}

/* -> ok, or it is to park. */
inline lock_begin()
{
    trylock();
    if
    :: !ok ->
        lock(LOCK);
        do
        :: s = LOAD(STATE);
            if
            :: s & LOCKED ->
#ifdef STORE_WAITERS
                astore(STATE, s | WAITERS);
                ok = true;
#else
                acas(ok, STATE, s, s | WAITERS);
#endif
                if
                :: ok ->
                    ok = false;
#ifdef ENQUEUE_LATE
                    unlock(LOCK);
                    wait_locked(false);
#else
                    wait_locked(false);
                    unlock_mu();
#endif
                    break
                :: else
                fi
            :: else ->
                acas(ok, STATE, s, s | LOCKED);
                if
                :: ok -> unlock_mu(); break
                :: else
                fi
            fi
        od
    :: else
    fi;
    s = 0
}

/* -> ok, or it is to park again. */
inline compete()
{
    if
    :: starving = true
    :: starving = false
    fi;
    lock(LOCK);
    do
    :: s = LOAD(STATE);
#ifdef KEEP_WOKEN
        next = s;
#else
        next = s & (15 - WOKEN);
#endif
        if
        :: !(s & LOCKED) ->
            acas(ok, STATE, s, next | LOCKED);
            if
            :: ok -> break
            :: else
            fi
        :: else ->
            next = next | WAITERS | (starving -> STARVING : 0);
            acas(ok, STATE, s, next);
            if
            :: ok -> wait_locked(true); ok = false; break
            :: else
            fi
        fi
    od;
    unlock_mu();
    d_step { s = 0; next = 0; starving = false }
}

/* It has timed out. */
inline lock_finish()
{
    lock(LOCK);
    dequeue_sudog(self);
    s = LOAD(STATE);
    do
    :: nq == 0 ->
        acas(ok, STATE, s, s & (15 - WAITERS - STARVING));
        if
        :: ok -> break
        :: else -> s = LOAD(STATE)
        fi
    :: else -> break
    od;
    unlock_mu();
    d_step { ok = false; s = 0 }
}

inline mutexunlock()
{
    acas(ok, STATE, LOCKED, 0);
    if
    :: !ok ->
        lock(LOCK);
        s = LOAD(STATE);
        assert(s & LOCKED);
        i = NONE;
        if
        :: s & WOKEN -> next = s & (15 - LOCKED)
        :: else ->
            dequeue(i);
            if
            :: i == NONE -> next = 0
            :: i != NONE && (s & STARVING) -> /* hand_over_locked */
                success[i] = true;
                if
                :: nq == 0 -> next = LOCKED
                :: nq != 0 -> next = LOCKED | WAITERS
                :: nq != 0 -> next = LOCKED | WAITERS | STARVING
                fi
            :: i != NONE && !(s & STARVING) ->
                success[i] = false;
                next = WOKEN | (nq -> WAITERS : 0)
            fi
        fi;
#ifdef POKE_STATE
        apoke(STATE, next);
#else
        astore(STATE, next);
#endif
        unlock_mu();
        if
        :: i != NONE -> d_step { DRAINED(self) -> woken[i] = true } /* goready, which every queue makes a release */
        :: else
        fi
    :: else
    fi;
    d_step { ok = false; s = 0; next = 0; i = 0 }
}

proctype G(byte self)
{
    byte s, next, i, round;
    bool ok, starving, timed_out;

    do
    :: round < ROUNDS ->
        round++;
        lock_begin();
        do
        :: !ok && !timed_out ->
            if /* gowait */
            :: d_step { woken[self] -> woken[self] = false }
                ok = success[self];
                if
                :: !ok -> compete()
                :: else
                fi
            :: d_step { self == 2 && armed[self] -> armed[self] = false; timed_out = true }
                lock_finish()
            fi
        :: else -> break
        od;
        if
        :: ok ->
            d_step { inside++; held++ }
            assert(inside == 1);
            i = LOAD(DATA);
            d_step { apoke(DATA, i + 1); i = 0 }
            inside--;
            mutexunlock()
        :: else
        fi;
        d_step { ok = false; timed_out = false }
    :: else -> break
    od
}

init
{
    atomic {
        run G(0);
        run G(1);
        run G(2)
    }
    timeout -> assert(_nr_pr == 2 && mem[STATE] == 0 && nq == 0 && mem[DATA] == held)
}
