/* file.h - files as whole things: mapped for reading, or written so that a crash leaves the old one
 * or the new one.
 *
 * A mapping is read-only and owned by its struct. An output is written under a temporary name in
 * the same folder; commit = flush, fsync, rename, fsync of the folder; closing it without commit
 * removes the temporary file. A file that is replaced leaves its access bits to the new one; a
 * symbolic link stays, its target is replaced. Where a folder, device, pipe or socket stands,
 * opening fails: the rename would put a file in its place. */
#ifndef MILL_BASE_FILE_H
#define MILL_BASE_FILE_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mill_mapping {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;         /* bytes */
};

/* Map a regular file. Messages name the path. */
mill_status mill_mapping_open(struct mill_mapping *mapping, const char *path,
                              struct mill_error *err);
void mill_mapping_close(struct mill_mapping *mapping);

/* Tell the kernel that these bytes were read and need not stay in this process's memory. */
void mill_mapping_forget(const struct mill_mapping *mapping, size_t offset, size_t size);

/* Whole content of a small file (at most `maximum` bytes) behind what `out` holds; `path` "-" is
 * standard input. */
mill_status mill_file_read(const char *path, struct mill_buffer *out, struct mill_error *err);

struct mill_output {
    int fd;               /* open for writing and reading; -1 when closed */
    char *path;           /* owned: the final name */
    char *temporary_path; /* owned: what fd writes to */
};

mill_status mill_output_open(struct mill_output *output, const char *path, struct mill_error *err);
mill_status mill_output_write(struct mill_output *output, const void *data, size_t size,
                              struct mill_error *err);
/* At an absolute offset, behind the present end too (the gap reads as zeros). */
mill_status mill_output_write_at(struct mill_output *output, uint64_t offset, const void *data,
                                 size_t size, struct mill_error *err);
/* Make the file visible under its final name, durably. The output is closed whatever the result. */
mill_status mill_output_commit(struct mill_output *output, struct mill_error *err);
/* Remove what was not committed; harmless after commit and on a zeroed struct with fd -1. */
void mill_output_close(struct mill_output *output);

/* Removes what processes that were killed left of outputs of that path; not what is being written.
 */
void mill_output_sweep(const char *path);
void mill_output_sweep_folder(const char *folder); /* of all outputs in it */
/* Whether a file in a folder is what an output writes whose name is to be the first n bytes of
 * `name`. */
bool mill_output_is_temporary(const char *name, size_t n);

/* A small file, whole, by way of an output: durably; or without waiting for the disk, so that only
 * a power cut can lose or damage it, for what is checked when it is read and can be made again. */
mill_status mill_file_publish(const char *path, const void *data, size_t size,
                              struct mill_error *err);
mill_status mill_file_write(const char *path, const void *data, size_t size,
                            struct mill_error *err);

/* All of it, however many writes that takes; 0, or an errno. */
int mill_write_all(int fd, const void *data, size_t size);
/* What it means that opening a file failed with this errno: MILL_E_NOT_FOUND; MILL_E_MEMORY when
 * the process is short of descriptors or memory, and the file may be good; else MILL_E_IO. */
mill_status mill_open_failure(int cause);
/* What it means that writing failed with this errno: MILL_E_FULL when there is no space, else
 * MILL_E_IO. */
mill_status mill_write_failure(int cause);

/* flock, waiting through signals until nobody else has the lock: 0, or an errno. */
int mill_lock_wait(int fd, int operation);
/* Does not wait: MILL_E_IO when another process has the lock of what is open from `path`. */
mill_status mill_lock_try(int fd, const char *path, struct mill_error *err);
/* Waits for a lock that is a file of its own, made with `mode` where it is not there. Closing *lock
 * gives it back, also when the process ends. */
mill_status mill_lock_take(int *lock, const char *path, unsigned mode, struct mill_error *err);

/* Whether two paths lead to one file, which is there or would be made there. */
bool mill_file_same(const char *a, const char *b);
/* "<folder of the running program>/<name>" into `path`, of `size` bytes; false where the folder
 * cannot be told, or there is no room. */
bool mill_path_beside_program(char *path, size_t size, const char *name);
/* "folder/name" in new memory; NULL when memory is short. */
char *mill_path_join(const char *folder, const char *name);
/* Make a folder and its parents; existing ones are fine. */
mill_status mill_folder_make(const char *path, struct mill_error *err);

#endif
