/* batch_results.h - the folder that `sparkmill batch` fills, and what it knows of itself.
 *
 *   DIR/ch01-007.wav     one sound file for each item, whole or not there
 *   DIR/results.jsonl    one line for each item that ended, appended when its file is on the disk
 *   DIR/.unfinished/     files under way; emptied at each start
 *   DIR/.unfinished/ch01-007.part/     segments of a long item under way (passage/kept.h)
 *
 * A line is written after the file that it speaks of is durable, and is durable itself before the
 * item counts as done, so a process that is killed, or a machine that goes off, loses what was
 * under way and nothing else; of a long item the segments that were. A folder without results is
 * only taken where no file of the items' names is in it: such a one is not ours. A line that was
 * cut off is dropped at the next start. One process at a time may have the folder. */
#ifndef MILL_TOOLS_BATCH_RESULTS_H
#define MILL_TOOLS_BATCH_RESULTS_H

#include "runtime/audio/writer.h"
#include "tools/batch_input.h"

#define MILL_BATCH_RESULTS_NAME "results.jsonl"
struct mill_batch_results;

/* Opens the folder, which is made where it is not there, and marks the items that are done: their
 * last line says so with the same key, and the file is there and has the hash of that line. */
mill_status mill_batch_results_open(struct mill_batch_results **out, const char *folder,
                                    enum mill_audio_format format, struct mill_batch_input *input,
                                    struct mill_error *err);
void mill_batch_results_close(struct mill_batch_results *results);

/* The folder in which an item under way keeps its segments, in new memory; NULL when that is short.
 */
char *mill_batch_results_kept(const struct mill_batch_results *results,
                              const struct mill_batch_item *item);
/* A file under way for the item's sound. */
mill_status mill_batch_results_begin(struct mill_batch_results *results,
                                     const struct mill_batch_item *item, int32_t sample_rate,
                                     struct mill_audio_writer **out, struct mill_error *err);
/* All of it was written: the item's file and its line. */
mill_status mill_batch_results_store(struct mill_batch_results *results,
                                     const struct mill_batch_item *item,
                                     struct mill_audio_writer *writer, int32_t sample_rate,
                                     const struct mill_request_result *result,
                                     struct mill_error *err);
/* The line of an item that failed; it is tried again at the next start. */
mill_status mill_batch_results_note_failure(struct mill_batch_results *results,
                                            const struct mill_batch_item *item,
                                            const struct mill_request_result *result,
                                            struct mill_error *err);

#endif
