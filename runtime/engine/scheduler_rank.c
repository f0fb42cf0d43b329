/* scheduler_rank.c - the order of the jobs in a step or batch: the policy of scheduler.h as one
 * number a job, so that hundreds are put in order in a few microseconds. */
#include "runtime/engine/scheduler_state.h"

enum { VALUE_BITS = 24, MAX_VALUE = (1 << VALUE_BITS) - 1 };

static uint64_t cut(double value) {
    if (!(value > 0))
        return 0;
    return value < MAX_VALUE ? (uint64_t)value : MAX_VALUE;
}

static uint64_t pack(unsigned top, int32_t level, unsigned class, uint64_t value, int32_t slot) {
    return (((((uint64_t)top << 4 | (unsigned)level) << 2 | class) << VALUE_BITS | value) << 32) |
           (uint32_t)slot;
}

uint64_t mill_rank(const struct mill_scheduler *s, int32_t slot, int64_t n_idle, double now_s) {
    const struct mill_entry *entry = &s->entries[slot];
    uint64_t longest_idle_first = (uint64_t)MAX_VALUE - cut((double)n_idle);
    if (slot == s->elder)
        return pack(0, 0, 0, 0, slot);
    if (n_idle >= s->options.max_idle_steps)
        return pack(1, 0, 0, longest_idle_first, slot);
    /* Milliseconds; a player that ran dry long ago and one that has hours ahead are cut. */
    const double ms = 1e3, longest_gap_s = 3600;
    double left_s = entry->job.deadline_s - now_s;
    if (entry->job.deadline_s > 0 && left_s <= s->options.urgent_s)
        return pack(2, entry->level, MILL_RANK_URGENT, cut(left_s * ms), slot);
    if (!entry->streamed)
        return pack(2, entry->level, MILL_RANK_UNHEARD, longest_idle_first, slot);
    if (!entry->heard)
        return pack(2, entry->level, MILL_RANK_NEWCOMER,
                    (uint64_t)MAX_VALUE - cut((double)(s->n_steps - entry->added_step)), slot);
    return pack(2, entry->level, MILL_RANK_HEARD,
                cut((mill_buffered_s(s, entry, now_s) + longest_gap_s) * ms), slot);
}

/* One pass of a radix sort, by 8 bits; false where all are alike there and nothing was moved. */
static bool sort_digit(const uint64_t *from, uint64_t *to, int32_t n, int shift) {
    int32_t first[256] = {0};
    for (int32_t i = 0; i < n; i++)
        first[from[i] >> shift & 255]++;
    if (first[from[0] >> shift & 255] == n)
        return false;
    for (int32_t digit = 0, sum = 0; digit < 256; digit++) {
        int32_t count = first[digit];
        first[digit] = sum;
        sum += count;
    }
    for (int32_t i = 0; i < n; i++)
        to[first[from[i] >> shift & 255]++] = from[i];
    return true;
}

const uint64_t *mill_rank_sort(struct mill_scheduler *s, int32_t n) {
    uint64_t *from = s->ranks, *to = s->other_ranks;
    for (int shift = 32; n > 1 && shift < 64; shift += 8)
        if (sort_digit(from, to, n, shift)) {
            uint64_t *swap = from;
            from = to;
            to = swap;
        }
    return from;
}
