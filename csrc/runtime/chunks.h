/* chunks.h: blocks of memory of one size, of which there may be a million, most of them hardly used. */
#ifndef GOPY_CHUNKS_H
#define GOPY_CHUNKS_H

#include "runtime/sys.h"

#define CHUNK_SIZE (16 * 1024)

/* Where the memory comes from, as the embedding says. Called by any thread, with no lock held. */
struct chunk_source {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size); /* NULL: there is none */
    void (*free)(void *ctx, void *memory, size_t size);
};

void chunks_init(const struct chunk_source *from); /* once, before all else */
void *chunk_alloc(void);                           /* its content is undefined; NULL: there is no memory */
void chunk_free(void *chunk);                      /* also of one that the source itself has given */
void chunks_trim(void);                            /* return the memory of all that are free */

#endif
