/* scheduler_windows.c - the vocoder's batch: which frames of which jobs become sound next, and
 * whose state the vocoder carries. */
#include "runtime/engine/scheduler_state.h"

#include <math.h>

/* A call of the vocoder costs much before its first frame, so it waits for the frames of so many
 * turns; and so many turns must a listener's audio last when a window is planned: those, the
 * window's own and one that takes longer than usual. */
enum { WAIT_TURNS = 2, SAFE_TURNS = WAIT_TURNS + 2 };

static double turn_s(const struct mill_scheduler *s) {
    return s->turn_s > 0 ? s->turn_s : s->options.frame_s;
}

/* Frames that a window of a job that speaks must have. The first one is as small as lets its player
 * go on: what a turn makes is heard for longer than the turn takes, and the more so the sooner a
 * late turn is made up for. From then on half of what the player has ahead is waited for, so
 * windows grow as it does; who is about to hear silence gets one as small as the first. */
static int32_t least_window(const struct mill_scheduler *s, const struct mill_entry *entry,
                            double now_s) {
    int32_t first = entry->first_window, max_window = s->options.max_window;
    double safe_s = SAFE_TURNS * turn_s(s), gain_s = s->options.frame_s - turn_s(s);
    if (first == 0)
        return max_window;
    double least = 2 * safe_s < first * gain_s ? ceil(2 * safe_s / gain_s) : first;
    double spare = entry->heard ? (mill_buffered_s(s, entry, now_s) - safe_s) / turn_s(s) : 0;
    least = spare > least ? spare : least;
    return least < max_window ? (int32_t)least : max_window;
}

/* Frames of the job that make a window now; 0 = not yet. */
static int32_t count_ready(const struct mill_scheduler *s, const struct mill_entry *entry,
                           double now_s) {
    int32_t max_window = s->options.max_window, n_ready = entry->n_frames - entry->n_voiced;
    if (entry->held || (!entry->ended && !entry->streamed))
        return 0;
    if (!entry->ended) {
        n_ready -= entry->lookahead;
        if (n_ready <= 0 || n_ready < least_window(s, entry, now_s))
            return 0;
    }
    return n_ready < max_window ? n_ready : max_window;
}

/* Whether its window, which is ready, cannot wait for others. */
static bool is_urgent(const struct mill_scheduler *s, const struct mill_entry *entry,
                      double now_s) {
    return entry->n_ready_turns >= WAIT_TURNS ||
           (entry->heard && mill_buffered_s(s, entry, now_s) <= SAFE_TURNS * turn_s(s));
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
        urgent = urgent || is_urgent(s, entry, now_s);
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
    entry->heard = true;
    return entry->ended && entry->n_voiced >= entry->n_frames;
}
