/* speak.c - the shortest whole program on libsparkmill: a text from the command line becomes raw
 * 16-bit samples on standard output, while they are made.
 *
 *     cc speak.c $(pkg-config --cflags --libs sparkmill) -o speak
 *     ./speak MODEL "Good morning." | aplay -f S16_LE -r 16000
 */
#include <runtime/engine/engine.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, mill_status status, const struct mill_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->text[0] ? err->text : mill_status_text(status));
    return 1;
}

/* Samples as they come; MILL_DONE at the end. */
static mill_status play(struct mill_request *request, struct mill_error *err) {
    float samples[4096];
    size_t n;
    mill_status status;
    while ((status = mill_request_read(request, samples, 4096, -1, &n, err)) == MILL_OK)
        for (size_t i = 0; i < n; i++) {
            short sample = (short)(32767 * samples[i]);
            fwrite(&sample, sizeof sample, 1, stdout);
        }
    return status;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "Usage: speak MODEL TEXT\n");
        return 2;
    }
    struct mill_error err = {""};
    struct mill_engine *engine;
    struct mill_engine_options options = {.model = argv[1]};
    mill_status status = mill_engine_open(&engine, &options, &err);
    if (status < 0)
        return fail("open", status, &err);

    struct mill_engine_request wish;
    mill_engine_request_init(&wish);
    wish.text = argv[2];
    wish.text_bytes = strlen(argv[2]);
    wish.stream = true;
    wish.seed = 7;
    wish.max_frames = 100; /* two seconds */

    struct mill_request *request = NULL;
    status = mill_engine_start(engine, NULL, &err);
    if (status == MILL_OK)
        status = mill_engine_submit(engine, &wish, &request, NULL, &err);
    if (status == MILL_OK)
        status = play(request, &err);
    if (status == MILL_DONE) {
        struct mill_request_result result;
        mill_request_get_result(request, &result);
        fprintf(stderr, "%d frames, first sound after %.3f s\n", result.n_frames,
                result.first_audio_s);
    }
    mill_request_free(request);
    mill_engine_close(engine);
    return status == MILL_DONE ? 0 : fail("speak", status, &err);
}
