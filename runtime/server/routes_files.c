/* routes_files.c - /v1/files: OpenAI's files, for batches. What is looked at is answered at once,
 * on the HTTP thread; changes wait for the disk, on the jobs' worker. */
#include "runtime/audio/format.h"
#include "runtime/base/utf8.h"
#include "runtime/server/routes_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { USUAL_LIMIT = 1000, MAX_LIMIT = 10000, SERVED = 1000, RESULT_BYTES = 1 << 20 };

/* ------------------------------------------------------------------ for batches too */

bool mill_jobs_ready(struct mill_call *call) {
    struct mill_server *server = mill_call_server(call);
    struct mill_problem problem;
    if (server->jobs)
        return true;
    mill_problem_set(&problem, 501, "not_supported", NULL, "%s", server->no_jobs);
    mill_call_refuse(call, &problem);
    return false;
}

void mill_jobs_refuse(struct mill_call *call, mill_status status, const struct mill_error *err) {
    struct mill_problem problem;
    mill_jobs_explain(mill_call_server(call), status, err, &problem);
    mill_call_refuse(call, &problem);
}

void mill_jobs_explain(struct mill_server *server, mill_status status, const struct mill_error *err,
                       struct mill_problem *problem) {
    mill_problem_of_status(problem, status, err);
    if (problem->status >= 500)
        mill_log_event(server->log, "event=failure part=jobs error=\"%s\"", err->text);
}

bool mill_jobs_read_page(struct mill_call *call, int usual, int most, struct mill_job_page *out) {
    const char *after = mill_call_query(call, "after");
    struct mill_problem problem = {0};
    *out = (struct mill_job_page){.owner = mill_client_name(mill_call_client(call)),
                                  .after = after ? after : "",
                                  .filter = "",
                                  .oldest_first = mill_call_read_order(call, &problem),
                                  .limit = mill_call_read_limit(call, usual, most, &problem)};
    if (problem.status)
        mill_call_refuse(call, &problem);
    return !problem.status;
}

void mill_jobs_refuse_page(struct mill_call *call, mill_status status,
                           const struct mill_error *err) {
    struct mill_problem problem;
    if (status != MILL_E_NOT_FOUND) {
        mill_jobs_refuse(call, status, err);
        return;
    }
    mill_problem_set(&problem, 400, "invalid_value", "after", "%s", err->text);
    mill_call_refuse(call, &problem);
}

struct mill_file_task *mill_jobs_new_task(struct mill_call *call,
                                          void (*run)(struct mill_file_task *task)) {
    struct mill_file_task *task = mill_jobs_ready(call) ? mill_file_task_new(call, run) : NULL;
    if (!task)
        return NULL;
    const char *owner = mill_client_name(mill_call_client(call));
    task->worker = task->server->jobs_worker;
    snprintf(task->file.owner, sizeof task->file.owner, "%s", owner);
    snprintf(task->batch.owner, sizeof task->batch.owner, "%s", owner);
    return task;
}

/* ------------------------------------------------------------------ looking */

static json_t *describe(const struct mill_server *server, const struct mill_job_file *file) {
    int64_t expires_s = mill_job_store_get_expiry(server->jobs, file);
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:s, s:s, s:s}", "id", file->id, "object", "file",
                     "bytes", (json_int_t)file->bytes, "created_at", (json_int_t)file->created_s,
                     "expires_at", expires_s ? json_integer((json_int_t)expires_s) : json_null(),
                     "filename", file->name, "purpose", mill_job_purpose_text(file->purpose),
                     "status", "processed");
}

/* False with the call refused when the client has no such file. */
static bool find_file(struct mill_call *call, struct mill_job_file *out) {
    struct mill_error err = {""};
    if (!mill_jobs_ready(call))
        return false;
    mill_status status = mill_job_store_get_file(mill_call_server(call)->jobs,
                                                 mill_client_name(mill_call_client(call)),
                                                 mill_call_param(call), out, &err);
    if (status < 0)
        mill_jobs_refuse(call, status, &err);
    return status == MILL_OK;
}

void mill_route_file(struct mill_call *call) {
    struct mill_job_file file;
    if (find_file(call, &file))
        mill_call_reply_json(call, 200, describe(mill_call_server(call), &file));
}

void mill_route_files(struct mill_call *call) {
    struct mill_job_page page;
    struct mill_job_file *files;
    struct mill_error err = {""};
    const char *purpose = mill_call_query(call, "purpose");
    size_t n;
    bool more;
    if (!mill_jobs_ready(call) || !mill_jobs_read_page(call, USUAL_LIMIT, MAX_LIMIT, &page))
        return;
    page.filter = purpose ? purpose : "";
    page.limit = page.limit < SERVED ? page.limit : SERVED;
    mill_status status =
        mill_job_store_list_files(mill_call_server(call)->jobs, &page, &files, &n, &more, &err);
    if (status < 0) {
        mill_jobs_refuse_page(call, status, &err);
        return;
    }
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, describe(mill_call_server(call), &files[i]));
    mill_call_reply_json(call, 200, mill_call_list(data, more));
    free(files);
}

/* ------------------------------------------------------------------ content */

/* A file on its way out: bytes of the disk, or lines of results, which are made as they are read.
 * Reading a few pages of a local file may stop an HTTP thread for as long as the disk takes. */
struct content {
    struct mill_call *call;
    struct mill_server *server;
    struct mill_job_file file;
    int fd;     /* -1 = results */
    int64_t at; /* line that was read last */
    struct mill_buffer lines;
    size_t n_read; /* of lines */
};

static ssize_t read_lines(struct content *c, char *bytes, size_t capacity) {
    struct mill_error err = {""};
    if (c->n_read == c->lines.size) {
        c->lines.size = c->n_read = 0;
        if (mill_job_store_read_results(c->server->jobs, &c->file, &c->at, &c->lines, &err) < 0) {
            mill_log_event(c->server->log, "event=failure part=jobs error=\"%s\"", err.text);
            return MILL_CALL_BREAK;
        }
    }
    size_t n = c->lines.size - c->n_read;
    n = n < capacity ? n : capacity;
    if (n == 0)
        return MILL_CALL_END;
    memcpy(bytes, c->lines.data + c->n_read, n);
    c->n_read += n;
    return (ssize_t)n;
}

static ssize_t read_content(void *job, char *bytes, size_t capacity) {
    struct content *c = job;
    ssize_t n;
    if (c->fd < 0) {
        n = read_lines(c, bytes, capacity);
    } else {
        do
            n = read(c->fd, bytes, capacity);
        while (n < 0 && errno == EINTR);
        n = n == 0 ? MILL_CALL_END : n < 0 ? MILL_CALL_BREAK : n;
    }
    if (n > 0) /* its client may take as long for it as the least rate allows */
        mill_call_count_audio(c->call, (double)n / (double)c->server->options->min_body_rate);
    return n;
}

static void begin_content(struct mill_call *call, void *job) {
    const struct content *c = job;
    enum mill_audio_format format;
    bool grows = c->file.purpose == MILL_JOB_RESULTS && c->file.ages_from_s == 0;
    mill_call_stream(call, 200,
                     c->file.purpose != MILL_JOB_SOUND ? "application/jsonl"
                     : mill_audio_format_of_path(c->file.name, &format)
                         ? mill_audio_format_media_type(format)
                         : "application/octet-stream",
                     grows ? -1 : c->file.bytes);
}

static void gone(void *job) {
    (void)job; /* the next read is not asked for */
}

static void free_content(void *job) {
    struct content *c = job;
    if (c->fd >= 0)
        close(c->fd);
    mill_buffer_deinit(&c->lines);
    free(c);
}

static const struct mill_call_job kind = {
    .woken = begin_content, .read = read_content, .gone = gone, .free = free_content};

void mill_route_file_content(struct mill_call *call) {
    struct mill_error err = {""};
    struct mill_job_file file;
    int fd = -1;
    if (!find_file(call, &file))
        return;
    mill_status status =
        file.purpose == MILL_JOB_RESULTS
            ? MILL_OK
            : mill_job_store_open_file(mill_call_server(call)->jobs, &file, &fd, &err);
    struct content *c = status == MILL_OK ? mill_alloc_array(1, sizeof *c) : NULL;
    if (!c) {
        if (fd >= 0)
            close(fd);
        mill_jobs_refuse(call, status < 0 ? status : MILL_E_MEMORY, &err);
        return;
    }
    *c = (struct content){.call = call, .server = mill_call_server(call), .file = file, .fd = fd};
    mill_buffer_init(&c->lines, RESULT_BYTES);
    mill_call_wait(call, &kind, c);
    begin_content(call, c);
}

/* ------------------------------------------------------------------ changing */

static void remove_file(struct mill_file_task *task) {
    struct mill_error err = {""};
    mill_status status =
        mill_job_store_remove_file(task->server->jobs, task->file.owner, task->subject, &err);
    if (status == MILL_E_INPUT)
        mill_problem_set(&task->problem, 409, "file_in_use", NULL, "%s", err.text);
    else if (status < 0)
        mill_jobs_explain(task->server, status, &err, &task->problem);
    else
        task->reply =
            json_pack("{s:s, s:s, s:b}", "id", task->subject, "object", "file", "deleted", 1);
}

void mill_route_delete_file(struct mill_call *call) {
    mill_file_task_submit(call, mill_jobs_new_task(call, remove_file));
}

/* The last part of a path, as far as it is plain text. */
static void take_name(const struct mill_form_field *field, char out[MILL_JOB_NAME_BYTES]) {
    const char *name = field->file_name ? field->file_name : "";
    size_t n = field->file_name ? field->file_name_size : 0;
    for (size_t i = n; i > 0; i--)
        if (name[i - 1] == '/' || name[i - 1] == '\\') {
            name += i;
            n -= i;
            break;
        }
    if (n == 0 || n >= MILL_JOB_NAME_BYTES || !mill_utf8_is_printable(name, n)) {
        name = "batch.jsonl";
        n = strlen(name);
    }
    memcpy(out, name, n);
    out[n] = '\0';
}

bool mill_jobs_check_lifetime(const char *field, const char *anchor, int64_t seconds,
                              struct mill_problem *problem) {
    enum { LEAST_S = 3600, MOST_S = 2592000 };
    if (anchor && strcmp(anchor, "created_at") == 0 && seconds >= LEAST_S && seconds <= MOST_S)
        return true;
    mill_problem_set(problem, 400, "invalid_value", field,
                     "%s: anchor \"created_at\" and seconds, %d to %d, are wanted", field, LEAST_S,
                     MOST_S);
    return false;
}

/* A field's text, empty where there is none or where it is too long for what it could be. */
static void copy_short(const struct mill_form_field *field, char out[16]) {
    size_t n = field && field->size < 16 ? field->size : 0;
    memcpy(out, n ? field->data : "", n);
    out[n] = '\0';
}

/* How many fields it has, if they are good. */
static size_t read_lifetime(struct mill_file_task *task) {
    char anchor[16], seconds[16], *end;
    const struct mill_form_field *from = mill_form_find(&task->form, "expires_after[anchor]");
    const struct mill_form_field *time_s = mill_form_find(&task->form, "expires_after[seconds]");
    if (!from && !time_s)
        return 0;
    copy_short(from, anchor);
    copy_short(time_s, seconds);
    long long lifetime_s = strtoll(seconds, &end, 10);
    if (mill_jobs_check_lifetime("expires_after", anchor, *end ? 0 : lifetime_s, &task->problem))
        task->file.expires_s = (int64_t)time(NULL) + lifetime_s;
    return 2;
}

static bool check_form(struct mill_file_task *task, const struct mill_form_field **data) {
    size_t n_more = read_lifetime(task);
    const struct mill_form_field *purpose = mill_form_find(&task->form, "purpose");
    *data = mill_form_find(&task->form, "file");
    if (task->problem.status)
        return false;
    if (!*data)
        mill_problem_set(&task->problem, 400, "missing_required_parameter", "file",
                         "file: is wanted");
    else if (!purpose)
        mill_problem_set(&task->problem, 400, "missing_required_parameter", "purpose",
                         "purpose: is wanted");
    else if (purpose->size != 5 || memcmp(purpose->data, "batch", 5) != 0)
        mill_problem_set(&task->problem, 400, "invalid_value", "purpose",
                         "purpose: \"batch\" is wanted");
    else if (task->form.n_fields != 2 + n_more)
        mill_problem_set(&task->problem, 400, "unknown_parameter", NULL,
                         "there are file, purpose, expires_after[anchor] and "
                         "expires_after[seconds]");
    else if ((*data)->size == 0)
        mill_problem_set(&task->problem, 400, "invalid_value", "file", "file: it is empty");
    return task->problem.status == 0;
}

static void add_file(struct mill_file_task *task) {
    struct mill_error err = {""};
    const struct mill_form_field *data;
    mill_status status =
        mill_form_read(&task->form, task->type, task->body.data, task->body.size, &err);
    if (status < 0) {
        mill_problem_of_status(&task->problem, status, &err);
        return;
    }
    if (!check_form(task, &data))
        return;
    take_name(data, task->file.name);
    status = mill_job_store_add_file(task->server->jobs, &task->file, data->data, data->size,
                                     (int64_t)time(NULL), &err);
    if (status < 0)
        mill_jobs_explain(task->server, status, &err, &task->problem);
    else
        task->reply = describe(task->server, &task->file);
}

void mill_route_create_file(struct mill_call *call) {
    struct mill_file_task *task = mill_jobs_new_task(call, add_file);
    const char *type = mill_call_header(call, "Content-Type");
    if (!task)
        return;
    mill_call_take_body(call, &task->body);
    snprintf(task->type, sizeof task->type, "%s", type ? type : "");
    mill_file_task_submit(call, task);
}
