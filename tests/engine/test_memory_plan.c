/* test_memory_plan.c - what a replica takes of a GPU: the published model on cards of 2 GB and
 * more, planned without its weights (the files are holes behind a true header), and a tiny one on
 * the emulator, where the plan is compared with what was taken. */
#include "runtime/base/buffer.h"
#include "runtime/engine/memory_plan.h"
#include "runtime/model/tensor_table.h"
#include "tests/engine/engine_fixture.h"
#include "tests/model/checkpoint_fixture.h"
#include "tests/support/emulated.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FULL MILL_SCRATCH "/memory-plan-full"

/* Of a card with 14 multiprocessors (GTX 1650, MX450): what CUDA takes by cuda_backend.h, and the
 * backend's scratch. */
#define TAKEN_BYTES ((size_t)(96 + 14 * 3 + 32) << 20)

/* ------------------------------------------------------------------ the published shape */

/* A safetensors file of every tensor of the table, without a byte of them on the disk. */
static void write_hollow(const struct mill_shape *shape, enum mill_tensor_file file) {
    struct mill_tensor_table *table;
    struct mill_buffer header;
    char path[256];
    uint64_t at = 0;
    assert_int_equal(mill_tensor_table_open(&table, shape, file, NULL), MILL_OK);
    mill_buffer_init(&header, 1 << 20);
    for (int32_t i = 0; i < table->n_specs; i++) {
        const struct mill_tensor_spec *spec = &table->specs[i];
        uint64_t bytes = mill_tensor_spec_elements(spec) * sizeof(float);
        mill_buffer_printf(&header, NULL, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "{",
                           spec->name);
        for (int32_t d = 0; d < spec->n_dims; d++)
            mill_buffer_printf(&header, NULL, "%s%" PRId64, d ? "," : "", spec->shape[d]);
        mill_buffer_printf(&header, NULL, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at,
                           at + bytes);
        at += bytes;
    }
    mill_buffer_append(&header, "}", 1, NULL);
    snprintf(path, sizeof path, "%s/%s", FULL, mill_tensor_file_path(file));
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    uint64_t size = header.size;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &size, sizeof size), sizeof size);
    assert_int_equal(write(fd, header.data, header.size), header.size);
    assert_int_equal(ftruncate(fd, (off_t)(sizeof size + size + at)), 0);
    close(fd);
    mill_buffer_deinit(&header);
    mill_tensor_table_close(table);
}

struct published {
    const struct mill_backend_ops *ops;
    struct mill_shape shape;
    struct fixture_tokens tokens;
    struct mill_weights *weights;
};

static void open_published(struct published *p, enum mill_precision precision) {
    struct mill_error err = {""};
    const struct mill_weights_options options = {.precision = precision};
    *p = (struct published){.ops = mill_backend_find("emulator", &err)};
    assert_non_null(p->ops);
    mill_synth_shape(&p->shape, MILL_SYNTH_FULL);
    mkdir(FULL, 0755);
    mkdir(FULL "/LLM", 0755);
    mkdir(FULL "/BiCodec", 0755);
    write_hollow(&p->shape, MILL_FILE_LLM);
    write_hollow(&p->shape, MILL_FILE_BICODEC);
    fixture_tokens_init(&p->tokens, &p->shape, 151645, 160000, 151665, 164500, 165000);
    if (mill_weights_plan(&p->weights, FULL, &p->shape, &p->tokens.tokens, p->ops, &options, &err) <
        0)
        fail_msg("%s", err.text);
}

static void close_published(struct published *p) {
    mill_weights_close(p->weights);
    fixture_tokens_deinit(&p->tokens);
}

static mill_status plan_on(const struct published *p, size_t card_bytes, int32_t max_running,
                           struct mill_memory_plan *plan, struct mill_error *err) {
    const struct mill_memory_wish wish = {.ops = p->ops,
                                          .weights = p->weights,
                                          .weight_bytes = p->weights->image_bytes,
                                          .free_bytes = card_bytes - TAKEN_BYTES,
                                          .limited = true,
                                          .prompt_rows = 512,
                                          .page_tokens = 16,
                                          .max_running = max_running,
                                          .cache_tokens = max_running * 2048,
                                          .max_window = 512,
                                          .max_tokens = 32768};
    mill_status status = mill_memory_plan(plan, &wish, err);
    if (status == MILL_OK)
        printf("%4.1f GB, %d wished: weights %.3f, pages %.3f (%d tokens), work %.3f GB; %d at "
               "once, windows of %d\n",
               1e-9 * (double)card_bytes, max_running, 1e-9 * (double)plan->weight_bytes,
               1e-9 * (double)plan->page_bytes, plan->lm.n_pages * 16,
               1e-9 * (double)plan->work_bytes, plan->lm.max_sequences, plan->streams.max_frames);
    return status;
}

static size_t total_of(const struct mill_memory_plan *plan) {
    return TAKEN_BYTES + plan->weight_bytes + plan->page_bytes + plan->work_bytes;
}

/* bf16 in 1.9 GB and int8 in 1.2 GB, everything included: one utterance of a minute at least. */
static void test_small_cards(void **state) {
    (void)state;
    static const struct {
        enum mill_precision precision;
        size_t bytes;
    } cards[] = {{MILL_PRECISION_BF16, 1900000000}, {MILL_PRECISION_INT8, 1200000000}};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        struct published p;
        struct mill_memory_plan plan;
        struct mill_error err = {""};
        open_published(&p, cards[i].precision);
        if (plan_on(&p, cards[i].bytes, 256, &plan, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(total_of(&plan) <= cards[i].bytes);
        assert_true(plan.lm.n_pages * 16 >= 4096);
        assert_true(plan_on(&p, cards[i].bytes / 3 * 2, 256, &plan, &err) == MILL_E_MEMORY);
        printf("%s\n", err.text);
        assert_non_null(strstr(err.text, "--devices cpu"));
        assert_int_equal(strstr(err.text, "--precision int8") != NULL, i == 0);
        close_published(&p);
    }
}

/* More memory is never used worse, and all that is wished is had in the end. */
static void test_growing_cards(void **state) {
    (void)state;
    struct published p;
    struct mill_memory_plan plan, before = {0};
    open_published(&p, MILL_PRECISION_BF16);
    for (size_t megabytes = 1700; megabytes <= 12000; megabytes += megabytes / 4) {
        size_t bytes = megabytes * 1000000;
        assert_int_equal(plan_on(&p, bytes, 256, &plan, NULL), MILL_OK);
        assert_true(total_of(&plan) <= bytes);
        assert_true(plan.lm.max_sequences >= before.lm.max_sequences);
        assert_true(plan.streams.max_frames >= before.streams.max_frames);
        before = plan;
    }
    assert_int_equal(plan.lm.max_sequences, 256);
    assert_int_equal(plan.lm.n_pages, 256 * 2048 / 16);
    assert_int_equal(plan.streams.max_frames, 512);
    close_published(&p);
}

/* ------------------------------------------------------------------ what is taken */

static mill_status start(size_t limit_bytes, struct mill_engine **engine, struct mill_error *err) {
    const struct mill_engine_hooks hooks = {.memory_limit_bytes = limit_bytes};
    const struct mill_engine_options options = {
        .model = fixture_folder(), .devices = "emulator", .precision = "bf16"};
    assert_int_equal(mill_engine_open_hooked(engine, &options, &hooks, err), MILL_OK);
    return mill_engine_start(*engine, NULL, err);
}

/* What a backend takes for itself. */
static size_t bare_bytes(void) {
    const struct mill_backend_ops *ops = mill_backend_find("emulator", NULL);
    const struct mill_backend_options options = {0};
    struct mill_backend *backend;
    size_t before = emulated()->bytes_in_use();
    assert_int_equal(ops->open(&backend, &options, NULL), MILL_OK);
    size_t bytes = emulated()->bytes_in_use() - before;
    ops->close(backend);
    return bytes;
}

/* The plan is what the emulator's device has lost, beside what backends take for themselves: two
 * where it is no small one. */
static void test_plan_is_true(void **state) {
    (void)state;
    const struct {
        size_t device_bytes, n_backends;
    } cards[] = {{(size_t)6 << 30, 1}, {(size_t)8 << 30, 2}};
    struct emulator_settings settings = emulated()->defaults();
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        struct mill_engine *engine;
        struct mill_error err = {""};
        struct mill_engine_stats stats;
        settings.device_bytes = cards[i].device_bytes;
        emulated()->configure(&settings);
        size_t bare = bare_bytes(), before = emulated()->bytes_in_use();
        if (start(0, &engine, &err) < 0)
            fail_msg("%s", err.text);
        mill_engine_get_stats(engine, &stats);
        const struct mill_replica_stats *replica = &stats.replicas[0];
        size_t planned = replica->weight_bytes + replica->page_bytes + replica->work_bytes;
        size_t taken = emulated()->bytes_in_use() - before - cards[i].n_backends * bare;
        assert_in_range(taken, planned - 16 * 512, planned); /* rounded up for each allocation */
        mill_engine_close(engine);
        assert_int_equal(emulated()->bytes_in_use(), before);
    }
}

/* Below a limit there are fewer places, down to one; then a sentence, and nothing stays behind. */
static void test_limits(void **state) {
    (void)state;
    size_t before = emulated()->bytes_in_use();
    int32_t n_pages = 1 << 30;
    for (size_t megabytes = 900;; megabytes -= 100) {
        struct mill_engine *engine;
        struct mill_error err = {""};
        struct mill_engine_stats stats;
        assert_true(megabytes >= 100);
        mill_status status = start(megabytes * 1000000, &engine, &err);
        mill_engine_get_stats(engine, &stats);
        assert_true(emulated()->bytes_in_use() - before <= megabytes * 1000000);
        mill_engine_close(engine);
        assert_int_equal(emulated()->bytes_in_use(), before);
        if (status < 0) {
            assert_int_equal(status, MILL_E_MEMORY);
            assert_non_null(strstr(err.text, "memory"));
            printf("%zu MB: %s\n", megabytes, err.text);
            break;
        }
        assert_true(stats.replicas[0].n_pages <= n_pages);
        n_pages = stats.replicas[0].n_pages;
    }
    assert_true(n_pages < 256 * 2048 / 16); /* it was cut before it was refused */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_cards),
        cmocka_unit_test(test_growing_cards),
        cmocka_unit_test(test_plan_is_true),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
