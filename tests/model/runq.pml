/* runq.pml: the ring of one P, its slots and their orders. After runq.c.
 *
 * The owner puts PUTS goroutines into a ring of two slots and takes some himself; two thieves take one each. Checked: each
 * goroutine is taken once, none is lost, and a slot is read with what was put there.
 *
 * What must fail:
 *   -DPOKE_TAIL   the tail is stored relaxed (WEAK): a thief sees it before the slot
 *   -DPLAIN_HEAD  the owner stores the head instead of exchanging it for what it saw */
#define THREADS 3
#define DEPTH 4
#define HEAD 0
#define TAIL 1
#define SLOT(i) (2 + (i) % 2)
#define WORDS 4
#include "memory.pml"

#define PUTS 4

byte taken[PUTS + 1];

inline took(g)
{
    d_step { assert(g != 0 && taken[g] == 0); taken[g]++; g = 0 }
}

/* runqget, and with one goroutine to be had runqgrab. -> ok */
inline take()
{
    do
    :: h = LOAD(HEAD);
        if
        :: LOAD(TAIL) == h -> ok = false; break
        :: else ->
            g = LOAD(SLOT(h));
#ifdef PLAIN_HEAD
            if
            :: self == 0 -> astore_sc(HEAD, h + 1); ok = true
            :: else -> acas(ok, HEAD, h, h + 1)
            fi;
#else
            acas(ok, HEAD, h, h + 1);
#endif
            if
            :: ok -> took(g); break
            :: else -> g = 0
            fi
        fi
    od;
    h = 0
}

active proctype owner()
{
    byte self = 0, h, g, n;
    bool ok;
    do
    :: n < PUTS && LOAD(TAIL) - LOAD(HEAD) < 2 -> /* runqput */
        n++;
        apoke(SLOT(LOAD(TAIL)), n);
#ifdef POKE_TAIL
        apoke(TAIL, LOAD(TAIL) + 1)
#else
        astore(TAIL, LOAD(TAIL) + 1)
#endif
    :: take()
    :: n == PUTS -> break
    od;
    do
    :: take();
        if
        :: !ok -> break
        :: else
        fi
    od;
    n = 0
}

proctype thief(byte self)
{
    byte h, g;
    bool ok;
    take();
    ok = false
}

init
{
    atomic {
        run thief(1);
        run thief(2)
    }
    timeout -> assert(mem[HEAD] == PUTS && taken[1] && taken[2] && taken[3] && taken[4])
}
