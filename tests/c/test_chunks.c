/* test_chunks.c: chunks of one size: nobody gets another's, the source gets all of its memory back, and none is lost when
 * threads, forks and a source that has nothing left come in between. */
#include "check.h"
#include "runtime/chunks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the source ---- */

static uint32_t nmapped, nsingle; /* how much of its memory is out: pieces, and those of them of one chunk */
static size_t most_bytes = (size_t)1 << 40; /* it has no larger piece */

static void *source_alloc(void *ctx, size_t size)
{
    CHECK(ctx == &nmapped);
    if (size > most_bytes)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    real_add(&nmapped, 1);
    if (size == CHUNK_SIZE)
        real_add(&nsingle, 1);
    return p;
}

static void source_free(void *ctx, void *memory, size_t size)
{
    CHECK(ctx == &nmapped);
    CHECK(munmap(memory, size) == 0);
    real_add(&nmapped, -1);
    if (size == CHUNK_SIZE)
        real_add(&nsingle, -1);
}

/* ---- one thread against a model ---- */

/* Whose a chunk is: written at both of its ends. */
static void sign(char *chunk, uint64_t who)
{
    memcpy(chunk, &who, sizeof(who));
    memcpy(chunk + CHUNK_SIZE - sizeof(who), &who, sizeof(who));
}

static bool is_signed(const char *chunk, uint64_t who)
{
    return memcmp(chunk, &who, sizeof(who)) == 0 &&
           memcmp(chunk + CHUNK_SIZE - sizeof(who), &who, sizeof(who)) == 0;
}

#define HELD 3000

static char *held[HELD];

static void step(uint32_t *seed, uint32_t among, uint64_t i)
{
    uint32_t at = rnd(seed) % among;
    if (held[at]) {
        CHECK(is_signed(held[at], at));
        chunk_free(held[at]);
        held[at] = NULL;
    } else if ((held[at] = chunk_alloc()) != NULL) {
        sign(held[at], at);
    } else {
        CHECK(most_bytes == 0);
    }
    if (i % 5000 == 0)
        chunks_trim();
}

static void drop_all(void)
{
    for (int i = 0; i < HELD; i++)
        if (held[i]) {
            CHECK(is_signed(held[i], (uint64_t)i));
            chunk_free(held[i]);
            held[i] = NULL;
        }
    chunks_trim();
    CHECK(nmapped == 0);
}

static void test_model(void)
{
    /* The source has single chunks, slabs, only small ones, nothing, slabs again. */
    const size_t most[] = {CHUNK_SIZE, most_bytes, 20 * CHUNK_SIZE, 0, most_bytes};
    uint32_t seed = 1;
    uint64_t i = 1;
    for (size_t m = 0; m < sizeof(most) / sizeof(*most); m++) {
        most_bytes = most[m];
        for (int n = 0; n < 20000; n++, i++)
            step(&seed, i % 8000 < 6000 ? HELD : 10, i);
        CHECK(m > 0 || (nsingle > 0 && nsingle == nmapped));
    }
    drop_all();
    puts("ok chunks against a model");
}

/* A freed chunk keeps no memory, and a piece of the source is not cut up for it. */
static size_t resident(char *chunk)
{
    static unsigned char pages[CHUNK_SIZE];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    CHECK(mincore(chunk, CHUNK_SIZE, pages) == 0);
    for (size_t i = 0; i < CHUNK_SIZE / page; i++)
        n += pages[i] & 1;
    return n;
}

static void test_memory(void)
{
    size_t n = 0;
    for (int i = 0; i < HELD; i++) {
        held[i] = chunk_alloc();
        sign(held[i], (uint64_t)i);
        n += resident(held[i]);
    }
    CHECK(n >= HELD);
    uint32_t pieces = nmapped;
    CHECK(pieces < 16);
    for (int i = 0; i < HELD; i += 2)
        chunk_free(held[i]);
    chunks_trim();
    CHECK(nmapped == pieces);
    for (int i = 0; i < HELD; i++) {
        CHECK(i % 2 ? is_signed(held[i], (uint64_t)i) : resident(held[i]) == 0);
        if (i % 2 == 0)
            held[i] = NULL;
    }
    drop_all();
    puts("ok the memory of free chunks goes");
}

static void test_million(void)
{
    enum { N = 1000000 };
    char **all = malloc(N * sizeof(*all));
    CHECK(all);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            CHECK((all[i] = chunk_alloc()) != NULL);
        CHECK(nmapped < 40 && nsingle == 0);
        for (int i = round; i < N; i += 2)
            chunk_free(all[i]);
        chunks_trim();
        for (int i = round; i < N; i += 2)
            CHECK((all[i] = chunk_alloc()) != NULL);
        CHECK(nmapped < 40 && nsingle == 0);
        for (int i = 0; i < N; i++)
            chunk_free(all[i]);
        chunks_trim();
        CHECK(nmapped == 0);
    }
    free(all);
    puts("ok a million chunks");
}

/* ---- threads, and forks among them ---- */

#define THREADS 4
#define EACH 200
#define FORKS 50

static uint32_t finished;

static void churn(uint32_t *seed, char **mine, uint64_t who)
{
    uint32_t at = rnd(seed) % EACH;
    if (mine[at]) {
        CHECK(is_signed(mine[at], who));
        chunk_free(mine[at]);
        mine[at] = NULL;
    } else {
        CHECK((mine[at] = chunk_alloc()) != NULL);
        sign(mine[at], who);
    }
    if (rnd(seed) % 1000 == 0)
        chunks_trim();
}

static void *churner(void *arg)
{
    uint64_t who = (uint64_t)(uintptr_t)arg;
    uint32_t seed = (uint32_t)who;
    char *mine[EACH] = {0};
    while (!real_load(&finished))
        churn(&seed, mine, who);
    for (int i = 0; i < EACH; i++)
        if (mine[i])
            chunk_free(mine[i]);
    return NULL;
}

static void child(void)
{
    uint32_t seed = 7;
    char *mine[EACH] = {0};
    alarm(60); /* should it hang */
    for (int i = 0; i < 1000; i++)
        churn(&seed, mine, 7);
    _exit(0);
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churner, (void *)(uintptr_t)(i + 1)) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child();
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    real_store(&finished, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    chunks_trim();
    CHECK(nmapped == 0);
    puts("ok threads and forks");
}

int main(void)
{
    chunks_init(&(struct chunk_source){.ctx = &nmapped, .alloc = source_alloc, .free = source_free});
    test_model();
    test_memory();
    test_million();
    test_threads();
    return 0;
}
