/* memory.pml: words that threads share, each thread with a store buffer between itself and them.
 *
 * The model defines THREADS, up to 4, WORDS and DEPTH, 2 or 4: how many stores a thread may have in flight, which is
 * asserted. Each proctype that uses this has a variable `self`, its thread's number.
 *
 * Two machines:
 *   TSO    x86. The buffer is a FIFO, a load sees its own thread's buffer first, and whatever carries the lock prefix
 *          (read-modify-writes, the store of astore_sc, lock, unlock) waits until the buffer is empty.
 *   WEAK   what C11 leaves of the order of stores. A release store leaves after all older ones; a relaxed one overtakes
 *          those of other words. astore_sc is a release store that only aload_sc and read-modify-writes wait for. lock is
 *          an acquire, which waits for nothing; unlock is a release store. So an aload may overtake an astore_sc, an
 *          unlock, or both.
 * Loads are not reordered among each other, all threads see a store at the same time, and no load overtakes a
 * sequentially consistent read-modify-write. */
#define RELAXED 0
#define RELEASE 1
#define SEQCST 2

typedef store_buffer {
    byte n;
    byte word[DEPTH];
    byte value[DEPTH];
    byte order[DEPTH];
};

byte mem[WORDS];
store_buffer sb[THREADS];

#define DRAINED(t) (sb[t].n == 0)
#define HAS(t, i, w) (sb[t].n > i && sb[t].word[i] == (w))
#define HAS_SC(t, i) (sb[t].n > i && sb[t].order[i] == SEQCST)

/* aload, apeek: an expression. */
#if DEPTH == 4
#define LOAD(w)                                                                                              \
    (HAS(self, 3, w) -> sb[self].value[3] :                                                                  \
    (HAS(self, 2, w) -> sb[self].value[2] :                                                                  \
    (HAS(self, 1, w) -> sb[self].value[1] : (HAS(self, 0, w) -> sb[self].value[0] : mem[w]))))
#define SC_PENDING (HAS_SC(self, 0) || HAS_SC(self, 1) || HAS_SC(self, 2) || HAS_SC(self, 3))
#else
#define LOAD(w) (HAS(self, 1, w) -> sb[self].value[1] : (HAS(self, 0, w) -> sb[self].value[0] : mem[w]))
#define SC_PENDING (HAS_SC(self, 0) || HAS_SC(self, 1))
#endif

#define put_in_buffer(w, v, o)                                                                              \
    d_step {                                                                                                 \
        assert(sb[self].n < DEPTH);                                                                          \
        sb[self].word[sb[self].n] = w;                                                                       \
        sb[self].value[sb[self].n] = v;                                                                      \
        sb[self].order[sb[self].n] = o;                                                                      \
        sb[self].n++                                                                                         \
    }
#define apoke(w, v) put_in_buffer(w, v, RELAXED)
#define astore(w, v) put_in_buffer(w, v, RELEASE)

#ifdef TSO
#define FAILED_CAS(w, was) (DRAINED(self) && mem[w] != (was))
#define astore_sc(w, v) d_step { DRAINED(self) -> mem[w] = v }
#define aload_sc(x, w) x = LOAD(w)
#define lock(w) d_step { DRAINED(self) && mem[w] == 0 -> mem[w] = 1 }
#define unlock(w) d_step { DRAINED(self) -> mem[w] = 0 }
#else
#define FAILED_CAS(w, was) (LOAD(w) != (was))
#define astore_sc(w, v) put_in_buffer(w, v, SEQCST)
#define aload_sc(x, w) d_step { !SC_PENDING -> x = LOAD(w) }
#define lock(w) d_step { mem[w] == 0 -> mem[w] = 1 }
#define unlock(w) put_in_buffer(w, 0, RELEASE)
#endif

/* Sequentially consistent read-modify-writes. */
#define axchg(x, w, v) d_step { DRAINED(self) -> x = mem[w]; mem[w] = v }
#define aadd(w, d) d_step { DRAINED(self) -> mem[w] = mem[w] + (d) }
/* One that fails is a load. */
#define acas(ok, w, was, new)                                                                                \
    d_step {                                                                                                 \
        if                                                                                                   \
        :: DRAINED(self) && mem[w] == (was) -> mem[w] = new; ok = true                                       \
        :: FAILED_CAS(w, was) -> ok = false                                                                  \
        fi                                                                                                   \
    }

/* The store-load barrier. */
#define afence() DRAINED(self)

/* ---- the memory, which takes a store out of a buffer whenever it likes ---- */

#define OVERTAKES(t, i) (sb[t].n > i && sb[t].order[i] == RELAXED)
#define OTHER(t, i, j) (sb[t].word[i] != sb[t].word[j])

#define leave(t, i)                                                                                          \
    mem[sb[t].word[i]] = sb[t].value[i];                                                                     \
    j = i;                                                                                                   \
    do                                                                                                       \
    :: j + 1 < sb[t].n ->                                                                                    \
        sb[t].word[j] = sb[t].word[j + 1];                                                                   \
        sb[t].value[j] = sb[t].value[j + 1];                                                                 \
        sb[t].order[j] = sb[t].order[j + 1];                                                                 \
        j++                                                                                                  \
    :: else -> break                                                                                         \
    od;                                                                                                      \
    sb[t].word[j] = 0;                                                                                       \
    sb[t].value[j] = 0;                                                                                      \
    sb[t].order[j] = 0;                                                                                      \
    sb[t].n--;                                                                                               \
    j = 0

#define OLDEST_LEAVES(t) :: d_step { sb[t].n > 0 -> leave(t, 0) }
#ifdef TSO
#define LEAVES(t) OLDEST_LEAVES(t)
#elif DEPTH == 2
#define LEAVES(t)                                                                                            \
    OLDEST_LEAVES(t)                                                                                         \
    :: d_step { OVERTAKES(t, 1) && OTHER(t, 1, 0) -> leave(t, 1) }
#else
#define LEAVES(t)                                                                                            \
    OLDEST_LEAVES(t)                                                                                         \
    :: d_step { OVERTAKES(t, 1) && OTHER(t, 1, 0) -> leave(t, 1) }                                           \
    :: d_step { OVERTAKES(t, 2) && OTHER(t, 2, 0) && OTHER(t, 2, 1) -> leave(t, 2) }                         \
    :: d_step { OVERTAKES(t, 3) && OTHER(t, 3, 0) && OTHER(t, 3, 1) && OTHER(t, 3, 2) -> leave(t, 3) }
#endif

active proctype memory()
{
    byte j;
end:
    do
    LEAVES(0)
    LEAVES(1)
#if THREADS > 2
    LEAVES(2)
#endif
#if THREADS > 3
    LEAVES(3)
#endif
    od
}
