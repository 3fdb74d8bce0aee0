/* pystackful.h: stackful goroutines, run by worker greenlets. */
#ifndef GOPY_PYSTACKFUL_H
#define GOPY_PYSTACKFUL_H

#include "pyswitch.h"

int stackful_init(void);
bool stackful_adopt_main(struct m *mp);
void stackful_m_main(struct m *mp);
void stackful_fork_child(void);

#endif
