/* faulty_backend.c - see faulty_backend.h. */
#include "tests/support/faulty_backend.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disarmed = PTHREAD_COND_INITIALIZER;
static bool armed;
static enum faulty_kind fault;
static long n_calls, fault_at;
static int n_hanging;

void faulty_backend_arm(enum faulty_kind kind, long n) {
    pthread_mutex_lock(&lock);
    armed = true;
    fault = kind;
    fault_at = n;
    n_calls = 0;
    pthread_mutex_unlock(&lock);
}

void faulty_backend_disarm(void) {
    pthread_mutex_lock(&lock);
    armed = false;
    n_calls = 0;
    pthread_cond_broadcast(&disarmed);
    pthread_mutex_unlock(&lock);
}

bool faulty_backend_hangs(void) {
    pthread_mutex_lock(&lock);
    bool hangs = n_hanging > 0;
    pthread_mutex_unlock(&lock);
    return hangs;
}

long faulty_backend_calls(void) {
    pthread_mutex_lock(&lock);
    long n = n_calls;
    pthread_mutex_unlock(&lock);
    return n;
}

static bool is_good(void) {
    pthread_mutex_lock(&lock);
    bool hit = ++n_calls >= fault_at && armed;
    n_hanging++;
    while (hit && armed && fault != FAULTY_FAILS)
        pthread_cond_wait(&disarmed, &lock);
    n_hanging--;
    bool good = !hit || fault == FAULTY_PAUSES;
    pthread_mutex_unlock(&lock);
    return good;
}

static const struct mill_backend_ops *cpu(void) {
    return mill_backend_find("cpu", NULL);
}

#define OPERATORS(X)                                                                               \
    X(embed)                                                                                       \
    X(copy_rows)                                                                                   \
    X(norm)                                                                                        \
    X(linear)                                                                                      \
    X(rope_append)                                                                                 \
    X(attn_paged)                                                                                  \
    X(sample)                                                                                      \
    X(conv1d)                                                                                      \
    X(conv_transpose1d)

#define X(name)                                                                                    \
    static mill_status run_##name(struct mill_backend *backend,                                    \
                                  const struct mill_##name##_args *args) {                         \
        return is_good() ? cpu()->name(backend, args) : MILL_E_DEVICE;                             \
    }
OPERATORS(X)
#undef X

static struct mill_backend_ops table;

/* Once: backends that are open read it. */
static void make_table(void) {
    table = *cpu();
#define X(name) table.name = run_##name;
    OPERATORS(X)
#undef X
}

const struct mill_backend_ops *faulty_backend_ops(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
    return &table;
}
