/* select.h: select, as in Go's runtime/select.go: begin, gowait, finish, as for the operations of chan.h. */
#ifndef GOPY_SELECT_H
#define GOPY_SELECT_H

#include "runtime/chan.h"

struct scase {
    struct hchan *c; /* NULL: the nil channel, never ready */
    void *elem;      /* to send; or what was received */
    bool send;
};

/* The working memory of one select; it must outlive the wait, so it is not on a C stack. */
struct selectstate {
    uint32_t n;
    uint16_t *pollorder, *lockorder; /* n each */
    struct scase *cases;
    struct sudog *sudogs; /* needed only to wait; begin() with gp NULL does without */
};

/* *casei: the case that ran, with CHAN_OK or CHAN_CLOSED (a receive got no value, a send must raise), or the one that is
 * wrong, with CHAN_BUBBLE. */
enum chan_result select_begin(struct selectstate *s, struct g *gp, uint32_t rand, uint32_t *casei);
enum chan_result select_finish(struct selectstate *s, struct g *gp, enum wake w, uint32_t *casei);

#endif
