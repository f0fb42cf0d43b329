/* bench_serve.c - `sparkmill bench serve`: loads on a server, ours or another one's, over HTTP. */
#include "bench/server_target.h"
#include "runtime/base/file.h"
#include "tools/bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { KEY_BYTES = 4096 };

/* The first line of the file, or of the variable that OpenAI's programs look at; empty = no key. */
static mill_status read_key(struct mill_buffer *key, const char *path, struct mill_error *err) {
    const char *variable = getenv("OPENAI_API_KEY");
    mill_buffer_init(key, KEY_BYTES);
    if (path)
        MILL_TRY(mill_file_read(path, key, err));
    else if (variable)
        MILL_TRY(mill_buffer_append(key, variable, strlen(variable), err));
    MILL_TRY(mill_buffer_append(key, "", 1, err));
    key->data[strcspn(key->data, "\r\n")] = '\0';
    return MILL_OK;
}

/* Each request under way is a connection, and a server that falls behind has many. */
static void allow_connections(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static mill_status run(const struct mill_bench_options *o,
                       const struct bench_server_options *server,
                       const struct bench_passages *passages, struct mill_error *err) {
    struct bench_server *opened;
    struct bench_result result = {.kind = "serve"};
    bench_machine_describe(&result.machine);
    MILL_TRY(bench_server_open(&opened, server, err));
    const struct bench_target target = bench_server_target_of(opened);
    snprintf(result.settings, sizeof result.settings,
             "url=%.200s model=%.100s voice=%.100s fields=%.300s sample_rate=%d text=%.200s "
             "deadline=%g seed=%lld",
             server->url, server->model, server->voice, server->fields ? server->fields : "none",
             target.sample_rate, o->text ? o->text : "built in", o->deadline_s, o->seed);
    mill_status status = mill_bench_run_points(o, &target, passages, NULL, NULL, &result, err);
    bench_server_close(opened);
    return status;
}

mill_status mill_bench_serve(const struct mill_bench_options *o, struct mill_error *err) {
    struct bench_passages passages;
    struct mill_buffer key;
    if (!o->url)
        return mill_fail(err, MILL_E_INPUT, "which server? --url http://127.0.0.1:8000");
    signal(SIGPIPE, SIG_IGN);
    allow_connections();
    mill_status status = read_key(&key, o->key_file, err);
    if (status == MILL_OK)
        status = bench_passages_open(&passages, o->text, err);
    if (status == MILL_OK) {
        const struct bench_server_options server = {.url = o->url,
                                                    .model = o->model ? o->model : "tts-1",
                                                    .voice = o->voice ? o->voice : "alloy",
                                                    .key = key.data[0] ? key.data : NULL,
                                                    .fields = o->fields,
                                                    .sample_rate = (int32_t)o->sample_rate};
        status = run(o, &server, &passages, err);
        bench_passages_close(&passages);
    }
    mill_buffer_deinit(&key);
    return status;
}
