/* timer.c: see timer.h for what must hold. */
#include "runtime/timer.h"

#include <stdlib.h>

static uint32_t generation;

void timers_forget(void) { generation++; }

void timers_init(struct timers *ts)
{
    ts->generation = generation;
    lock_init(&ts->lock, RANK_TIMERS);
    ts->len = ts->cap = 0;
    ts->slots = NULL;
    real_poke(&ts->first, NEVER);
}

static inline void place(struct timers *ts, uint32_t i, struct timer_slot s)
{
    ts->slots[i] = s;
    s.t->index = i;
}

static void siftup(struct timers *ts, uint32_t i)
{
    struct timer_slot s = ts->slots[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (ts->slots[parent].when <= s.when)
            break;
        place(ts, i, ts->slots[parent]);
        i = parent;
    }
    place(ts, i, s);
}

static void siftdown(struct timers *ts, uint32_t i)
{
    struct timer_slot s = ts->slots[i];
    for (;;) {
        uint32_t child = i * 4 + 1, least = child;
        if (child >= ts->len)
            break;
        for (uint32_t c = child + 1; c < child + 4 && c < ts->len; c++)
            if (ts->slots[c].when < ts->slots[least].when)
                least = c;
        if (ts->slots[least].when >= s.when)
            break;
        place(ts, i, ts->slots[least]);
        i = least;
    }
    place(ts, i, s);
}

static void publish_first(struct timers *ts) { real_store(&ts->first, ts->len ? ts->slots[0].when : NEVER); }

static bool reserve(struct timers *ts, uint32_t want)
{
    if (want <= ts->cap)
        return true;
    uint32_t cap = ts->cap ? ts->cap : 16;
    while (cap < want)
        cap *= 2;
    struct timer_slot *slots = realloc(ts->slots, cap * sizeof(*slots));
    if (slots == NULL)
        return false;
    ts->slots = slots;
    ts->cap = cap;
    return true;
}

static void insert_locked(struct timers *ts, struct timer *t)
{
    assert_held(&ts->lock);
    ts->slots[ts->len] = (struct timer_slot){t->when, t};
    astore(&t->heap, ts);
    siftup(ts, ts->len++);
}

static void remove_locked(struct timers *ts, uint32_t i)
{
    assert_held(&ts->lock);
    rt_assert(i < ts->len && ts->slots[i].t->index == i && aload(&ts->slots[i].t->heap) == ts);
    astore(&ts->slots[i].t->heap, (struct timers *)NULL);
    struct timer_slot last = ts->slots[--ts->len];
    if (i < ts->len) {
        place(ts, i, last);
        siftdown(ts, i);
        siftup(ts, last.t->index);
    }
    /* A million timers that are gone must not keep their slots. */
    if (ts->cap > 1024 && ts->len < ts->cap / 8) {
        struct timer_slot *slots = realloc(ts->slots, ts->cap / 4 * sizeof(*slots));
        if (slots != NULL) {
            ts->slots = slots;
            ts->cap /= 4;
        }
    }
}

bool timer_add(struct timers *ts, struct timer *t, int64_t when)
{
    rt_assert(aload(&t->heap) == NULL || t->heap->generation != generation);
    lock(&ts->lock);
    bool ok = reserve(ts, ts->len + 1);
    if (ok) {
        t->when = when;
        insert_locked(ts, t);
        publish_first(ts);
    }
    unlock(&ts->lock);
    return ok;
}

bool timer_del(struct timer *t)
{
    for (;;) {
        struct timers *ts = aload(&t->heap);
        if (ts == NULL)
            return false;
        if (unlikely(ts->generation != generation)) {
            astore(&t->heap, (struct timers *)NULL);
            return false;
        }
        lock(&ts->lock);
        bool here = aload(&t->heap) == ts;
        if (here) {
            remove_locked(ts, t->index);
            publish_first(ts);
        }
        unlock(&ts->lock);
        if (here)
            return true;
    }
}

int timers_run(struct timers *ts, int64_t now, struct gqueue *ready)
{
    int n = 0;
    lock(&ts->lock);
    while (ts->len > 0 && ts->slots[0].when <= now) {
        struct timer *t = ts->slots[0].t;
        /* `heap` is cleared only after the function has run. Whoever calls timer_del() meanwhile sees `heap` set, takes the
         * lock, and so returns after the function has. */
        t->fn(t, now, ready);
        if (t->when > now) {
            ts->slots[0].when = t->when;
            siftdown(ts, 0);
        } else {
            remove_locked(ts, 0);
        }
        n++;
    }
    publish_first(ts);
    unlock(&ts->lock);
    return n;
}

void timers_shuffle(struct timers *ts, uint32_t rand)
{
    lock(&ts->lock);
    for (uint32_t i = 1; i < ts->len && i <= 4; i++, rand >>= 1)
        if ((rand & 1) && ts->slots[i].when == ts->slots[0].when) {
            struct timer_slot s = ts->slots[0];
            place(ts, 0, ts->slots[i]);
            place(ts, i, s);
        }
    unlock(&ts->lock);
}

void timers_free(struct timers *ts)
{
    free(ts->slots);
    ts->slots = NULL;
    ts->cap = 0;
}

void timers_drop_periodic(struct timers *ts)
{
    lock(&ts->lock);
    for (uint32_t i = 0; i < ts->len;)
        if (ts->slots[i].t->periodic) {
            remove_locked(ts, i);
            i = 0; /* the others have moved */
        } else {
            i++;
        }
    publish_first(ts);
    unlock(&ts->lock);
}

bool timers_move(struct timers *to, struct timers *from)
{
    /* Only a retired P's heap is ever `from`, so there is no cycle. */
    lock(&to->lock);
    lock_with_rank(&from->lock, RANK_TIMERS_RETIRED);
    bool ok = reserve(to, to->len + from->len);
    if (ok) {
        for (uint32_t i = 0; i < from->len; i++)
            insert_locked(to, from->slots[i].t);
        free(from->slots);
        from->slots = NULL;
        from->len = from->cap = 0;
        publish_first(from);
        publish_first(to);
    }
    unlock(&from->lock);
    unlock(&to->lock);
    return ok;
}
