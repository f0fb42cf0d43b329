/* golden_compare.c - the measures in float64, and the printed table. No state of its own. */
#include "tools/golden_compare.h"

#include <math.h>
#include <stdio.h>

double golden_snr_db(const float *golden, const float *ours, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)golden[i] - ours[i];
        signal += (double)golden[i] * golden[i];
        noise += difference * difference;
    }
    if (!isfinite(noise))
        return NAN;
    return noise == 0 ? INFINITY : 10 * log10(signal / noise);
}

double golden_largest_difference(const float *golden, const float *ours, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)golden[i] - ours[i]);
        if (!isfinite(difference))
            return NAN;
        largest = fmax(largest, difference);
    }
    return largest;
}

double golden_spread(const float *values, size_t n) {
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    return high - low;
}

static double log_sum_exp(const float *values, size_t n) {
    double high = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        high = fmax(high, values[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(values[i] - high);
    return high + log(sum);
}

double golden_divergence(const float *golden, const float *ours, size_t n) {
    double golden_log = log_sum_exp(golden, n), our_log = log_sum_exp(ours, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        double log_p = golden[i] - golden_log, log_q = ours[i] - our_log;
        sum += exp(log_p) * (log_p - log_q);
    }
    return sum;
}

/* Columns of the GOLDEN_TOP_K largest of a row, falling, ties by rising column; their number. */
static int32_t largest_logits(const float *logits, int32_t n, int32_t *top) {
    int32_t n_top = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = n_top;
        if (n_top < GOLDEN_TOP_K)
            n_top++;
        else if (logits[i] > logits[top[n_top - 1]])
            at--;
        else
            continue;
        for (; at > 0 && logits[top[at - 1]] < logits[i]; at--)
            top[at] = top[at - 1];
        top[at] = i;
    }
    return n_top;
}

static double weight_of(float logit, float best) {
    return exp(((double)logit - best) / GOLDEN_TEMPERATURE);
}

int32_t golden_draw(const float *logits, int32_t n, double u, double *margin) {
    int32_t top[GOLDEN_TOP_K], n_top = largest_logits(logits, n, top), n_kept = 0, drawn = -1;
    double sum = 0, kept = 0, edge = 0;
    for (int32_t i = 0; i < n_top; i++)
        sum += weight_of(logits[top[i]], logits[top[0]]);
    while (n_kept < n_top && kept < GOLDEN_TOP_P * sum)
        kept += weight_of(logits[top[n_kept++]], logits[top[0]]);
    *margin = 1;
    for (int32_t i = 0; i < n_kept; i++) {
        edge += weight_of(logits[top[i]], logits[top[0]]);
        if (i < n_kept - 1)
            *margin = fmin(*margin, fabs(edge / kept - u));
        if (drawn < 0 && (edge > u * kept || i == n_kept - 1))
            drawn = top[i];
    }
    return drawn;
}

/* A logit within `error` of ours has a weight exp(logit / temperature) within a factor of ours, so
 * has the sum of the top_k largest. Before `column` stand for certain the logits that lead by more
 * than 2 `error`, perhaps also those that trail by no more. What top-p keeps of the sum is between
 * top_p and all of it. */
bool golden_draw_possible(const float *logits, int32_t n, int32_t column, double u, double error) {
    int32_t top[GOLDEN_TOP_K], n_top = largest_logits(logits, n, top), n_before = 0;
    double factor = exp(error / GOLDEN_TEMPERATURE);
    double sum = 0, before_low = 0, through_high = 0; /* through: up to and with the column */
    for (int32_t i = 0; i < n_top; i++) {
        double weight = weight_of(logits[top[i]], logits[top[0]]);
        double lead = (double)logits[top[i]] - logits[column];
        sum += weight;
        if (lead > 2 * error) {
            before_low += weight / factor;
            n_before++;
        }
        if (lead >= -2 * error)
            through_high += weight * factor;
    }
    if (logits[column] < logits[top[n_top - 1]])
        through_high += weight_of(logits[column], logits[top[0]]) * factor;
    if (n_before == GOLDEN_TOP_K || before_low >= GOLDEN_TOP_P * sum * factor)
        return false;
    return u >= before_low / (sum * factor) && u < through_high * factor / (GOLDEN_TOP_P * sum);
}

void golden_table_figure(struct golden_table *table, const char *array, const char *measure,
                         double figure, enum golden_limit kind, double limit) {
    bool ok = kind == GOLDEN_AT_LEAST  ? figure >= limit
              : kind == GOLDEN_AT_MOST ? figure <= limit
                                       : !isnan(figure);
    table->n_missed += !ok;
    char limit_text[32] = "-";
    if (kind != GOLDEN_RECORDED)
        snprintf(limit_text, sizeof limit_text, "%s %.4g",
                 kind == GOLDEN_AT_LEAST ? ">=" : "<=", limit);
    printf("%-28s %-38s %12.5g  %-10s %s\n", array, measure, figure, limit_text,
           !ok                       ? "MISS"
           : kind == GOLDEN_RECORDED ? "recorded"
                                     : "ok");
}
