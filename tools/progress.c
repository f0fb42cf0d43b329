/* progress.c - see progress.h. */
#include "tools/progress.h"

#include "runtime/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_CELLS = 16 }; /* with the longest amounts a line has 79 columns */

void mill_progress_start(struct mill_progress *progress, const char *label, const char *unit,
                         double total) {
    *progress = (struct mill_progress){.label = label,
                                       .unit = unit,
                                       .total = total,
                                       .start_s = mill_clock_seconds(),
                                       .shown = isatty(STDERR_FILENO) == 1};
}

void mill_progress_skip(struct mill_progress *progress, double done) {
    progress->skipped = done;
}

static void write_amount(char *out, size_t size, double amount, const char *unit) {
    if (strcmp(unit, "audio") == 0)
        snprintf(out, size, "%.1f s", amount);
    else if (strcmp(unit, "bytes") != 0)
        snprintf(out, size, "%.1f %s", amount, unit);
    else if (amount >= 1e9)
        snprintf(out, size, "%.2f GB", amount / 1e9);
    else if (amount >= 1e6)
        snprintf(out, size, "%.1f MB", amount / 1e6);
    else
        snprintf(out, size, "%.0f kB", amount / 1e3);
}

/* "[#####.....]  42 %", or nothing where the total is not known. */
static void write_bar(char *out, size_t size, double share) {
    char cells[BAR_CELLS + 1];
    int filled = (int)(share * BAR_CELLS);
    memset(cells, '.', BAR_CELLS);
    memset(cells, '#', (size_t)filled);
    cells[BAR_CELLS] = '\0';
    snprintf(out, size, "[%s] %3.0f %%  ", cells, 100 * share);
}

static void write_speed(char *out, size_t size, double rate, const char *unit) {
    char amount[32];
    if (strcmp(unit, "audio") == 0) {
        snprintf(out, size, "%.2f x real time", rate);
        return;
    }
    write_amount(amount, sizeof amount, rate, unit);
    snprintf(out, size, "%s/s", amount);
}

static void write_time_left(char *out, size_t size, double seconds) {
    long whole = seconds < 359999 ? (long)(seconds + 0.5) : 359999; /* 99:59:59 */
    if (whole >= 3600)
        snprintf(out, size, ", %ld:%02ld:%02ld left", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(out, size, ", %ld:%02ld left", whole / 60, whole % 60);
}

static int terminal_columns(void) {
    struct winsize window;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    return known ? window.ws_col : 80;
}

void mill_progress_update(struct mill_progress *progress, double done) {
    double now = mill_clock_seconds();
    if (!progress->shown || now - progress->drawn_s < 0.1)
        return;
    progress->drawn_s = now;
    double rate = (done - progress->skipped) / (now - progress->start_s + 1e-9);
    double total = progress->total > done ? progress->total : done;
    char bar[BAR_CELLS + 32] = "", amount[32], speed[48], left[48] = "", line[256];
    if (progress->total > 0)
        write_bar(bar, sizeof bar, total > 0 ? done / total : 0);
    write_amount(amount, sizeof amount, done, progress->unit);
    write_speed(speed, sizeof speed, rate, progress->unit);
    if (progress->total > 0 && rate > 0)
        write_time_left(left, sizeof left, (total - done) / rate);
    int n =
        snprintf(line, sizeof line, "%s  %s%s, %s%s", progress->label, bar, amount, speed, left);
    /* One column stays free: a line that fills the last one would wrap. */
    int room = terminal_columns() - 1;
    if (n >= (int)sizeof line)
        n = (int)sizeof line - 1;
    fprintf(stderr, "\r%.*s\033[K", n < room ? n : room, line);
    fflush(stderr);
}

void mill_progress_update_bytes(void *progress, size_t done_bytes, size_t all_bytes) {
    ((struct mill_progress *)progress)->total = (double)all_bytes;
    mill_progress_update(progress, (double)done_bytes);
}

void mill_progress_end(struct mill_progress *progress) {
    if (progress->shown && progress->drawn_s > 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    progress->shown = false;
}
