/* scheduler_windows.c - the vocoder's batch: which frames of which jobs become sound next, and
 * whose state the vocoder carries. */
#include "runtime/engine/scheduler_state.h"

#include <math.h>

/* A call of the vocoder costs much before its first frame, so it waits for the frames of so many
 * turns. A listener's audio must outlast the making of what comes next, so many turns, and a thread
 * that is woken late. */
enum { WAIT_TURNS = 2, SAFE_TURNS = WAIT_TURNS + 2 };
#define LATE_S 0.01

static double turn_s(const struct mill_scheduler *s) {
    return s->costs.turn_s > 0 ? s->costs.turn_s : s->options.frame_s;
}

/* With as many rows of prompts as may be in a step: see count_prefill. */
static double longest_turn_s(const struct mill_scheduler *s) {
    double with_prompts_s = turn_s(s) + s->options.max_prefill_rows * s->costs.row_s;
    return fmax(turn_s(s), fmin(with_prompts_s, s->options.frame_s));
}

/* Until n frames that are planned now, or behind a call that is, are heard for sure. */
static double safe_s(const struct mill_scheduler *s, double n) {
    return 2 * s->costs.call_s + n * s->costs.voice_s + SAFE_TURNS * longest_turn_s(s) + LATE_S;
}

/* Frames of the smallest window that a player who has something ahead is left with more behind:
 * they are heard for twice as long as they take with their call. */
static double least_window(const struct mill_scheduler *s, const struct mill_entry *entry) {
    double gain_s = s->options.frame_s - turn_s(s), call_s = 2 * s->costs.call_s;
    double least =
        call_s < entry->first_window * gain_s ? ceil(call_s / gain_s) : entry->first_window;
    return least > 1 ? least : 1;
}

/* Frames of a first window: the next one is there before they are over, and the more so the more
 * slowly turns make up for one that was late. */
static double first_window(const struct mill_scheduler *s, const struct mill_entry *entry) {
    double gain_s = s->options.frame_s - turn_s(s), least = least_window(s, entry);
    double next_s = least * turn_s(s) + safe_s(s, least);
    return next_s < entry->first_window * gain_s ? fmax(least, ceil(next_s / gain_s))
                                                 : entry->first_window;
}

/* Seconds that a listener can wait for n frames. */
static double left_s(const struct mill_scheduler *s, const struct mill_entry *entry, double n,
                     double now_s) {
    return mill_buffered_s(s, entry, now_s) - safe_s(s, n);
}

/* What is not waited for yet is voiced in pieces that those who wait hardly notice. */
static int32_t largest_window(const struct mill_scheduler *s, const struct mill_entry *entry) {
    enum { PART = 4 };
    int32_t most = s->options.max_window;
    return mill_is_later(entry) && most >= PART ? most / PART : most;
}

/* Whether a job that speaks makes a window of its n frames. While a player has enough ahead, half
 * of it is waited for, so windows grow as it does. */
static bool is_full(const struct mill_scheduler *s, const struct mill_entry *entry, int32_t n,
                    double now_s) {
    if (n >= largest_window(s, entry))
        return true;
    if (n <= 0 || entry->first_window == 0 || mill_is_later(entry))
        return false;
    if (!entry->heard)
        return n >= first_window(s, entry);
    return n >= least_window(s, entry) && n * turn_s(s) >= left_s(s, entry, n, now_s);
}

/* Frames of the job that make a window now; 0 = not yet. */
static int32_t count_ready(const struct mill_scheduler *s, const struct mill_entry *entry,
                           double now_s) {
    int32_t most = largest_window(s, entry), n_ready = entry->n_frames - entry->n_voiced;
    if (entry->held || (!entry->ended && !entry->streamed))
        return 0;
    if (!entry->ended) {
        n_ready -= entry->lookahead;
        if (!is_full(s, entry, n_ready, now_s))
            return 0;
    }
    return n_ready < most ? n_ready : most;
}

/* Whether its window of n frames, which is ready, cannot wait for others. */
static bool is_urgent(const struct mill_scheduler *s, const struct mill_entry *entry, int32_t n,
                      double now_s) {
    return entry->n_ready_turns >= WAIT_TURNS || (entry->heard && left_s(s, entry, n, now_s) <= 0);
}

static bool is_exact(const struct mill_scheduler *s, const struct mill_entry *entry) {
    return entry->lookahead >= s->options.lookahead;
}

/* Whether a would rather lose its stream than b: only exact sound can begin afresh in the middle;
 * then who was silent longest. */
static bool is_idler(const struct mill_scheduler *s, const struct mill_entry *a,
                     const struct mill_entry *b) {
    if (is_exact(s, a) != is_exact(s, b))
        return is_exact(s, a);
    return a->voiced_turn != b->voiced_turn ? a->voiced_turn < b->voiced_turn
                                            : a->arrival < b->arrival;
}

/* Who has a stream and can do without, whether it runs or waits; NULL = nobody. Sound that is not
 * exact would begin at its first frame again: that is asked only of those that are held. */
static struct mill_entry *find_idle(const struct mill_scheduler *s) {
    struct mill_entry *idle = NULL;
    for (int32_t i = 0; i < s->options.max_streams; i++) {
        struct mill_entry *other = &s->entries[s->stream_slots[i]];
        if (other->voiced_turn < s->n_batches && (is_exact(s, other) || other->held) &&
            (!idle || is_idler(s, other, idle)))
            idle = other;
    }
    return idle;
}

/* A stream for the job: its own, a free one, or another's. */
static bool lend_stream(struct mill_scheduler *s, int32_t slot, bool *fresh) {
    struct mill_entry *entry = &s->entries[slot];
    *fresh = entry->stream < 0;
    if (!*fresh)
        return true;
    struct mill_entry *idle = s->n_free_streams > 0 ? NULL : find_idle(s);
    if (idle) {
        entry->stream = idle->stream;
        idle->stream = -1;
        if (!is_exact(s, idle))
            idle->n_voiced = idle->job.first_frame;
    } else if (s->n_free_streams > 0) {
        entry->stream = s->free_streams[--s->n_free_streams];
    } else {
        return false;
    }
    s->stream_slots[entry->stream] = slot;
    return true;
}

static void plan_window(struct mill_scheduler *s, int32_t slot, double now_s,
                        struct mill_window_plan *plan) {
    struct mill_entry *entry = &s->entries[slot];
    int32_t n_left = s->options.max_batch_frames - plan->n_frames;
    int32_t n = count_ready(s, entry, now_s);
    bool fresh;
    if (!lend_stream(s, slot, &fresh))
        return;
    n = n < n_left ? n : n_left;
    int32_t end = entry->n_voiced + n;
    s->windows[plan->n_windows++] =
        (struct mill_plan_window){.slot = slot,
                                  .attempt = entry->attempt,
                                  .first = entry->n_voiced,
                                  .end = end,
                                  .stream = entry->stream,
                                  .fresh = fresh,
                                  .last = entry->ended && end == entry->n_frames};
    plan->n_frames += n;
    entry->n_ready_turns = 0;
    entry->voiced_turn = s->n_batches;
}

void mill_scheduler_plan_windows(struct mill_scheduler *scheduler, double now_s,
                                 struct mill_window_plan *plan) {
    struct mill_scheduler *s = scheduler;
    *plan = (struct mill_window_plan){.windows = s->windows};
    s->n_batches++;
    int64_t n_frames = 0, enough = (int64_t)WAIT_TURNS * (s->n_running - 1);
    int32_t n = 0;
    bool urgent = false;
    for (int32_t i = 0; i < s->n_live; i++) {
        struct mill_entry *entry = &s->entries[s->live[i]];
        int32_t n_ready = count_ready(s, entry, now_s);
        if (n_ready == 0)
            continue;
        n_frames += n_ready;
        urgent = urgent || is_urgent(s, entry, n_ready, now_s);
        s->ranks[n++] = mill_rank(s, s->live[i], entry->n_ready_turns++, now_s);
    }
    if (!urgent && n_frames < enough && n_frames < s->options.max_batch_frames)
        return;
    const uint64_t *order = mill_rank_sort(s, n);
    for (int32_t i = 0; i < n && plan->n_windows < s->options.max_windows; i++) {
        if (plan->n_frames == s->options.max_batch_frames)
            break;
        plan_window(s, mill_rank_slot(order[i]), now_s, plan);
    }
}

bool mill_scheduler_wants_window(const struct mill_scheduler *scheduler,
                                 const struct mill_plan_window *window) {
    return scheduler->entries[window->slot].attempt == window->attempt;
}

bool mill_scheduler_voiced(struct mill_scheduler *scheduler, const struct mill_plan_window *window,
                           double now_s) {
    struct mill_entry *entry = &scheduler->entries[window->slot];
    entry->n_voiced = window->end;
    if (!entry->heard)
        entry->play_start_s = now_s - entry->job.first_frame * scheduler->options.frame_s;
    entry->heard = entry->streamed && !mill_is_later(entry);
    return entry->ended && entry->n_voiced >= entry->n_frames;
}
