/* scheduler.h - what a replica does next: which sequences the language model runs, which frames the
 * vocoder turns into sound, who gets pages and who gives them back.
 *
 * A function of (jobs, pages, clock) and nothing else: no tensor, no thread, no clock of its own,
 * no allocation. All its memory is given at init. A job is one utterance, known by its slot; what
 * it says stays with the caller. The turn of a replica:
 *
 *     add, remove, hold ... ; plan_step ---> run the language model ---> accept each draw
 *                             plan_windows -> run the vocoder ---> voiced each ---> (remove)
 *
 * A plan counts as carried out when it is made. What it draws becomes known with accept, and the
 * next plan may be made before that: a job whose tokens are on their way runs on where the caller
 * says how many there will be (expect), and should it turn out to have ended, a row was wasted.
 *
 * Policy. Who may start: higher priority first; then who was forced out; then what is close to its
 * deadline; then the fair key that has had the least audio; then who came first. Who runs in a
 * step, of those that started: higher priority, then what is close to its deadline, then who has
 * delivered nothing yet, then who has the least audio ahead of real time, then those that nobody
 * listens to yet, the longest idle first. When pages run out, or a higher priority wants in, one of
 * the lowest priority puts its pages back and waits to recompute them: one that nobody listens to
 * yet where there is one, the youngest of them. Nothing ever fails for want of pages.
 *
 * Where all that run fit, which is the rule, each that has one token to run runs it, and the order
 * is that of the others, for the rows that are left: prompts are computed beside speech.
 *
 * Parts of a text behind the one that is heard are `later`: behind all else of their priority, and
 * where turns are long they stand back while a listener has little ahead (docs/decisions/0015).
 *
 * Nobody starves. A started job that idled max_idle_steps goes first, so of n started jobs each
 * runs at least every max_idle_steps + n steps while it has its pages. And one job at a time, the
 * elder, is above every rule: the one that came first of those which wait and were added more than
 * patience_steps ago; it keeps the rank until it has no more to compute. So a job behind n older
 * ones starts at most patience_steps + (n + 1) * (steps of the longest job) steps after it came.
 *
 * Pages. The scheduler holds every job's page table. Jobs whose prompts begin alike share the full
 * pages of that beginning, from the step on in which the first of them computes it; what stays of
 * them when nobody needs them is found again until the pages are wanted. One thread. */
#ifndef MILL_ENGINE_SCHEDULER_H
#define MILL_ENGINE_SCHEDULER_H

#include "runtime/engine/kv_pages.h"

#include <stddef.h>

enum { MILL_SCHEDULER_MAX_PRIORITY = 2 }; /* priorities are cut to -2 .. 2 */

struct mill_scheduler_options {
    int32_t max_jobs;         /* waiting, running and not wholly voiced ones together */
    int32_t max_running;      /* jobs that hold pages, at most */
    int32_t max_sequences;    /* of a step; at most max_running is ever needed */
    int32_t max_rows;         /* of a step */
    int32_t max_prefill_rows; /* of a step, behind the first row of each sequence; 1 or more. A
                                 long prompt then never stops the others' speech for long. */
    int32_t n_pages, page_tokens, max_pages; /* as in mill_qwen2_options */
    int32_t max_windows;                     /* of a vocoder batch */
    int32_t max_batch_frames;                /* of a vocoder batch, all windows together */
    int32_t max_window;                      /* frames of one window */
    int32_t max_streams; /* utterances whose state the vocoder carries at once */
    int32_t lookahead;   /* frames known behind a window that make it exact: mill_bicodec_context */
    int32_t max_idle_steps, patience_steps; /* see above */
    double urgent_s;                        /* a deadline that near counts */
    double frame_s;                         /* seconds of audio of a frame */
    bool audit; /* check all books in every plan_step; takes time, no memory */
};

struct mill_scheduler;

/* Bytes that init wants, 64-byte aligned; 0 where the options cannot be. */
size_t mill_scheduler_bytes(const struct mill_scheduler_options *options);
/* `pool` (n_pages pages, nobody else's) and `memory` are borrowed; the scheduler lives at its
 * beginning and is over when they are freed. MILL_E_INPUT where the options cannot be. */
mill_status mill_scheduler_init(struct mill_scheduler **out,
                                const struct mill_scheduler_options *options,
                                struct mill_kv_pool *pool, void *memory, struct mill_error *err);

/* ------------------------------------------------------------------ jobs */

struct mill_job {
    int32_t n_ids;           /* tokens known from the start: the prompt and what is forced */
    int32_t max_ids;         /* tokens it may come to hold */
    int32_t estimate_frames; /* audio that it is expected to make, for fair shares; 1 or more */
    int32_t first_window;    /* frames that are enough for a window, always; 0 = max_window */
    bool streamed;           /* voiced while it speaks; otherwise after its last token */
    bool later;              /* streamed, and its listener hears others first: see listen below */
    int32_t lookahead;       /* frames that must be known behind a window while it speaks */
    int32_t first_frame;     /* frames before it were delivered already, by another replica */
    int32_t priority;
    uint64_t fair_key;
    double deadline_s; /* on the clock of now_s; 0 = none */
    /* Its first n_prompt tokens, or NULL = nothing to share. Borrowed while the job is here. */
    const int32_t *prompt;
    int32_t n_prompt;
};

/* The job waits from now on. MILL_AGAIN when all slots are taken; MILL_E_INPUT when it could never
 * run: more tokens than a sequence may hold or than there are pages. */
mill_status mill_scheduler_add(struct mill_scheduler *scheduler, const struct mill_job *job,
                               int32_t *slot, struct mill_error *err);
/* Finished or cancelled, whatever it was doing: its pages and slot are free. What was planned for
 * it is carried out all the same, since others may share those pages, and is wanted no longer. */
void mill_scheduler_remove(struct mill_scheduler *scheduler, int32_t slot);
/* A held job (its reader is slow) keeps its place and pages but does not run and is not voiced. */
void mill_scheduler_hold(struct mill_scheduler *scheduler, int32_t slot, bool held);
/* Its listener has come to it: it is `later` no longer. */
void mill_scheduler_listen(struct mill_scheduler *scheduler, int32_t slot, double now_s);
/* Begin again from n_ids known tokens, with nothing voiced: a redraw. It waits in its old place. */
void mill_scheduler_restart(struct mill_scheduler *scheduler, int32_t slot, int32_t n_ids);

/* About how long things take; turn_s 0 = not known. Where somebody listens, prompts then take as
 * many rows of a step as leave it short enough, and windows are as small as lets players go on. */
struct mill_scheduler_costs {
    double turn_s, row_s;   /* a turn and its sound, without prompts; each row of these more */
    double call_s, voice_s; /* from windows' plan to their sound; each frame of one's own more */
};
void mill_scheduler_set_costs(struct mill_scheduler *s, const struct mill_scheduler_costs *costs);

/* ------------------------------------------------------------------ the language model's step */

struct mill_plan_sequence {
    int32_t slot;
    uint32_t attempt; /* see mill_scheduler_wants_draw */
    int32_t n_rows;   /* the job's tokens from n_cached on: in its pages from now on */
    int32_t n_cached;
    bool draws; /* these were all its known tokens: a token is wanted after the last */
};

/* Arrays are the scheduler's, valid until the next plan_step. The three in the middle are as
 * mill_qwen2_step wants them, pages until a job is removed or restarted. */
struct mill_step_plan {
    int32_t n_sequences, n_rows, n_draws; /* n_sequences 0 = nothing to compute */
    bool apart; /* as mill_qwen2_step wants it: all are past their prompts, which alone is shared */
    const struct mill_plan_sequence *sequences;
    const int32_t *row_first;    /* [n_sequences + 1] */
    const int32_t *n_cached;     /* [n_sequences] */
    const int32_t *const *pages; /* [n_sequences]: those of its tokens, in order */
    /* Jobs whose deadline has passed; they are removed already. */
    const int32_t *expired;
    int32_t n_expired;
};

/* MILL_E_DEVICE when an audit found the books wrong; otherwise MILL_OK. */
mill_status mill_scheduler_plan_step(struct mill_scheduler *scheduler, double now_s,
                                     struct mill_step_plan *plan, struct mill_error *err);

/* The next plan is made before the draw of this sequence is known: the job will know n_ids tokens,
 * the drawn one and what is forced behind it included; or as many as now, if it ends for sure. */
void mill_scheduler_expect(struct mill_scheduler *scheduler, const struct mill_plan_sequence *sent,
                           int32_t n_ids);
/* Whether its draw still matters: not when its job was removed or restarted since, or had ended. */
bool mill_scheduler_wants_draw(const struct mill_scheduler *scheduler,
                               const struct mill_plan_sequence *sequence);
/* What a wanted draw gave. Now the job knows n_ids tokens (the drawn one and what is forced behind
 * it included) and n_frames frames; `ended`: it will know no more, and what the caller wanted to
 * judge is judged; then its pages are free. True when nothing is left to be voiced: remove it. */
bool mill_scheduler_accept(struct mill_scheduler *scheduler, const struct mill_plan_sequence *done,
                           int32_t n_ids, int32_t n_frames, bool ended);

/* ------------------------------------------------------------------ the vocoder's batch */

struct mill_plan_window {
    int32_t slot;
    uint32_t attempt;   /* see mill_scheduler_wants_window */
    int32_t first, end; /* frames that become sound; `first` is where the last window ended */
    int32_t stream;     /* of the vocoder, 0 .. max_streams - 1 */
    bool fresh;         /* the stream is to be started at `first` before: it was another's */
    bool last;          /* `end` is the end of the utterance */
};
/* Streams are lent as pages are: when they run out, the one that was silent longest is taken from
 * an exact job, and begins afresh with that job's next window; or else from a job that is held and
 * not exact, whose windows then begin at its first frame again. */
struct mill_window_plan {
    int32_t n_windows, n_frames;
    const struct mill_plan_window *windows; /* the scheduler's, valid until the next plan_windows */
};
void mill_scheduler_plan_windows(struct mill_scheduler *scheduler, double now_s,
                                 struct mill_window_plan *plan);
/* As mill_scheduler_wants_draw: not when its job was removed or restarted since. */
bool mill_scheduler_wants_window(const struct mill_scheduler *scheduler,
                                 const struct mill_plan_window *window);
/* A wanted window of the plan was delivered at now_s, before windows are planned again; the caller
 * may have set an earlier `end`. True when it was the utterance's last: remove it. */
bool mill_scheduler_voiced(struct mill_scheduler *scheduler, const struct mill_plan_window *window,
                           double now_s);

/* ------------------------------------------------------------------ what is watched */

struct mill_scheduler_counts {
    int32_t n_waiting, n_running, n_voicing; /* now; voicing: no more tokens, not all sound yet */
    int32_t n_free_pages;
    uint64_t n_steps, n_preemptions, n_shared_pages; /* since init */
};
void mill_scheduler_get_counts(const struct mill_scheduler *scheduler,
                               struct mill_scheduler_counts *counts);
/* Times that the job had to put its pages back. */
int32_t mill_scheduler_n_preemptions(const struct mill_scheduler *scheduler, int32_t slot);

/* Whether pages, tables, lists and counts agree. MILL_E_DEVICE with what is wrong. */
mill_status mill_scheduler_audit(struct mill_scheduler *scheduler, struct mill_error *err);

#endif
