/* signal.pml: a signal's way from its handler to a channel, and stop(), which waits for those on their way. After
 * sigqueue.c and pysignal.c.
 *
 * Two signals come once each, at any time, on threads of their own; the receiver hands what it takes to the channel A;
 * another thread stops A. With -DHAIL one signal comes twice in a row, and somebody else wants it, too: so stop() does not
 * disable it, and the receiver goes on. The model marks a signal
 * that a handler has counted before stop() began: its bit goes with it from hand to hand, `noted`, `in_work`, `got`.
 *
 * Checked: when stop() has returned, A has got every signal that a handler had counted before, or it was passed on; A
 * gets nothing afterwards; the receiver does not sleep while a signal is pending; everybody comes to an end.
 *
 * What must fail:
 *   -DSTORE_KEY     signal_recv clears its note by a store, which its look at `pending` may overtake
 *   -DCLEAR_LATE    it looks first, and clears its note then
 *   -DRECEIVE_LATE  it says that it receives once it has taken the bits
 *   -DCOUNT_SHORT   the handler stops to count before it has handed its signal on
 *   -DONE_COUNT     stop() waits for one of the two counts
 *   -DONE_ROUND     stop() waits for one round of the receiver
 *   -DNO_IN_HAND    end_stop does not wait until the receiver has let go of A */
#define RECEIVER 2
#define STOP 3
#define THREADS 4
#define DEPTH 2
#define WANTED 0
#define PENDING 1
#define TURN 2
#define DELIVERING(c) (3 + (c))
#define RECEIVING 5
#define ROUNDS 6
#define KEY 7 /* arrived.key */
#define LOCK 8 /* notified_lock */
#define WORDS 9
#include "memory.pml"

#define ALL 3 /* both signals' bits */

/* Under notified_lock: A is in the list; the receiver has it in hand. */
bool listed = true, in_hand;
/* For the check alone. */
byte before, passed, noted, in_work, got;
bool stopping, stopped;
/* Rounds count from the moment that stop() looks how many there were, and to 2. */
bool since_taken;
#ifdef ONE_ROUND
#define MOST_ROUNDS 1
#else
#define MOST_ROUNDS 2
#endif

proctype handler(byte self)
{
    byte t, w, times, mark;
again:
    t = LOAD(TURN);
    d_step {
        DRAINED(self) -> mem[DELIVERING(t)]++;
        mark = (stopping -> 0 : 1 << self);
        before = before | mark;
        got = got & (ALL - mark)
    }
    aload_sc(w, WANTED);
    if
    :: w & (1 << self) ->
#ifdef COUNT_SHORT
        aadd(DELIVERING(t), -1);
#endif
        d_step { mem[PENDING] = mem[PENDING] | (1 << self); noted = noted | mark }
        axchg(w, KEY, 1); /* note_wakeup_in_handler */
#ifdef COUNT_SHORT
        aadd(DELIVERING(t), 1)
#endif
    :: else -> passed = passed | mark /* pass_on: its former effect */
    fi;
    aadd(DELIVERING(t), -1);
    d_step { t = 0; w = 0; mark = 0 }
#ifdef HAIL
    if
    :: self == 0 && times == 0 -> times = 1; goto again
    :: else
    fi
#endif
}

inline deliver()
{
    atomic {
        lock(LOCK);
        in_hand = listed; /* next_notified */
        unlock(LOCK)
    }
    if
    :: in_hand ->
        d_step { assert(!stopped); got = got | in_work; in_work = 0 } /* chansend_begin */
        atomic {
            lock(LOCK);
            in_hand = false;
            unlock(LOCK)
        }
    :: else -> in_work = 0
    fi
}

active proctype receiver()
{
    byte self = RECEIVER, x, taken;
    do
    :: 
#ifndef RECEIVE_LATE
        axchg(x, RECEIVING, 1);
#endif
        d_step { mem[ROUNDS] = (since_taken && mem[ROUNDS] < 2 -> mem[ROUNDS] + 1 : mem[ROUNDS]) }
        d_step { taken = mem[PENDING]; mem[PENDING] = 0; in_work = noted & taken; noted = noted & (ALL - taken) }
#ifdef RECEIVE_LATE
        axchg(x, RECEIVING, 1);
#endif
        if
        :: taken -> deliver() /* both bits at once: what else may come between them comes before or after as well */
        :: else ->
            axchg(x, RECEIVING, 0);
#ifndef CLEAR_LATE
#ifdef STORE_KEY
            astore(KEY, 0);
#else
            axchg(x, KEY, 0);
#endif
#endif
            aload_sc(x, PENDING);
#ifdef CLEAR_LATE
            axchg(taken, KEY, 0);
            taken = 0;
#endif
            if
            :: x == 0 ->
end_asleep:     LOAD(KEY) == 1 /* note_sleep */
            :: else
            fi
        fi;
        d_step { x = 0; taken = 0 }
    od
}

inline wait_for_count(c)
{
    axchg(x, TURN, 1 - c); /* signal_avoid */
    d_step { !SC_PENDING && mem[DELIVERING(c)] == 0 -> x = 0 } /* signal_handled */
}

active proctype stop()
{
    byte self = STOP, x;
    atomic {
        lock(LOCK); /* begin_stop */
        stopping = true;
#ifndef HAIL
        mem[WANTED] = 0; /* signal_disable */
#endif
        unlock(LOCK)
    }
    wait_for_count(0);
#ifndef ONE_COUNT
    wait_for_count(1);
#endif
    since_taken = true; /* signal_round */
    do
    :: aload_sc(x, ROUNDS); /* signal_delivered */
        if
        :: x >= MOST_ROUNDS -> break
        :: else
        fi;
        aload_sc(x, PENDING); /* nothing_received */
        if
        :: x == 0 ->
            aload_sc(x, RECEIVING);
            if
            :: x == 0 -> break
            :: else
            fi
        :: else
        fi;
        mem[PENDING] == 0 || mem[ROUNDS] >= MOST_ROUNDS /* nap */
    od;
    atomic { /* end_stop */
        x = 0;
#ifndef NO_IN_HAND
        !in_hand && mem[LOCK] == 0;
#endif
        lock(LOCK);
        listed = false;
        unlock(LOCK);
        stopped = true;
        assert((before & (ALL - (got | passed))) == 0)
    }
}

init
{
    atomic {
        mem[WANTED] = ALL;
        if
        :: mem[TURN] = 0
        :: mem[TURN] = 1
        fi;
#ifndef HAIL
        run handler(1);
#endif
        run handler(0)
    }
    timeout -> assert(stopped && mem[PENDING] == 0 && mem[DELIVERING(0)] == 0 && mem[DELIVERING(1)] == 0)
}
