/* scheduler_queue.c - who waits, and whose turn it is.
 *
 * Fair shares by start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): every key has a count
 * of frames it was served; the one with the least goes first and is charged its job's estimate at
 * once and the rest when the truth is known. A key that comes back begins at the count of the key
 * whose turn it was last, so that silence saves nothing up. */
#include "runtime/engine/scheduler_state.h"

void mill_queue_init(struct mill_queue *queue, struct mill_arena *arena, int32_t max_jobs) {
    mill_index_heap_init(&queue->arrivals, arena, max_jobs);
    for (int level = 0; level < MILL_N_LEVELS; level++) {
        mill_index_heap_init(&queue->resumed[level], arena, max_jobs);
        mill_index_heap_init(&queue->deadline[level], arena, max_jobs);
        mill_index_heap_init(&queue->fair[level], arena, max_jobs);
    }
    queue->keys = mill_arena_take(arena, (size_t)max_jobs * sizeof *queue->keys);
    queue->n_keys = 0;
    queue->virtual_frames = 0;
}

/* The place for a key not known yet: a new one, or that of the idle key which was served least, as
 * it is the one that has least to be remembered for. No more keys can have jobs than there are
 * jobs. */
static int32_t choose_key(struct mill_scheduler *scheduler) {
    struct mill_queue *queue = &scheduler->queue;
    if (queue->n_keys < scheduler->options.max_jobs)
        return queue->n_keys++;
    int32_t chosen = -1;
    for (int32_t i = 0; i < queue->n_keys; i++)
        if (queue->keys[i].n_jobs == 0 &&
            (chosen < 0 || queue->keys[i].served < queue->keys[chosen].served))
            chosen = i;
    return chosen;
}

int32_t mill_queue_join_key(struct mill_scheduler *scheduler, uint64_t id) {
    struct mill_queue *queue = &scheduler->queue;
    int32_t key = 0;
    while (key < queue->n_keys && queue->keys[key].id != id)
        key++;
    if (key == queue->n_keys) {
        key = choose_key(scheduler);
        queue->keys[key] = (struct mill_fair_key){.id = id};
        for (int level = 0; level < MILL_N_LEVELS; level++)
            queue->keys[key].first[level] = queue->keys[key].last[level] = -1;
    }
    struct mill_fair_key *found = &queue->keys[key];
    if (found->n_jobs++ == 0 && found->served < queue->virtual_frames)
        found->served = queue->virtual_frames;
    return key;
}

void mill_queue_leave_key(struct mill_scheduler *scheduler, int32_t key) {
    scheduler->queue.keys[key].n_jobs--;
}

/* Behind those of its key that came before it; who comes in line again may not be the last. */
static void link_job(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_entry *entries = scheduler->entries, *entry = &entries[slot];
    struct mill_fair_key *key = &scheduler->queue.keys[entry->key];
    int32_t *first = &key->first[entry->level], *last = &key->last[entry->level];
    if (*first < 0)
        mill_index_heap_put(&scheduler->queue.fair[entry->level], entry->key, key->served);
    int32_t before = *last;
    while (before >= 0 && entries[before].arrival > entry->arrival)
        before = entries[before].previous;
    entry->previous = before;
    entry->next = before >= 0 ? entries[before].next : *first;
    *(before >= 0 ? &entries[before].next : first) = slot;
    *(entry->next >= 0 ? &entries[entry->next].previous : last) = slot;
}

static void unlink_job(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_entry *entry = &scheduler->entries[slot];
    struct mill_fair_key *key = &scheduler->queue.keys[entry->key];
    if (entry->previous >= 0)
        scheduler->entries[entry->previous].next = entry->next;
    else
        key->first[entry->level] = entry->next;
    if (entry->next >= 0)
        scheduler->entries[entry->next].previous = entry->previous;
    else
        key->last[entry->level] = entry->previous;
    if (key->first[entry->level] < 0)
        mill_index_heap_remove(&scheduler->queue.fair[entry->level], entry->key);
}

void mill_queue_put(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_queue *queue = &scheduler->queue;
    const struct mill_entry *entry = &scheduler->entries[slot];
    mill_index_heap_put(&queue->arrivals, slot, (double)entry->arrival);
    if (entry->job.deadline_s > 0)
        mill_index_heap_put(&queue->deadline[entry->level], slot, entry->job.deadline_s);
    if (entry->started)
        mill_index_heap_put(&queue->resumed[entry->level], slot, (double)entry->arrival);
    else
        link_job(scheduler, slot);
}

void mill_queue_take(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_queue *queue = &scheduler->queue;
    const struct mill_entry *entry = &scheduler->entries[slot];
    mill_index_heap_remove(&queue->arrivals, slot);
    mill_index_heap_remove(&queue->deadline[entry->level], slot);
    if (entry->started)
        mill_index_heap_remove(&queue->resumed[entry->level], slot);
    else
        unlink_job(scheduler, slot);
}

int32_t mill_queue_best(const struct mill_scheduler *scheduler, double now_s) {
    const struct mill_queue *queue = &scheduler->queue;
    int32_t elder = scheduler->elder;
    if (elder >= 0 && scheduler->entries[elder].state == MILL_JOB_WAITING)
        return elder;
    for (int level = 0; level < MILL_N_LEVELS; level++) {
        if (queue->resumed[level].n > 0)
            return mill_index_heap_first(&queue->resumed[level]);
        int32_t soonest = mill_index_heap_first(&queue->deadline[level]);
        if (soonest >= 0 &&
            scheduler->entries[soonest].job.deadline_s - now_s <= scheduler->options.urgent_s)
            return soonest;
        int32_t key = mill_index_heap_first(&queue->fair[level]);
        if (key >= 0)
            return queue->keys[key].first[level];
    }
    return -1;
}

void mill_queue_charge(struct mill_scheduler *scheduler, int32_t slot, int32_t n_frames) {
    struct mill_queue *queue = &scheduler->queue;
    int32_t index = scheduler->entries[slot].key;
    struct mill_fair_key *key = &queue->keys[index];
    key->served += n_frames;
    for (int level = 0; level < MILL_N_LEVELS; level++)
        if (key->first[level] >= 0)
            mill_index_heap_put(&queue->fair[level], index, key->served);
}

void mill_queue_start(struct mill_scheduler *scheduler, int32_t slot) {
    struct mill_entry *entry = &scheduler->entries[slot];
    if (entry->charged)
        return;
    entry->charged = true;
    struct mill_queue *queue = &scheduler->queue;
    const struct mill_index_heap *fair = &queue->fair[entry->level];
    double served = queue->keys[entry->key].served;
    int32_t first = mill_index_heap_first(fair);
    if (first >= 0 && fair->rank[first] < served)
        served = fair->rank[first]; /* a deadline or its age let it pass others */
    if (served > queue->virtual_frames)
        queue->virtual_frames = served;
    mill_queue_charge(scheduler, slot, entry->job.estimate_frames);
}
