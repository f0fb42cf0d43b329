/* scheduler_step.c - the language model's step: who starts, who runs, and whose pages that takes.
 *
 * Pages are taken only when rows are planned for them. A prompt's full pages are named as soon as
 * rows are planned that fill them, so that whoever is planned behind shares them in the same step:
 * operators run one after the other, so all rows of a step have written their keys and values
 * before any row attends. To start, a job must find room for all its known tokens beside what the
 * running ones still want for theirs and a page for each of them, so that starting rarely forces
 * another out. Who may force whom out is a total order - level, then arrival, the elder above all -
 * so that somebody always gets on: no two jobs can take pages from each other in turns for ever.
 *
 * A step in which nobody starts and nobody lacks pages looks at each running job once. */
#include "runtime/engine/scheduler_state.h"

#include <math.h>

#define RESERVE_S 0.25 /* of audio: see count_prefill */
#define LITTLE_S 0.5   /* of audio: see stands_back */

struct planning {
    struct mill_scheduler *s;
    double now_s;
    int64_t debt; /* pages that running jobs want for tokens they know, and do not have; -1 = not
                     counted yet */
    int32_t rows_left, prefill_left;
    struct mill_step_plan *plan;
};

/* ------------------------------------------------------------------ who is forced out */

/* `slot` wants room: to grow, where it runs already, or to start. */
static bool may_force_out(const struct mill_scheduler *s, int32_t slot, int32_t victim) {
    const struct mill_entry *a = &s->entries[slot], *b = &s->entries[victim];
    if (victim == slot || victim == s->elder || b->state != MILL_JOB_RUNNING ||
        b->ran_step == s->n_steps || b->n_cached == b->n_ids)
        return false; /* it is planned already, or waits for its last token */
    if (b->held || slot == s->elder || b->level > a->level)
        return true;
    return a->state == MILL_JOB_RUNNING && b->level == a->level && b->arrival > a->arrival;
}

/* Whether a would rather be forced out than b: held ones, then the lowest priority, then those
 * whose sound nobody is listening to, then the youngest. */
static bool goes_before(const struct mill_entry *a, const struct mill_entry *b) {
    if (a->held != b->held)
        return a->held;
    if (a->level != b->level)
        return a->level > b->level;
    if (a->heard != b->heard)
        return b->heard;
    return a->arrival > b->arrival;
}

/* Whether a waiting job could find one: what may_force_out says, from what is counted. */
static bool has_victims(const struct mill_scheduler *s, int32_t slot) {
    if (s->n_held > 0 || slot == s->elder)
        return true;
    for (int level = s->entries[slot].level + 1; level < MILL_N_LEVELS; level++)
        if (s->n_running_of[level] > 0)
            return true;
    return false;
}

/* -1 = none. */
static int32_t find_victim(const struct mill_scheduler *s, int32_t slot) {
    int32_t found = -1;
    for (int32_t i = 0; i < s->n_live; i++)
        if (may_force_out(s, slot, s->live[i]) &&
            (found < 0 || goes_before(&s->entries[s->live[i]], &s->entries[found])))
            found = s->live[i];
    return found;
}

/* ------------------------------------------------------------------ shared beginnings */

/* Prompt tokens whose pages the job may share: the last known token is run for its draw. */
static int32_t sharable(const struct mill_entry *entry) {
    return entry->n_ids > entry->n_prompt ? entry->n_prompt : entry->n_ids - 1;
}

/* Take over what others have computed of this job's prompt, or will in this step. */
static void share_beginning(struct mill_scheduler *s, int32_t slot) {
    struct mill_entry *entry = &s->entries[slot];
    int32_t n = mill_kv_table_share(&s->tables[slot], s->pool, entry->job.prompt, sharable(entry));
    entry->n_cached += n * s->options.page_tokens;
    s->n_shared_pages += (uint64_t)n;
}

/* ------------------------------------------------------------------ who starts */

static int64_t pages_wanted(const struct mill_scheduler *s, int32_t slot) {
    const struct mill_entry *entry = &s->entries[slot];
    int32_t n_tokens = entry->n_ids < entry->job.max_ids ? entry->n_ids + 1 : entry->n_ids;
    return mill_pages_of(s, n_tokens) - s->tables[slot].n_pages;
}

static int64_t count_debt(const struct mill_scheduler *s) {
    int64_t debt = 0;
    for (int32_t i = 0; i < s->n_live; i++) {
        const struct mill_entry *entry = &s->entries[s->live[i]];
        int64_t wanted =
            entry->state == MILL_JOB_RUNNING && !entry->held ? pages_wanted(s, s->live[i]) : 0;
        debt += wanted > 0 ? wanted : 0;
    }
    return debt;
}

static bool has_room(struct planning *p, int64_t need) {
    const struct mill_scheduler *s = p->s;
    if (s->n_running == 0)
        return true;
    if (s->n_running >= s->options.max_running)
        return false;
    if (p->debt < 0)
        p->debt = count_debt(s);
    return mill_kv_pool_n_free(s->pool) - p->debt - need >= s->n_running;
}

/* Whether there would be room if all went that this job may force out. */
static bool could_have_room(struct planning *p, int32_t slot, int64_t need) {
    const struct mill_scheduler *s = p->s;
    if (!has_victims(s, slot))
        return false;
    if (p->debt < 0)
        p->debt = count_debt(s);
    int64_t n_pages = mill_kv_pool_n_free(s->pool) - p->debt - need, n_running = s->n_running;
    for (int32_t i = 0; i < s->n_live; i++) {
        int32_t victim = s->live[i];
        if (!may_force_out(s, slot, victim))
            continue;
        int64_t wanted = s->entries[victim].held ? 0 : pages_wanted(s, victim);
        n_pages += s->tables[victim].n_pages + (wanted > 0 ? wanted : 0);
        n_running--;
    }
    return n_running == 0 || (n_running < s->options.max_running && n_pages >= n_running);
}

static void start_waiting(struct planning *p) {
    struct mill_scheduler *s = p->s;
    for (int32_t slot; (slot = mill_queue_best(s, p->now_s)) >= 0;) {
        if (s->n_running >= s->options.max_running && !has_victims(s, slot))
            return;
        const struct mill_entry *entry = &s->entries[slot];
        int64_t need = pages_wanted(s, slot) -
                       mill_kv_pool_count_shared(s->pool, entry->job.prompt, sharable(entry));
        if (!has_room(p, need)) {
            if (!could_have_room(p, slot, need))
                return;
            for (int32_t victim; !has_room(p, need) && (victim = find_victim(s, slot)) >= 0;) {
                mill_scheduler_preempt(s, victim);
                p->debt = -1;
            }
            if (!has_room(p, need))
                return;
        }
        mill_scheduler_start(s, slot);
        p->debt = p->debt < 0 ? -1 : p->debt + need;
    }
}

/* ------------------------------------------------------------------ who runs */

/* Pages for n_rows more tokens, or for fewer where there are no more. False: for none. */
static bool take_pages(struct planning *p, int32_t slot, int32_t *n_rows) {
    struct mill_scheduler *s = p->s;
    struct mill_kv_table *table = &s->tables[slot];
    int32_t n_cached = s->entries[slot].n_cached, page_tokens = s->options.page_tokens;
    if (n_cached + *n_rows <= table->n_pages * page_tokens)
        return true;
    while (mill_kv_table_grow(table, s->pool, mill_pages_of(s, n_cached + *n_rows)) != MILL_OK) {
        int32_t victim = find_victim(s, slot);
        if (victim >= 0) {
            mill_scheduler_preempt(s, victim);
            continue;
        }
        int32_t room = (table->n_pages + mill_kv_pool_n_free(s->pool)) * page_tokens - n_cached;
        if (room <= 0 || room >= *n_rows)
            return false;
        *n_rows = room;
    }
    return true;
}

static void put_in_plan(struct planning *p, int32_t slot, int32_t n_rows) {
    struct mill_scheduler *s = p->s;
    struct mill_entry *entry = &s->entries[slot];
    struct mill_kv_table *table = &s->tables[slot];
    int32_t at = p->plan->n_sequences++, n_tokens = entry->n_cached + n_rows;
    bool draws = n_tokens == entry->n_ids;
    s->sequences[at] = (struct mill_plan_sequence){.slot = slot,
                                                   .attempt = entry->attempt,
                                                   .n_rows = n_rows,
                                                   .n_cached = entry->n_cached,
                                                   .draws = draws};
    s->n_cached[at] = entry->n_cached;
    s->row_first[at + 1] = s->row_first[at] + n_rows;
    s->pages[at] = table->pages;
    p->plan->n_rows += n_rows;
    p->plan->n_draws += draws;
    p->rows_left -= n_rows;
    p->prefill_left -= n_rows - 1;
    entry->ran_step = s->n_steps;
    if (entry->n_cached < entry->n_prompt)
        mill_kv_table_name(table, s->pool, entry->job.prompt,
                           n_tokens < entry->n_prompt ? n_tokens : entry->n_prompt);
    entry->n_cached = n_tokens;
}

/* Of n_rows of a longer prompt: as many as end with a page, if that is any, so that another prompt
 * that begins alike can go on from there. */
static int32_t cut(const struct mill_scheduler *s, const struct mill_entry *entry, int32_t n_rows) {
    int32_t over = (entry->n_cached + n_rows) % s->options.page_tokens;
    return over < n_rows ? n_rows - over : n_rows;
}

/* Whether it may be left out of this step. */
static bool is_patient(const struct mill_scheduler *s, int32_t slot) {
    return slot != s->elder &&
           s->n_steps - s->entries[slot].ran_step < (int64_t)s->options.max_idle_steps;
}

static void plan_job(struct planning *p, int32_t slot) {
    struct mill_scheduler *s = p->s;
    const struct mill_entry *entry = &s->entries[slot];
    if (entry->state != MILL_JOB_RUNNING) /* forced out since the order was made */
        return;
    bool patient = is_patient(s, slot);
    bool in_prompt = entry->n_cached < entry->n_prompt;
    if (in_prompt)
        share_beginning(s, slot);
    int32_t n_more = entry->n_ids - entry->n_cached - 1;
    if (n_more > 0 && p->prefill_left <= 0 && patient)
        return;
    int32_t most = p->prefill_left < p->rows_left - 1 ? p->prefill_left : p->rows_left - 1;
    int32_t n_rows = n_more <= most ? 1 + n_more : cut(s, entry, 1 + most);
    if (!take_pages(p, slot, &n_rows))
        return;
    put_in_plan(p, slot, n_rows);
    p->plan->apart = p->plan->apart && !in_prompt;
    if (n_more > most)
        p->prefill_left = 0; /* less than a page is left */
}

/* A token to run for each at most, a row and a page for everybody: then who has just one token to
 * run need not be compared with the others. */
static bool all_fit(const struct mill_scheduler *s) {
    return s->n_running <= s->options.max_sequences && s->n_running <= s->options.max_rows &&
           s->n_running <= mill_kv_pool_n_free(s->pool);
}

/* Rows that prompts may take, behind the first of each sequence, before a listener would notice:
 * the step may last as long as the frame that it makes for each, and half of what the one with
 * least audio has ahead beyond a reserve. Who hears silence already is not waited for. */
static int32_t count_prefill(const struct planning *p) {
    const struct mill_scheduler *s = p->s;
    double least_s = INFINITY;
    for (int32_t i = 0; i < s->n_live; i++) {
        const struct mill_entry *entry = &s->entries[s->live[i]];
        if (!entry->heard || entry->held || (entry->ended && entry->n_voiced >= entry->n_frames))
            continue;
        double buffered_s = mill_buffered_s(s, entry, p->now_s);
        if (buffered_s > 0 && buffered_s < least_s)
            least_s = buffered_s;
    }
    int32_t most = s->options.max_prefill_rows;
    int32_t least = s->options.page_tokens < 4 ? 1 : s->options.page_tokens / 4;
    if (s->costs.row_s <= 0 || least_s == INFINITY || least >= most)
        return most;
    double spare_s = least_s > RESERVE_S ? (least_s - RESERVE_S) / 2 : 0;
    double rows = (s->options.frame_s - s->costs.turn_s + spare_s) / s->costs.row_s;
    return rows >= most ? most : rows > least ? (int32_t)rows : least;
}

/* Seconds of audio ahead of real time, with what is drawn and can be voiced. */
static double known_ahead_s(const struct planning *p, const struct mill_entry *entry) {
    int32_t n = entry->n_frames - entry->n_voiced - (entry->ended ? 0 : entry->lookahead);
    return mill_buffered_s(p->s, entry, p->now_s) + (n > 0 ? n : 0) * p->s->options.frame_s;
}

/* Whether a listener would notice that who is later runs too. Who hears silence already is not
 * waited for: then all together are done sooner. */
static bool is_in_need(const struct planning *p, const struct mill_entry *entry) {
    if (!entry->streamed || entry->held || mill_is_later(entry) ||
        (entry->ended && entry->n_voiced >= entry->n_frames))
        return false;
    double ahead_s = entry->heard ? known_ahead_s(p, entry) : LITTLE_S / 2;
    return ahead_s > 0 && ahead_s < LITTLE_S;
}

/* Whether those that are later stand back in this step. */
static bool stands_back(const struct planning *p) {
    const struct mill_scheduler *s = p->s;
    int32_t n_later = 0;
    for (int level = 1; level < MILL_N_LEVELS; level += 2)
        n_later += s->n_running_of[level];
    bool in_need = false;
    if (n_later > 0 && s->costs.turn_s > s->options.frame_s / 2)
        for (int32_t i = 0; i < s->n_live && !in_need; i++)
            in_need = is_in_need(p, &s->entries[s->live[i]]);
    return in_need;
}

static void plan_running(struct planning *p) {
    struct mill_scheduler *s = p->s;
    bool fit = all_fit(s), back = stands_back(p);
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_live; i++) {
        int32_t slot = s->live[i];
        const struct mill_entry *entry = &s->entries[slot];
        if (entry->state != MILL_JOB_RUNNING || entry->held || entry->n_cached == entry->n_ids)
            continue;
        if (back && mill_is_later(entry) && is_patient(s, slot))
            continue;
        if (fit && entry->n_cached == entry->n_ids - 1)
            plan_job(p, slot);
        else
            s->ranks[n++] = mill_rank(s, slot, s->n_steps - entry->ran_step, p->now_s);
    }
    const uint64_t *order = mill_rank_sort(s, n);
    if (n > 0)
        p->prefill_left = count_prefill(p);
    for (int32_t i = 0; i < n && p->rows_left > 0; i++) {
        if (p->plan->n_sequences == s->options.max_sequences)
            break;
        plan_job(p, mill_rank_slot(order[i]));
    }
}

/* ------------------------------------------------------------------ the step */

static void remove_expired(struct planning *p) {
    struct mill_scheduler *s = p->s;
    for (int32_t slot; (slot = mill_index_heap_first(&s->deadlines)) >= 0 &&
                       s->entries[slot].job.deadline_s <= p->now_s;) {
        s->expired[p->plan->n_expired++] = slot;
        mill_scheduler_remove(s, slot);
    }
}

/* The rank of an elder passes on when its holder is through, gone or held. */
static void choose_elder(struct mill_scheduler *s) {
    int32_t oldest = mill_index_heap_first(&s->queue.arrivals);
    if (s->elder < 0 && oldest >= 0 &&
        s->n_steps - s->entries[oldest].added_step >= s->options.patience_steps)
        s->elder = oldest;
}

mill_status mill_scheduler_plan_step(struct mill_scheduler *scheduler, double now_s,
                                     struct mill_step_plan *plan, struct mill_error *err) {
    struct mill_scheduler *s = scheduler;
    *plan = (struct mill_step_plan){.apart = true,
                                    .sequences = s->sequences,
                                    .row_first = s->row_first,
                                    .n_cached = s->n_cached,
                                    .pages = s->pages,
                                    .expired = s->expired};
    if (s->options.audit)
        MILL_TRY(mill_scheduler_audit(s, err));
    struct planning p = {.s = s,
                         .now_s = now_s,
                         .debt = -1,
                         .rows_left = s->options.max_rows,
                         .prefill_left = s->options.max_prefill_rows,
                         .plan = plan};
    s->n_steps++;
    s->row_first[0] = 0;
    remove_expired(&p);
    choose_elder(s);
    start_waiting(&p);
    plan_running(&p);
    return MILL_OK;
}
