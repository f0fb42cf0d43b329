/* progress.h - the program's one progress bar: label, bar, amount, rate and time left on one line
 * of standard error.
 *
 * Drawn only where standard error is a terminal, at most ten times a second, and wiped at the end,
 * so that logs and pipes never see it. Whoever prints a line of text while a bar runs calls end
 * before and start after. The caller's storage; one thread. */
#ifndef MILL_TOOLS_PROGRESS_H
#define MILL_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct mill_progress {
    const char *label, *unit; /* borrowed */
    double total;             /* in units; 0 = unknown */
    double skipped;           /* units that were there before the start: not part of the rate */
    double start_s, drawn_s;  /* monotonic */
    bool shown;               /* standard error is a terminal */
};

/* `unit` "bytes" is shown as kB, MB or GB; "audio" as seconds of audio and its rate as times real
 * time; any other stands as it is behind the number. `total` is in units, 0 where it is not known.
 */
void mill_progress_start(struct mill_progress *progress, const char *label, const char *unit,
                         double total);
/* `done` units in all, of which `done` were not made now: for what is resumed. */
void mill_progress_skip(struct mill_progress *progress, double done);
/* `done` units in all. */
void mill_progress_update(struct mill_progress *progress, double done);
/* The same for whoever calls back with bytes, as mill_engine_start does: `progress` is the bar. */
void mill_progress_update_bytes(void *progress, size_t done_bytes, size_t all_bytes);
/* Wipe the line. Harmless when it was never drawn. */
void mill_progress_end(struct mill_progress *progress);

#endif
