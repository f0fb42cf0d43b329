/* sample.cu - drawing a token for each row of logits, a block a row.
 *
 * Candidates are wanted best first, but few of them, so the block takes them a page at a time.
 * Logit and column make one 64-bit number that orders candidates; no two are equal. A page is all
 * that lie between the last page's end and a bound found by bisection: halve, count, until no more
 * than PAGE are in it; it is then sorted in shared memory. With top-k 50 the first page is the only
 * one; without it, it mostly is. The arithmetic on candidates is the definition's, in double and in
 * its order, by one thread.
 *
 * Bytes: the row once from memory (33 KB for 8,193 columns), then some ten times from L1. Planned:
 * 512 threads, 72 registers, 9 KB shared: latency, some 10 microseconds for any number of rows up
 * to one a processor. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/ptx.h"

#include "runtime/base/philox.h"

#include <math.h>

enum { SAMPLE_THREADS = 512, PAGE = 512 };

/* Rises with the logit and falls with the column; above 0 for every number. */
static __device__ __forceinline__ uint64_t order_of(float logit, int32_t column) {
    uint32_t bits = __float_as_uint(logit + 0.0f); /* -0 and 0 are equal */
    bits = bits & 0x80000000 ? ~bits : bits | 0x80000000;
    return (uint64_t)bits << 32 | (uint32_t)~column;
}

static __device__ __forceinline__ int32_t column_of(uint64_t order) {
    return (int32_t) ~(uint32_t)order;
}

static __device__ __forceinline__ float logit_of(uint64_t order) {
    uint32_t bits = (uint32_t)(order >> 32);
    return __uint_as_float(bits & 0x80000000 ? bits & 0x7fffffff : ~bits);
}

/* A row, and the page of its candidates that the block has in hand. */
struct draw {
    const float *logits;
    int32_t n;
    double temperature;
    uint64_t *page;   /* shared, [PAGE]: best first */
    double *weights;  /* shared, [PAGE]: e^(logit / temperature), the best candidate's being 1 */
    int32_t *counter; /* shared */
    int32_t first, count; /* the page's place among the candidates */
    uint64_t best;
};

static __device__ double weight_of(const struct draw *d, float logit) {
    return exp((double)logit / d->temperature - (double)logit_of(d->best) / d->temperature);
}

/* ------------------------------------------------------------------ pages; all threads call */

/* Candidates from `low` up to, not with, `high`. */
static __device__ int32_t count_between(const struct draw *d, uint64_t low, uint64_t high) {
    int32_t n = 0;
    for (int32_t i = (int32_t)threadIdx.x; i < d->n; i += SAMPLE_THREADS) {
        uint64_t order = order_of(d->logits[i], i);
        n += order >= low && order < high;
    }
    return (int32_t)block_sum((float)n); /* exact: a row is below 2^24 */
}

/* A bound with `least` to PAGE candidates between it and `high`, of `left` below `high`. */
static __device__ uint64_t find_bound(const struct draw *d, uint64_t high, int32_t left,
                                      int32_t least) {
    uint64_t too_many = 0, too_few = high;
    while (left > PAGE) {
        uint64_t bound = too_many + (too_few - too_many) / 2;
        int32_t n = count_between(d, bound, high);
        if (n > PAGE)
            too_many = bound;
        else if (n < least)
            too_few = bound;
        else
            return bound;
    }
    return 0;
}

/* Sorts the first n numbers of the page, falling; n a power of two. */
static __device__ void sort_page(uint64_t *page, int32_t n) {
    for (int32_t run = 2; run <= n; run *= 2)
        for (int32_t distance = run / 2; distance > 0; distance /= 2) {
            for (int32_t i = (int32_t)threadIdx.x; i < n / 2; i += SAMPLE_THREADS) {
                int32_t a = i / distance * 2 * distance + i % distance, b = a + distance;
                bool falling = (a & run) == 0;
                uint64_t x = page[a], y = page[b];
                if ((x < y) == falling) {
                    page[a] = y;
                    page[b] = x;
                }
            }
            __syncthreads();
        }
}

/* Takes the page that begins with candidate `first`: the one behind the page in hand, or the first
 * of all. At least `least` candidates, if there are as many. */
static __device__ void take_page(struct draw *d, int32_t first, int32_t least) {
    uint64_t high = first ? d->page[d->count - 1] : ~(uint64_t)0;
    uint64_t bound = find_bound(d, high, d->n - first, least);
    __syncthreads();
    if (threadIdx.x == 0)
        *d->counter = 0;
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < d->n; i += SAMPLE_THREADS) {
        uint64_t order = order_of(d->logits[i], i);
        if (order >= bound && order < high)
            d->page[atomicAdd(d->counter, 1)] = order;
    }
    __syncthreads();
    d->first = first;
    d->count = *d->counter;
    int32_t n = 1;
    while (n < d->count)
        n *= 2;
    for (int32_t i = d->count + (int32_t)threadIdx.x; i < n; i += SAMPLE_THREADS)
        d->page[i] = 0;
    __syncthreads();
    sort_page(d->page, n);
    if (first == 0)
        d->best = d->page[0];
    for (int32_t i = (int32_t)threadIdx.x; i < d->count; i += SAMPLE_THREADS)
        d->weights[i] = weight_of(d, logit_of(d->page[i]));
    __syncthreads();
}

/* Shows thread 0 the first n candidates in order, until it has seen enough: visit(order, weight)
 * returns whether it wants the next one. */
template <class Visit>
static __device__ void each_candidate(struct draw *d, int32_t n, Visit visit) {
    bool more = true;
    for (int32_t first = 0; first < n && more; first += d->count) {
        if (first != d->first || d->count == 0)
            take_page(d, first, min(n - first, PAGE / 4));
        if (threadIdx.x == 0)
            for (int32_t i = 0; i < min(d->count, n - first) && more; i++)
                more = visit(d->page[i], d->weights[i]);
        more = !__syncthreads_or(!more);
    }
}

/* ------------------------------------------------------------------ the draw */

static __device__ double warp_sum_double(double value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

/* Sum of all columns' weights, in an order of its own. Uses the weights' memory. */
static __device__ double total_of_all(struct draw *d) {
    double sum = 0;
    for (int32_t i = (int32_t)threadIdx.x; i < d->n; i += SAMPLE_THREADS)
        sum += weight_of(d, d->logits[i]);
    sum = warp_sum_double(sum);
    CU_SHARED(double, of_warp, [SAMPLE_THREADS / 32]);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int32_t warp = 0; warp < SAMPLE_THREADS / 32; warp++)
        sum += of_warp[warp];
    __syncthreads();
    return sum;
}

/* What the first n candidates weigh; thread 0 gets it. */
static __device__ double total_of(struct draw *d, int32_t n) {
    if (n == d->n && n > PAGE)
        return total_of_all(d);
    double total = 0;
    each_candidate(d, n, [&](uint64_t, double weight) {
        total += weight;
        return true;
    });
    return total;
}

/* How many of n candidates have less than top_p before them, and what these weigh; thread 0 gets
 * it. */
static __device__ int32_t keep_top_p(struct draw *d, int32_t n, double top_p, double *total) {
    double before = 0, kept = 0;
    int32_t n_kept = 0;
    each_candidate(d, n, [&](uint64_t, double weight) {
        if (n_kept > 0 && before >= top_p)
            return false;
        before += weight / *total;
        kept += weight;
        n_kept++;
        return true;
    });
    *total = kept;
    return n_kept;
}

/* The column for the uniform number u; thread 0 gets it. */
static __device__ int32_t draw_column(struct draw *d, int32_t top_k, double top_p, double u) {
    CU_SHARED(int32_t, n_kept);
    int32_t n = top_k > 0 && top_k < d->n ? top_k : d->n, column = 0;
    take_page(d, 0, min(n, PAGE / 4));
    double total = total_of(d, n), edge = 0;
    if (top_p < 1) {
        n = keep_top_p(d, n, top_p, &total);
        if (threadIdx.x == 0)
            n_kept = n;
        __syncthreads();
        n = n_kept;
    }
    each_candidate(d, n, [&](uint64_t order, double weight) {
        column = column_of(order); /* rounding may leave the last edge below u */
        edge += weight / total;
        return edge <= u;
    });
    return column;
}

/* Block x: row. */
__global__ void __launch_bounds__(SAMPLE_THREADS, 1) sample_rows(const struct mill_sample_args a) {
    CU_SHARED(uint64_t, page, [PAGE]);
    CU_SHARED(double, weights, [PAGE]);
    CU_SHARED(int32_t, counter);
    int32_t r = (int32_t)blockIdx.x;
    const float *logits = static_cast<const float *>(a.logits.data) + r * a.logits.stride;
    struct draw d = {logits, a.logits.columns, a.temperature[r], page, weights, &counter, 0, 0, 0};
    bool finite = true;
    for (int32_t i = (int32_t)threadIdx.x; i < d.n; i += SAMPLE_THREADS)
        finite &= isfinite(logits[i]) != 0;
    int32_t column = -1;
    if (!__syncthreads_or(!finite)) {
        if (d.temperature > 0) {
            double u = a.u ? a.u[r] : mill_philox_uniform(a.seed[r], a.position[r]);
            column = draw_column(&d, a.top_k[r], a.top_p[r], u);
        } else {
            d.temperature = 1;
            take_page(&d, 0, 1);
            column = column_of(d.best);
        }
    }
    if (threadIdx.x == 0)
        a.tokens[r] = column >= 0 && a.ids ? a.ids[column] : column;
}

/* ------------------------------------------------------------------ launch */

mill_status mill_cuda_sample(struct mill_backend *backend, const struct mill_sample_args *args) {
    if (args->logits.columns >= 1 << 24)
        return MILL_E_UNSUPPORTED;
    if (args->logits.rows == 0)
        return MILL_OK;
    CU_LAUNCH(sample_rows, dim3((uint32_t)args->logits.rows), dim3(SAMPLE_THREADS), 0,
              backend->stream, *args);
    return mill_cuda_launched(backend, "sample");
}
