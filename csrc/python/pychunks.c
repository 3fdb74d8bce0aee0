/* pychunks.c: the memory of Python's frames.
 *
 * A thread's frames, and so each greenlet's, are in chunks of CHUNK_SIZE bytes; a worker asks for one when its frames have
 * outgrown its root (pyworker.c). Python takes them from its arena allocator, which on Linux maps and unmaps each. From the
 * first start of an M on they come from chunks.c, for every thread of the process.
 *
 * What there was before is asked for all other sizes (to which belong chunks that 3.15 rounds up to huge pages, where
 * those are wanted), and for the memory of the slabs. It gets back, too, the chunks that it had given before. Our
 * functions are never taken out of Python again, as chunks of theirs are out until the process ends, and the extension
 * stays loaded until then. Should somebody else replace them, our chunks are freed by a stranger: chunks.c then never
 * sees them again, so it does not give their slabs back. */
#include "pychunks.h"

#include "pyswitch.h"
#include "runtime/chunks.h"

static PyObjectArenaAllocator before;
static uint32_t installed;

/* A loop whose calls begin where a chunk ends needs a chunk for each call: an M keeps one at hand. */
static void **spare_place(void)
{
    struct m *mp = getm();
    struct hostm *hm = mp ? mp->host : NULL;
    return hm ? &hm->spare : NULL;
}

static void *arena_alloc(void *ctx, size_t size)
{
    if (size != CHUNK_SIZE)
        return before.alloc(ctx, size);
    void **spare = spare_place();
    if (spare == NULL || *spare == NULL)
        return chunk_alloc();
    void *chunk = *spare;
    *spare = NULL;
    return chunk;
}

static void arena_free(void *ctx, void *memory, size_t size)
{
    void **spare = size == CHUNK_SIZE ? spare_place() : NULL;
    if (spare && *spare == NULL)
        *spare = memory;
    else if (size == CHUNK_SIZE)
        chunk_free(memory);
    else if (size != ROOT_SIZE) /* that is a part of its worker */
        before.free(ctx, memory, size);
}

void chunks_install(void)
{
    if (real_xchg(&installed, 1))
        return;
    PyObject_GetArenaAllocator(&before);
    chunks_init(&(struct chunk_source){.ctx = before.ctx, .alloc = before.alloc, .free = before.free});
    /* Another thread may read the three while they are set: with ctx as it was, all that it can find fits together. */
    PyObject_SetArenaAllocator(
        &(PyObjectArenaAllocator){.ctx = before.ctx, .alloc = arena_alloc, .free = arena_free});
}
