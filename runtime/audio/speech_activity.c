/* speech_activity.c - see speech_activity.h. */
#include "runtime/audio/speech_activity.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_A_SECOND = 50, BEGIN_FRAMES = 2, END_FRAMES = 10 };

static float level_of(const float *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (float)(10 * log10(squares / (double)n + 1e-10));
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool starts_at(const struct mill_speech_activity *a, size_t frame, float on) {
    if (a->n_frames - frame < BEGIN_FRAMES)
        return false;
    for (size_t i = 0; i < BEGIN_FRAMES; i++)
        if (a->level_db[frame + i] < on)
            return false;
    return true;
}

static void mark_speech(struct mill_speech_activity *a) {
    float on = fmaxf(a->loud_db - 35, a->floor_db + 6), off = on - 3;
    if (a->loud_db < -60 || a->loud_db - a->floor_db < 9)
        return;
    for (size_t i = 0; i < a->n_frames; i++) {
        if (!starts_at(a, i, on))
            continue;
        size_t first = i, last = i; /* the last frame at `off` or above */
        while (first > 0 && !a->is_speech[first - 1] && a->level_db[first - 1] >= off)
            first--;
        for (; i < a->n_frames && i - last <= END_FRAMES; i++)
            if (a->level_db[i] >= off)
                last = i;
        for (size_t k = first; k <= last; k++)
            a->is_speech[k] = true;
        i = last;
    }
}

mill_status mill_speech_activity_init(struct mill_speech_activity *activity, const float *samples,
                                      size_t n_samples, int32_t sample_rate,
                                      struct mill_error *err) {
    size_t frame = (size_t)sample_rate / FRAMES_A_SECOND, n = n_samples / frame;
    *activity = (struct mill_speech_activity){.n_frames = n,
                                              .frame_samples = frame,
                                              .n_samples = n_samples,
                                              .floor_db = -100,
                                              .loud_db = -100};
    activity->level_db = mill_alloc_array(n, sizeof *activity->level_db);
    activity->is_speech = mill_alloc_array(n, sizeof *activity->is_speech);
    float *sorted = mill_alloc_array(n, sizeof *sorted);
    if (!activity->level_db || !activity->is_speech || !sorted) {
        free(sorted);
        mill_speech_activity_deinit(activity);
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu frames", n);
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = activity->level_db[i] = level_of(samples + i * frame, frame);
    qsort(sorted, n, sizeof *sorted, by_size);
    if (n > 0) {
        activity->floor_db = sorted[n / 10];
        activity->loud_db = sorted[n - 1 - n / 20];
    }
    free(sorted);
    mark_speech(activity);
    return MILL_OK;
}

void mill_speech_activity_deinit(struct mill_speech_activity *activity) {
    free(activity->level_db);
    free(activity->is_speech);
    *activity = (struct mill_speech_activity){0};
}

/* Where to cut so that at most max_samples stay. */
static void cut(const struct mill_speech_activity *a, size_t max_samples,
                struct mill_speech_range *range) {
    size_t frame = a->frame_samples, keep = a->frame_samples * 5 / 2;
    size_t limit = range->first + max_samples, half = range->first + max_samples / 2;
    size_t three_quarters = limit - max_samples / 4, quietest = limit / frame;
    range->is_cut = true;
    range->end = limit;
    for (size_t i = half / frame + 1; i < a->n_frames && i * frame + keep <= limit; i++)
        if (a->is_speech[i - 1] && !a->is_speech[i]) {
            range->end = i * frame + keep;
            range->at_pause = true;
        }
    if (range->at_pause)
        return;
    for (size_t i = three_quarters / frame; i < a->n_frames && (i + 1) * frame <= limit; i++)
        if (quietest * frame >= limit - frame || a->level_db[i] < a->level_db[quietest]) {
            quietest = i;
            range->end = i * frame + frame / 2;
        }
}

struct mill_speech_range mill_speech_activity_range(const struct mill_speech_activity *activity,
                                                    bool trim, size_t max_samples) {
    const struct mill_speech_activity *a = activity;
    size_t keep = a->frame_samples * 5 / 2, first = 0, last = a->n_frames;
    struct mill_speech_range range = {.first = 0, .end = a->n_samples};
    while (first < a->n_frames && !a->is_speech[first])
        first++;
    while (last > first && !a->is_speech[last - 1])
        last--;
    if (trim && first < last) {
        if (first * a->frame_samples > keep)
            range.first = first * a->frame_samples - keep;
        if (last * a->frame_samples + keep < a->n_samples)
            range.end = last * a->frame_samples + keep;
    }
    if (max_samples > 0 && range.end - range.first > max_samples)
        cut(a, max_samples, &range);
    return range;
}
