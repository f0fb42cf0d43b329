/* sample.cu - drawing a token for each row of logits, a block a row.
 *
 * Candidates are wanted best first, but few of them, so the block takes them a page at a time.
 * Logit and column make one 64-bit number that orders candidates; no two are equal. A page is all
 * that lie between the last page's end and a bound: each thread finds the best of its columns, and
 * a bound with 50 threads' best above it has at least 50 candidates above it and, columns being
 * dealt to threads in turn, hardly more. It is found by halving, a step being one comparison and
 * one barrier. Only where few threads have most of the large logits are all candidates counted. The
 * page is sorted at once, by counting for each candidate those above it.
 *
 * The arithmetic on candidates is the definition's, in double: a lane each for exponentials and
 * divisions, and sums in order by one thread a sum.
 *
 * Bytes: the row once from memory (33 KB for 8,193 columns), all of a thread's loads under way
 * together, and once more from L1. Planned: 512 threads, 64 registers, 13 KB shared, 2 blocks a
 * multiprocessor; latency, predicted: 5 microseconds, 8 where two blocks share a multiprocessor. */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/ptx.h"

#include "runtime/base/philox.h"

#include <math.h>

enum { SAMPLE_THREADS = 512, PAGE = 512 };

/* Keys rise with the logit. 0 is no logit's; all that are not finite count as infinity. */
static __device__ __forceinline__ uint32_t key_of(float logit) {
    uint32_t bits = __float_as_uint(logit + 0.0f); /* -0 and 0 are equal */
    bits = bits & 0x80000000 ? ~bits : bits | 0x80000000;
    return isfinite(logit) ? bits : 0xff800000;
}

/* Rises with the key and falls with the column. */
static __device__ __forceinline__ uint64_t order_of(uint32_t key, int32_t column) {
    return (uint64_t)key << 32 | (uint32_t)~column;
}
static constexpr uint64_t LOWEST = (uint64_t)1 << 32, HIGHEST = ~(uint64_t)0; /* all are between */

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
    float temperature;
    uint64_t *found;  /* shared, [PAGE]: a page as it is found */
    uint64_t *page;   /* shared, [PAGE]: best first */
    double *weights;  /* shared, [PAGE]: e^(logit / temperature), the best candidate's being 1 */
    int32_t *counter; /* shared */
    int32_t first, count; /* the page's place among the candidates */
    float best;           /* the largest logit */
};

static __device__ double weight_of(const struct draw *d, float logit) {
    double temperature = d->temperature;
    return exp((double)logit / temperature - (double)d->best / temperature);
}

/* visit(order) of the thread's candidates from `low` up to, not with, `high`. Columns are dealt to
 * threads in turn; AT_ONCE loads are under way. Most columns take but a look at their logit. */
template <int AT_ONCE, class Visit>
static __device__ __forceinline__ void each_of_thread(const struct draw *d, uint64_t low,
                                                      uint64_t high, Visit visit) {
    const float least = logit_of(low); /* of LOWEST a NaN, below which is nothing */
#pragma unroll 1
    for (int32_t first = (int32_t)threadIdx.x; first < d->n; first += AT_ONCE * SAMPLE_THREADS) {
        float logits[AT_ONCE];
#pragma unroll
        for (int32_t i = 0; i < AT_ONCE; i++)
            logits[i] =
                first + i * SAMPLE_THREADS < d->n ? d->logits[first + i * SAMPLE_THREADS] : 0;
#pragma unroll
        for (int32_t i = 0; i < AT_ONCE; i++) {
            int32_t column = first + i * SAMPLE_THREADS;
            if (logits[i] < least && isfinite(logits[i]))
                continue;
            uint64_t order = order_of(key_of(logits[i]), column);
            if (column < d->n && order >= low && order < high)
                visit(order);
        }
    }
}

/* ------------------------------------------------------------------ pages; all threads call */

/* A bound for which count(bound) is `least` to `most`, between one with too many and one with too
 * few. The count falls as the bound rises; if it jumps over the two, the last bound with more. */
template <class Count>
static __device__ uint64_t find_bound(uint64_t too_many, uint64_t too_few, int32_t least,
                                      int32_t most, Count count) {
    while (too_few - too_many > 1) {
        uint64_t bound = too_many + (too_few - too_many) / 2;
        int32_t n = count(bound);
        if (n > most)
            too_many = bound;
        else if (n < least)
            too_few = bound;
        else
            return bound;
    }
    return too_many;
}

/* Puts the candidates from `low` up to, not with, `high` into `found`, as far as they fit; how many
 * there are. */
static __device__ int32_t gather(const struct draw *d, uint64_t low, uint64_t high) {
    if (threadIdx.x == 0)
        *d->counter = 0;
    __syncthreads();
    each_of_thread<4>(d, low, high, [&](uint64_t order) {
        int32_t at = atomicAdd(d->counter, 1);
        if (at < PAGE)
            d->found[at] = order;
    });
    __syncthreads();
    return *d->counter;
}

/* The page, best first, of the d->count candidates found. Four lanes a candidate count those above
 * it. */
static __device__ void sort_page(const struct draw *d) {
    int32_t lane = (int32_t)threadIdx.x % 32, warp = (int32_t)threadIdx.x / 32;
    for (int32_t first = 8 * warp; first < d->count; first += SAMPLE_THREADS / 4) {
        int32_t candidate = first + lane / 4, rank = 0;
        uint64_t order = candidate < d->count ? d->found[candidate] : 0;
        for (int32_t i = lane % 4; i < d->count; i += 4)
            rank += d->found[i] > order;
        rank += __shfl_xor_sync(0xffffffff, rank, 1);
        rank += __shfl_xor_sync(0xffffffff, rank, 2);
        if (lane % 4 == 0 && candidate < d->count)
            d->page[rank] = order;
    }
    __syncthreads();
}

/* Takes the page that begins with candidate `first`: the one behind the page in hand, or the first
 * of all. At least `least` candidates, of which there are as many. */
static __device__ void take_page(struct draw *d, int32_t first, int32_t least) {
    uint64_t high = first ? d->page[d->count - 1] : HIGHEST, bound = LOWEST, best = 0;
    int32_t most = least + least / 2;
    if (d->n - first > most) { /* else the page is all that is left */
        each_of_thread<17>(d, LOWEST, high,
                           [&](uint64_t order) { best = order > best ? order : best; });
        bound = find_bound(bound, high, least, most,
                           [&](uint64_t at) { return __syncthreads_count(best >= at); });
    }
    while ((d->count = gather(d, bound, high)) > PAGE)
        bound = find_bound(bound, high, least, PAGE, [&](uint64_t at) {
            int32_t n = 0;
            each_of_thread<4>(d, at, high, [&](uint64_t) { n++; });
            return (int32_t)block_sum((float)n); /* exact: a row is below 2^24 */
        });
    d->first = first;
    sort_page(d);
    if (first == 0)
        d->best = logit_of(d->page[0]);
#pragma unroll 1
    for (int32_t i = (int32_t)threadIdx.x; i < d->count; i += SAMPLE_THREADS)
        d->weights[i] = weight_of(d, logit_of(d->page[i]));
    __syncthreads();
}

/* ------------------------------------------------------------------ sums over candidates */

static __device__ double warp_sum_double(double value) {
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

/* Sum of all columns' weights, in an order of its own. */
static __device__ double total_of_all(const struct draw *d) {
    double sum = 0;
#pragma unroll 1
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
    return sum;
}

/* A walk over the candidates from the best on, until their shares of a total add up to a limit. */
struct walk {
    double sums[2]; /* of weights, and of weights over the total */
    int32_t n;      /* candidates up to the limit */
};

/* Goes on with the first n candidates of the page; whether the limit is reached. For the first
 * warp: 32 candidates at a time are divided by all lanes, added in order by one lane a sum. */
static __device__ bool walk_page(const struct draw *d, int32_t n, double total, double limit,
                                 struct walk *walk) {
    CU_SHARED(double, sums, [2][32]); /* up to and with each candidate */
    int32_t lane = (int32_t)threadIdx.x, end = 0;
    double before = lane < 2 && d->first > 0 ? walk->sums[lane] : 0;
    uint32_t reached = 0;
#pragma unroll 1
    for (int32_t first = 0; first < n && !reached; first += 32) {
        double weight = first + lane < n ? d->weights[first + lane] : 0;
        sums[0][lane] = weight;
        sums[1][lane] = total == 1 ? weight : weight / total; /* takes as long as 20 sums */
        __syncwarp();
        if (lane < 2)
#pragma unroll 8
            for (int32_t i = 0; i < 32; i++)
                before = sums[lane][i] += before;
        __syncwarp();
        reached = __ballot_sync(0xffffffff, sums[1][lane] >= limit);
        int32_t last = reached ? __ffs((int32_t)reached) - 1 : 31;
        before = lane < 2 ? sums[lane][last] : 0;
        end = d->first + min(first + last + 1, n);
        __syncwarp();
    }
    if (lane < 2)
        walk->sums[lane] = before;
    if (lane == 0)
        walk->n = end;
    return reached != 0;
}

/* ------------------------------------------------------------------ the draw */

/* The walks: what all candidates weigh; up to where they are kept, the shares before the last of
 * them being less than top_p; up to the one drawn, the first whose shares exceed u. */
enum pass { WEIGH, KEEP, DRAW, N_PASSES };

/* The column drawn from the first n candidates of row r; -1 if a logit is not finite. */
static __device__ int32_t draw_column(struct draw *d, const struct mill_sample_args &a, int32_t r,
                                      int32_t n, float top_p) {
    CU_SHARED(struct walk, walks, [N_PASSES]);
    CU_SHARED(double, u);
#pragma unroll 1
    for (int pass = WEIGH; pass < N_PASSES; pass++) {
        if (pass == KEEP && top_p >= 1)
            continue;
        bool reached = false;
        for (int32_t first = 0; first < n && !reached; first += d->count) {
            if (first != d->first)
                take_page(d, first, min(n - first, PAGE / 4));
            if (!isfinite(d->best))
                return -1;
            if (pass == WEIGH && threadIdx.x == SAMPLE_THREADS - 1) /* while the first warp adds */
                u = a.u ? a.u[r] : mill_philox_uniform(a.seed[r], a.position[r]);
            if (pass == WEIGH && n == d->n && n > PAGE) {
                double total = total_of_all(d);
                if (threadIdx.x == 0)
                    walks[WEIGH].sums[0] = total;
                __syncthreads();
                break;
            }
            if (threadIdx.x < 32) {
                double total = 1, limit = INFINITY;
                if (pass != WEIGH) { /* above u is from the next number on */
                    total = walks[top_p < 1 ? pass - 1 : WEIGH].sums[0];
                    limit =
                        pass == KEEP ? top_p : __longlong_as_double(__double_as_longlong(u) + 1);
                }
                reached = walk_page(d, min(d->count, n - first), total, limit, &walks[pass]);
            }
            reached = __syncthreads_or(reached) != 0;
        }
        if (pass != WEIGH)
            n = walks[pass].n;
    }
    return column_of(d->page[n - 1 - d->first]); /* rounding may leave the last edge below u */
}

/* Block x: row. */
__global__ void __launch_bounds__(SAMPLE_THREADS, 2) sample_rows(const struct mill_sample_args a) {
    CU_SHARED(uint64_t, found, [PAGE]);
    CU_SHARED(uint64_t, page, [PAGE]);
    CU_SHARED(double, weights, [PAGE]);
    CU_SHARED(int32_t, counter);
    grid_start_next();
    int32_t r = (int32_t)blockIdx.x, n = a.logits.columns, top_k = a.top_k[r];
    const float *logits = static_cast<const float *>(a.logits.data) + r * a.logits.stride;
    float temperature = a.temperature[r], top_p = a.top_p[r];
    grid_wait();
    struct draw d = {logits, n, temperature, found, page, weights, &counter, -1, 0, 0};
    if (top_k > 0 && top_k < n)
        n = top_k;
    if (!(temperature > 0)) { /* the largest logit */
        d.temperature = 1;
        n = 1;
    }
    int32_t column = draw_column(&d, a, r, n, top_p);
    if (threadIdx.x == 0)
        a.tokens[r] = column >= 0 && a.ids ? a.ids[column] : column;
}

/* ------------------------------------------------------------------ launch */

mill_status mill_cuda_sample(struct mill_backend *backend, const struct mill_sample_args *args) {
    if (args->logits.columns >= 1 << 24)
        return MILL_E_UNSUPPORTED;
    if (args->logits.rows == 0)
        return MILL_OK;
    CU_LAUNCH_EARLY(sample_rows, dim3((uint32_t)args->logits.rows), dim3(SAMPLE_THREADS), 0,
                    backend, *args);
    return mill_cuda_launched(backend, "sample");
}
