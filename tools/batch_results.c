/* batch_results.c - see batch_results.h. */
#include "tools/batch_results.h"

#include "runtime/base/file.h"
#include "runtime/base/memory.h"
#include "runtime/io/config.h"
#include "runtime/passage/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_ENDING ".part"
enum { MAX_RESULTS_BYTES = 1 << 30, MAX_NAME = 120 };

struct mill_batch_results {
    char *folder, *unfinished; /* owned */
    const char *ending;        /* of sound files */
    enum mill_audio_format format;
    int folder_fd; /* locked */
    int lines_fd;  /* results.jsonl, for appending */
};

static mill_status fail_errno(struct mill_error *err, const char *path) {
    return mill_fail(err, mill_open_failure(errno), "'%s': %s", path, strerror(errno));
}

/* ------------------------------------------------------------------ what is done already */

static int by_id(const void *a, const void *b) {
    const struct mill_batch_item *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

static int id_against(const void *id, const void *item) {
    return strcmp(id, (*(const struct mill_batch_item *const *)item)->id);
}

static void make_name(const struct mill_batch_results *r, const char *id, char name[MAX_NAME]) {
    snprintf(name, MAX_NAME, "%s.%s", id, r->ending);
}

/* Whether a line says that the item as it is now was done, and its file is what it was. */
static bool is_done(const struct mill_batch_results *r, const struct mill_batch_item *item,
                    const json_t *line) {
    const char *key = json_string_value(json_object_get(line, "key"));
    const char *status = json_string_value(json_object_get(line, "status"));
    const char *hash = json_string_value(json_object_get(line, "sha256"));
    if (!key || !status || !hash || strcmp(status, "done") != 0 || strcmp(key, item->key) != 0)
        return false;
    char name[MAX_NAME], found[MILL_SHA256_HEX_BYTES];
    make_name(r, item->id, name);
    char *path = mill_path_join(r->folder, name);
    bool same = path && mill_sha256_file(path, found, NULL) == MILL_OK && strcmp(found, hash) == 0;
    free(path);
    return same;
}

/* The last line of each item counts. Lines of other items stay and mean nothing here. */
static mill_status match_lines(const struct mill_batch_results *r, const struct mill_buffer *text,
                               struct mill_batch_item **sorted, json_t **last, size_t n_items,
                               struct mill_error *err) {
    size_t number = 0;
    for (size_t at = 0; at < text->size; number++) {
        const char *start = text->data + at, *end = memchr(start, '\n', text->size - at);
        size_t size = end ? (size_t)(end - start) : text->size - at;
        at += size + 1;
        json_t *line;
        mill_status status = mill_json_parse(&line, NULL, start, size, err);
        if (status < 0)
            return mill_context(
                err, status,
                "'%s/" MILL_BATCH_RESULTS_NAME
                "': line %zu is not one of results: repair it, or take another folder",
                r->folder, number + 1);
        const char *id = json_string_value(json_object_get(line, "id"));
        struct mill_batch_item **item =
            id && n_items ? bsearch(id, sorted, n_items, sizeof *sorted, id_against) : NULL;
        if (item) {
            json_decref(last[item - sorted]);
            last[item - sorted] = json_incref(line);
        }
        json_decref(line);
    }
    for (size_t i = 0; i < n_items; i++)
        sorted[i]->done = last[i] && is_done(r, sorted[i], last[i]);
    return MILL_OK;
}

static mill_status mark_done(const struct mill_batch_results *r, const struct mill_buffer *text,
                             struct mill_batch_input *input, struct mill_error *err) {
    size_t n = input->n_items;
    struct mill_batch_item **sorted = mill_alloc_array(n, sizeof(struct mill_batch_item *));
    json_t **last = mill_alloc_array(n, sizeof(json_t *));
    mill_status status = MILL_OK;
    if (!sorted || !last) {
        status = mill_fail(err, MILL_E_MEMORY, "no memory for %zu items", n);
    } else {
        for (size_t i = 0; i < n; i++)
            sorted[i] = &input->items[i];
        qsort(sorted, n, sizeof *sorted, by_id);
        status = match_lines(r, text, sorted, last, n, err);
        for (size_t i = 0; i < n; i++)
            json_decref(last[i]);
    }
    free(sorted);
    free(last);
    return status;
}

/* ------------------------------------------------------------------ the folder */

/* Drops a line that was cut off when the last process died. */
static mill_status read_lines(struct mill_batch_results *r, const char *path,
                              struct mill_batch_input *input, struct mill_error *err) {
    struct mill_buffer text;
    mill_buffer_init(&text, MAX_RESULTS_BYTES);
    mill_status status = mill_file_read(path, &text, err);
    if (status == MILL_OK) {
        size_t whole = text.size;
        while (whole > 0 && text.data[whole - 1] != '\n')
            whole--;
        if (whole < text.size && ftruncate(r->lines_fd, (off_t)whole) != 0)
            status = fail_errno(err, path);
        text.size = whole;
    }
    if (status == MILL_OK)
        status = mark_done(r, &text, input, err);
    mill_buffer_deinit(&text);
    return status;
}

/* The folders of segments are looked at later, when it is known what is done. */
static bool is_kept(const char *name) {
    const char *ending = strrchr(name, '.');
    return ending && strcmp(ending, KEPT_ENDING) == 0;
}

static mill_status empty_unfinished(struct mill_batch_results *r, struct mill_error *err) {
    MILL_TRY(mill_folder_make(r->unfinished, err));
    DIR *folder = opendir(r->unfinished);
    if (!folder)
        return fail_errno(err, r->unfinished);
    mill_status status = MILL_OK;
    for (struct dirent *entry; status == MILL_OK && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !is_kept(entry->d_name) && unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            status = mill_fail(err, MILL_E_IO, "'%s/%s': cannot be removed: %s", r->unfinished,
                               entry->d_name, strerror(errno));
    closedir(folder);
    return status;
}

static bool is_to_do(const struct mill_batch_input *input, const char *id, size_t n) {
    for (size_t i = 0; i < input->n_items; i++)
        if (!input->items[i].done && strncmp(input->items[i].id, id, n) == 0 &&
            input->items[i].id[n] == '\0')
            return true;
    return false;
}

/* Segments of items that nobody asks for any longer. There are as many as were under way. */
static mill_status drop_kept(const struct mill_batch_results *r,
                             const struct mill_batch_input *input, struct mill_error *err) {
    DIR *folder = opendir(r->unfinished);
    mill_status status = folder ? MILL_OK : fail_errno(err, r->unfinished);
    for (struct dirent *entry; status == MILL_OK && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        if (!is_kept(name) || is_to_do(input, name, strlen(name) - strlen(KEPT_ENDING)))
            continue;
        struct mill_kept *kept = NULL;
        char *path = mill_path_join(r->unfinished, name);
        status =
            path ? mill_kept_open(&kept, path, err) : mill_fail(err, MILL_E_MEMORY, "no memory");
        if (status == MILL_OK)
            mill_kept_clear(kept);
        mill_kept_close(kept);
        free(path);
    }
    if (folder)
        closedir(folder);
    return status;
}

/* Where no results are yet, a file that is called as an item's is no result: it is not replaced. */
static mill_status check_replaced(const struct mill_batch_results *r,
                                  const struct mill_batch_input *input, struct mill_error *err) {
    char name[MAX_NAME];
    if (faccessat(r->folder_fd, MILL_BATCH_RESULTS_NAME, F_OK, 0) == 0)
        return MILL_OK;
    for (size_t i = 0; i < input->n_items; i++) {
        make_name(r, input->items[i].id, name);
        if (faccessat(r->folder_fd, name, F_OK, 0) == 0)
            return mill_fail(err, MILL_E_INPUT,
                             "'%s/%s' is there without " MILL_BATCH_RESULTS_NAME
                             ", and not replaced: take another folder",
                             r->folder, name);
    }
    return MILL_OK;
}

static mill_status open_folder(struct mill_batch_results *r, struct mill_batch_input *input,
                               struct mill_error *err) {
    MILL_TRY(mill_folder_make(r->folder, err));
    int fd = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, r->folder);
    mill_status status = mill_lock_try(fd, r->folder, err);
    if (status < 0) { /* what is in it is not ours to tidy up */
        close(fd);
        return status;
    }
    r->folder_fd = fd;
    MILL_TRY(check_replaced(r, input, err));
    MILL_TRY(empty_unfinished(r, err));
    char *path = mill_path_join(r->folder, MILL_BATCH_RESULTS_NAME);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    r->lines_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    status = r->lines_fd < 0 ? fail_errno(err, path) : read_lines(r, path, input, err);
    free(path);
    if (status == MILL_OK)
        status = drop_kept(r, input, err);
    if (status == MILL_OK && fsync(r->folder_fd) != 0)
        status = fail_errno(err, r->folder);
    return status;
}

mill_status mill_batch_results_open(struct mill_batch_results **out, const char *folder,
                                    enum mill_audio_format format, struct mill_batch_input *input,
                                    struct mill_error *err) {
    *out = NULL;
    struct mill_batch_results *r = mill_alloc_array(1, sizeof *r);
    if (!r)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    r->folder_fd = r->lines_fd = -1;
    r->format = format;
    r->ending = mill_audio_format_ending(format);
    r->folder = strdup(folder);
    r->unfinished = mill_path_join(folder, ".unfinished");
    mill_status status = r->folder && r->unfinished ? open_folder(r, input, err)
                                                    : mill_fail(err, MILL_E_MEMORY, "no memory");
    if (status < 0)
        mill_batch_results_close(r);
    else
        *out = r;
    return status;
}

void mill_batch_results_close(struct mill_batch_results *r) {
    if (!r)
        return;
    if (r->lines_fd >= 0)
        close(r->lines_fd);
    if (r->folder_fd >= 0) {
        unlinkat(r->folder_fd, ".unfinished", AT_REMOVEDIR); /* empty, unless something failed */
        close(r->folder_fd);
    }
    free(r->folder);
    free(r->unfinished);
    free(r);
}

/* ------------------------------------------------------------------ files and lines */

char *mill_batch_results_kept(const struct mill_batch_results *r,
                              const struct mill_batch_item *item) {
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s" KEPT_ENDING, item->id);
    return mill_path_join(r->unfinished, name);
}

mill_status mill_batch_results_begin(struct mill_batch_results *r,
                                     const struct mill_batch_item *item, int32_t sample_rate,
                                     struct mill_audio_writer **out, struct mill_error *err) {
    const struct mill_audio_encoding encoding = {
        .format = r->format, .sample_rate = sample_rate, .comment = MILL_DISCLOSURE};
    char name[MAX_NAME];
    make_name(r, item->id, name);
    char *path = mill_path_join(r->unfinished, name);
    mill_status status = path ? mill_audio_writer_open(out, path, &encoding, err)
                              : mill_fail(err, MILL_E_MEMORY, "no memory");
    free(path);
    return status;
}

static mill_status append(struct mill_batch_results *r, json_t *line, struct mill_error *err) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(line);
    if (!text)
        return mill_fail(err, MILL_E_MEMORY, "no memory for a line of results");
    size_t size = strlen(text);
    text[size++] = '\n'; /* in place of the terminator: the line goes out in one piece */
    int cause = mill_write_all(r->lines_fd, text, size);
    if (!cause && fdatasync(r->lines_fd) != 0)
        cause = errno;
    free(text);
    return cause ? mill_fail(err, mill_write_failure(cause), "'%s/" MILL_BATCH_RESULTS_NAME "': %s",
                             r->folder, strerror(cause))
                 : MILL_OK;
}

static json_t *make_findings(uint32_t findings) {
    json_t *list = json_array();
    const char *name;
    for (int bit = 0; (name = mill_engine_finding_name(bit)); bit++)
        if (findings & 1u << bit)
            json_array_append_new(list, json_string(name));
    return list;
}

mill_status mill_batch_results_store(struct mill_batch_results *r,
                                     const struct mill_batch_item *item,
                                     struct mill_audio_writer *writer, int32_t sample_rate,
                                     const struct mill_request_result *result,
                                     struct mill_error *err) {
    char name[MAX_NAME], hash[MILL_SHA256_HEX_BYTES];
    make_name(r, item->id, name);
    char *from = mill_path_join(r->unfinished, name), *to = mill_path_join(r->folder, name);
    mill_status status = from && to ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "no memory");
    if (status == MILL_OK)
        status = mill_audio_writer_finish(writer, err);
    if (status == MILL_OK)
        status = mill_sha256_file(from, hash, err);
    if (status == MILL_OK && (rename(from, to) != 0 || fsync(r->folder_fd) != 0))
        status = fail_errno(err, to);
    free(from);
    free(to);
    MILL_TRY(status);
    return append(r,
                  json_pack("{s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:i, s:o, s:i, s:f, s:f}", "id",
                            item->id, "status", "done", "file", name, "seconds",
                            (double)result->n_samples / sample_rate, "end",
                            result->end == MILL_REQUEST_LIMIT ? "limit" : "complete", "key",
                            item->key, "sha256", hash, "redraws", result->n_redraws, "findings",
                            make_findings(result->findings), "retries", result->n_retries,
                            "queued_s", result->queued_s, "total_s", result->total_s),
                  err);
}

mill_status mill_batch_results_note_failure(struct mill_batch_results *r,
                                            const struct mill_batch_item *item,
                                            const struct mill_request_result *result,
                                            struct mill_error *err) {
    return append(r,
                  json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "id", item->id, "status", "failed",
                            "error", result->error.text, "key", item->key, "redraws",
                            result->n_redraws, "findings", make_findings(result->findings)),
                  err);
}
