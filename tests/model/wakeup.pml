/* wakeup.pml: whoever queues work finds an idle P, or whoever idles finds the work. After sched.c, proc.c and m.c.
 *
 * Three Ms and two Ps. M0 runs on P0 and readies up to PUTS goroutines, each in one of the ways there are; M1 has P1 and
 * has just run out of work, or (-DHANDOFF) is stuck outside and loses P1; M2 sleeps, idle. With -DTHREAD a plain thread
 * queues one goroutine globally. A goroutine that is picked computes for ever, or ends at once; M0 computes for ever or,
 * with -DSCHEDULES, may go on to schedule instead. So work that waits beside an idle P is never found by luck, only by the
 * protocol. Nobody puts anything on P1's queue, so there is only P0's; its slots are those of runq.pml.
 *
 * Checked, once nobody can move any more: while a P is idle, no goroutine waits that any M may run; nobody is counted as
 * spinning; no P is lost.
 *
 * What is atomic here and not in C: a critical section of sched.lock that changes one word at most which others read
 * without the lock. (To take a lock commutes with what others do next, to release it with what they did before.)
 *
 * What must fail: see the Makefile.
 *   -DNO_FENCE_PUT        runqput_tail ends in its release store
 *   -DNO_FENCE_KICKED     it does so where an unbound goroutine becomes runnext, whose exchange is a barrier, but an earlier one
 *   -DNO_FENCE_GLOBAL     wake_anyone has no barrier: WEAK alone, on x86 unlock is one
 *   -DNO_FENCE_IDLE       recheck has none: WEAK alone, on x86 astore_sc is one
 *   -DNO_RECHECK          idle does not look again
 *   -DUNCOUNT_LATE        wakep, which has got no P, counts as spinning until it has let go of sched.lock
 *   -DNO_LOOK_AT_HANDOFF  handoffp gives the P up and looks at nothing but that P's own queue
 *   -DNO_WAKE_FOR_KICKED  a bound goroutine that becomes runnext moves an unbound one to the ring, and nobody is woken */
#ifndef THREAD
#define PUTS 2
#else
#define PUTS 1
#endif
#define NM 3
#define NONE 2 /* no P */
#define T 3    /* the plain thread's number */
#ifdef THREAD
#define THREADS 4
#else
#define THREADS 3
#endif

#define NPIDLE 0
#define NMSPINNING 1
#define NGLOB 2
#define LOCK 3
#define RUNNEXT 4 /* of P0; 0: none, 1: any M may run it, BOUND: only M0 */
#define HEAD 5
#define TAIL 6
#define KEY(m) (7 + (m)) /* of its note, mp->park; written under sched.lock */
#define WORDS (7 + NM)
#ifdef TSO
#define DEPTH 2
#else
#define DEPTH 4
#endif
#include "memory.pml"

#define BOUND 2

/* Under sched.lock. */
byte globq, nidle;
bool pidle[NONE], midle[NM];
byte nextp[NM];
/* mp->spinning: its M's own, or its waker's before the wake-up. */
bool spinning[NM];
/* For the check alone: the Ps of Ms that compute for ever. */
byte held;

/* ---- m.c ---- */

inline pidleget_locked(p)
{
    if
    :: pidle[0] -> p = 0
    :: !pidle[0] && pidle[1] -> p = 1
    :: else -> p = NONE
    fi;
    if
    :: p != NONE ->
        pidle[p] = false;
        nidle--;
        astore_sc(NPIDLE, nidle)
    :: else
    fi
}

inline releasep_locked(p)
{
    pidle[p] = true;
    nidle++;
    astore_sc(NPIDLE, nidle)
}

inline acquirep(p)
{
    aload_sc(x, NPIDLE);
    if
    :: x == 0 -> p = NONE
    :: else ->
        atomic {
            lock(LOCK);
            pidleget_locked(p);
            unlock(LOCK)
        }
    fi
}

inline startm(p, spin)
{
    atomic {
        lock(LOCK);
        if
        :: midle[0] -> x = 0
        :: midle[1] && !midle[0] -> x = 1
        :: midle[2] && !midle[1] && !midle[0] -> x = 2
        :: else -> assert(false) /* a new thread: this model has none to spare, and needs none */
        fi;
        midle[x] = false;
        spinning[x] = spin;
        nextp[x] = p;
        d_step { DRAINED(self) -> mem[KEY(x)] = 1 } /* note_wakeup */
        unlock(LOCK);
        x = 0
    }
}

/* The caller has queued work, and a barrier follows that. */
inline wakep()
{
    aload_sc(x, NPIDLE);
    if
    :: x != 0 ->
        aload_sc(x, NMSPINNING);
        if
        :: x == 0 ->
            acas(ok, NMSPINNING, 0, 1);
            if
            :: ok ->
#ifdef UNCOUNT_LATE
                acquirep(q);
                if
                :: q == NONE -> aadd(NMSPINNING, -1)
                :: else
                fi;
#else
                atomic {
                    lock(LOCK);
                    pidleget_locked(q);
                    if
                    :: q == NONE -> aadd(NMSPINNING, -1)
                    :: else
                    fi;
                    unlock(LOCK)
                }
#endif
                if
                :: q != NONE -> startm(q, true)
                :: else
                fi
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    d_step { ok = false; q = 0; x = 0 }
}

inline wake_anyone()
{
#ifndef NO_FENCE_GLOBAL
    afence();
#endif
    wakep()
}

/* -> x. The head first: the tail never falls behind it. */
inline runqlen()
{
    h = LOAD(HEAD);
    d_step { x = LOAD(TAIL) - h; h = 0 }
}

/* -> x */
inline work_anywhere()
{
    x = LOAD(NGLOB);
    if
    :: x == 0 ->
        d_step { x = LOAD(RUNNEXT); x = (x == 1) }
        if
        :: x == 0 -> runqlen()
        :: else
        fi
    :: else
    fi
}

/* -> p, or NONE: it sleeps. */
inline recheck(p)
{
    if
    :: spun -> aadd(NMSPINNING, -1)
    :: else
    fi;
    spun = false;
#ifndef NO_RECHECK
#ifndef NO_FENCE_IDLE
    afence();
#endif
    work_anywhere();
    if
    :: x != 0 ->
        atomic {
            x = 0;
            lock(LOCK);
            if
            :: midle[self] -> /* mp->state == Midle */
                pidleget_locked(p);
                if
                :: p != NONE -> midle[self] = false; spinning[self] = true
                :: else
                fi
            :: else
            fi;
            unlock(LOCK)
        }
        if
        :: p != NONE -> aadd(NMSPINNING, 1)
        :: else
        fi
    :: else
    fi
#endif
}

/* Give up p (NONE: there is none). -> p, or NONE: go to sleep. */
inline idle(p)
{
    atomic {
        lock(LOCK);
        if
        :: p != NONE && globq > 0
        :: else ->
            if
            :: p != NONE -> releasep_locked(p)
            :: else
            fi;
            if
            :: globq > 0 && nidle > 0 -> pidleget_locked(p)
            :: else ->
                p = NONE;
                mem[KEY(self)] = 0; /* note_clear */
                midle[self] = true;
                spun = spinning[self];
                spinning[self] = false
            fi
        fi;
        unlock(LOCK)
    }
    if
    :: p == NONE -> recheck(p)
    :: else
    fi
}

inline handoffp(p)
{
    x = LOAD(NGLOB); /* has_free_work: P1's own queue is empty */
    if
    :: x != 0 -> startm(p, false)
    :: else ->
        atomic {
            lock(LOCK);
            releasep_locked(p);
            unlock(LOCK)
        }
#ifndef NO_LOOK_AT_HANDOFF
        afence();
        work_anywhere();
        if
        :: x != 0 -> wakep()
        :: else
        fi
#endif
    fi;
    d_step { p = NONE; x = 0 }
}

/* ---- sched.c ---- */

/* runqput_tail; runqput is its first line. */
inline runqput_tail()
{
    astore(TAIL, LOAD(TAIL) + 1);
#ifdef NO_FENCE_KICKED
    if
    :: next != 1 -> afence()
    :: else
    fi
#elif !defined(NO_FENCE_PUT)
    afence()
#endif
}

/* goready of an unbound goroutine (also newproc), goready of a bound one, and goready_when(gp, false) (also injectglist).
 * takep before is an exchange of mp->p, givep after stores two words with release: nobody here looks at them. */
inline ready()
{
    if
    :: next = 1; wake = true
    :: next = BOUND; wake = false
    :: next = 0; wake = true
    fi;
    x = 1;
    if
    :: next -> axchg(x, RUNNEXT, next) /* runqput_next: a barrier, too */
    :: else
    fi;
    if
    :: x == 1 -> /* itself, or the one that was next until then; a bound one goes to mp->lockq instead */
        runqput_tail();
#ifndef NO_WAKE_FOR_KICKED
        wake = true
#endif
    :: else
    fi;
    d_step { x = 0; next = 0 }
    if
    :: wake -> wakep()
    :: else
    fi
}

inline globrunqput()
{
    atomic {
        lock(LOCK);
        globq++;
        apoke(NGLOB, globq);
        unlock(LOCK)
    }
}

/* -> ok: a goroutine has been taken. */
inline globrunqget()
{
    if
    :: LOAD(NGLOB) != 0 ->
        atomic {
            lock(LOCK);
            if
            :: globq > 0 ->
                globq--;
                apoke(NGLOB, globq);
                ok = true
            :: else
            fi;
            unlock(LOCK)
        }
    :: else
    fi
}

/* Take one from P0's ring, as its M or a thief. */
inline runqget()
{
    h = LOAD(HEAD);
    if
    :: LOAD(TAIL) != h -> acas(ok, HEAD, h, h + 1)
    :: else
    fi;
    h = 0
}

inline pick(p)
{
    if
    :: p == 0 ->
        if
        :: LOAD(RUNNEXT) != 0 -> d_step { DRAINED(self) -> ok = mem[RUNNEXT] != 0; mem[RUNNEXT] = 0 }
        :: else
        fi;
        if
        :: !ok -> runqget()
        :: else
        fi
    :: else
    fi;
    if
    :: !ok -> globrunqget()
    :: else
    fi
}

/* The last look at the other P: its M has not scheduled meanwhile. */
inline steal(p)
{
    if
    :: !spinning[self] ->
        d_step { x = LOAD(NMSPINNING) }
        if
        :: 2 * x >= 2 - LOAD(NPIDLE)
        :: else -> spinning[self] = true; aadd(NMSPINNING, 1)
        fi;
        x = 0
    :: else
    fi;
    if
    :: spinning[self] ->
        if
        :: p == 1 ->
            runqget();
            if
            :: !ok && LOAD(RUNNEXT) == 1 -> acas(ok, RUNNEXT, 1, 0)
            :: else
            fi
        :: else
        fi;
        if
        :: !ok -> globrunqget()
        :: else
        fi
    :: else
    fi
}

inline resetspinning()
{
    if
    :: spinning[self] ->
        spinning[self] = false;
        d_step { DRAINED(self) -> mem[NMSPINNING] = mem[NMSPINNING] - 1; ok = mem[NMSPINNING] == 0 }
        if
        :: ok -> wakep()
        :: else
        fi
    :: else
    fi;
    ok = false
}

proctype M(byte self; byte p)
{
    byte x, q, h, puts, next;
    bool ok, spun, wake;

    if
    :: self == 0 -> /* user code on M0 */
        do
        :: puts < PUTS -> puts++;
            ready()
        :: puts = 0; break
        od;
        if
        :: goto compute
#ifndef THREAD
        :: goto findrunnable
#endif
        fi
    :: self == 1 -> goto findrunnable
#ifndef THREAD
    :: self == 1 -> handoffp(p); goto compute /* outside: it will not come back */
#endif
    :: self == 2 -> goto sleep_listed
    fi;

findrunnable:
    if
    :: p == NONE -> acquirep(p)
    :: else
    fi;
    if
    :: p != NONE ->
        pick(p);
        if
        :: !ok -> steal(p)
        :: else
        fi;
        if
        :: ok ->
            resetspinning();
            if
            :: goto compute
            :: goto findrunnable
            fi
        :: else
        fi
    :: else
    fi;
    idle(p);
    if
    :: p != NONE -> goto findrunnable
    :: else
    fi;

sleep_listed:
end_asleep:
    atomic {
        mem[KEY(self)] == 1; /* note_sleep */
        lock(LOCK);
        p = nextp[self];
        nextp[self] = 0;
        unlock(LOCK)
    }
    goto findrunnable;

compute:
    atomic { held = held + (p != NONE); p = 0 }
end_compute:
    false
}

#ifdef THREAD
proctype thread(byte self)
{
    byte x, q;
    bool ok;
    globrunqput();
    wake_anyone()
}
#endif

init
{
    atomic {
        midle[2] = true;
        run M(0, 0);
        run M(1, 1);
        run M(2, NONE);
#ifdef THREAD
        run thread(T)
#endif
    }
    timeout ->
        assert(nidle == 0 || (globq == 0 && mem[RUNNEXT] != 1 && mem[HEAD] == mem[TAIL]));
        assert(mem[NMSPINNING] == 0);
        assert(mem[NPIDLE] == nidle && nidle + held == 2)
}
