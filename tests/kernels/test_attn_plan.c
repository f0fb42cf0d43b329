/* test_attn_plan.c - how paged attention is cut into blocks: the published shapes by name, and what
 * holds for any shape. That no choice changes a result is for test_operators. */
#include "kernels/cuda/attn_paged.h"
#include "runtime/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The published heads on an H200, with the kernel's appetite for bf16 pages. */
static const struct mill_attn_shape h200 = {.max_pages = 128,
                                            .page_tokens = 16,
                                            .n_heads = 14,
                                            .n_kv_heads = 2,
                                            .head_dim = 64,
                                            .n_processors = 132,
                                            .max_partials = 14563,
                                            .max_arrivals = 1024,
                                            .shared_bytes = 232448,
                                            .shared_of_block = 1024,
                                            .shared_of_octet = 4608,
                                            .shared_of_warp = 20736};

static struct mill_attn_plan plan_of(struct mill_attn_shape shape, int32_t n_sequences,
                                     int32_t n_rows) {
    struct mill_attn_plan plan;
    shape.n_sequences = n_sequences;
    shape.n_rows = n_rows;
    assert_true(mill_cuda_attn_plan(&shape, &plan));
    return plan;
}

/* One row: its keys are spread over the card. */
static void test_one_sequence(void **state) {
    (void)state;
    struct mill_attn_plan plan = plan_of(h200, 1, 1);
    assert_int_equal(plan.tile_rows, 1);
    assert_int_equal(plan.n_tiles, 1);
    assert_int_equal(plan.n_octets, 1);
    assert_int_equal(plan.n_warps, 8);
    assert_int_equal(plan.max_splits, 32);
    assert_int_equal(plan.n_parts, 4); /* 4 x 8 warps for 32 splits */
}

/* Enough rows to fill the card: a block a row and kv head, several of them on a processor. */
static void test_many_sequences(void **state) {
    (void)state;
    struct mill_attn_plan plan = plan_of(h200, 256, 256);
    assert_int_equal(plan.n_tiles, 256);
    assert_int_equal(plan.n_octets, 1);
    assert_int_equal(plan.n_parts, 1);
    assert_int_equal(plan.n_warps, 4);
}

/* A long prompt: rows share what they read. A short one does not fill the card: they do not. */
static void test_prompts(void **state) {
    (void)state;
    struct mill_attn_plan plan = plan_of(h200, 1, 2000);
    assert_int_equal(plan.n_octets, 4);
    assert_int_equal(plan.tile_rows, 4); /* of 7 heads, in 32 slots */
    assert_int_equal(plan.n_tiles, 501);
    assert_int_equal(plan.n_parts, 1);
    plan = plan_of(h200, 1, 40);
    assert_int_equal(plan.n_octets, 1);
    assert_int_equal(plan.n_tiles, 40);
}

static void test_small_card(void **state) {
    (void)state;
    struct mill_attn_shape mx450 = h200;
    mx450.n_processors = 14;
    mx450.shared_bytes = 65536;
    struct mill_attn_plan plan = plan_of(mx450, 1, 1);
    assert_int_equal(plan.n_warps, 2); /* what fits */
    mx450.shared_bytes = 1024 + 4608 + 20736 - 1;
    mx450.n_rows = mx450.n_sequences = 1;
    assert_false(mill_cuda_attn_plan(&mx450, &plan));
}

/* Steps of one row a sequence: parts for few sequences, 4 splits at once each; a block a sequence
 * and kv head where there are more than multiprocessors. */
static void test_decode(void **state) {
    (void)state;
    struct mill_attn_shape shape = h200;
    struct mill_attn_plan plan;
    shape.n_sequences = shape.n_rows = 1;
    mill_cuda_attn_plan_decode(&shape, &plan);
    assert_int_equal(plan.shared_heads, 7);
    assert_int_equal(plan.n_warps, 4);
    assert_int_equal(plan.n_parts, 8);
    shape.max_pages = 32;
    mill_cuda_attn_plan_decode(&shape, &plan);
    assert_int_equal(plan.n_parts, 2);
    shape.n_sequences = shape.n_rows = 66;
    mill_cuda_attn_plan_decode(&shape, &plan);
    assert_int_equal(plan.n_parts, 2); /* two blocks a multiprocessor */
    shape.n_sequences = shape.n_rows = 256;
    mill_cuda_attn_plan_decode(&shape, &plan);
    assert_int_equal(plan.n_tiles, 256);
    assert_int_equal(plan.n_chunks, 1);
    assert_int_equal(plan.n_warps, 4);
    assert_int_equal(plan.n_parts, 1);
}

/* Sequences of any lengths: every row has a tile. */
static void check_tiles(const struct mill_attn_plan *plan, int32_t n_sequences, int32_t n_rows) {
    int64_t most = 0; /* tiles of the worst division of the rows among the sequences */
    if (n_sequences > 0 && n_rows >= n_sequences)
        most = (n_sequences - 1) +
               (n_rows - (n_sequences - 1) + plan->tile_rows - 1) / plan->tile_rows;
    assert_true(plan->n_tiles >= most);
    assert_true(plan->n_tiles >= (n_rows + plan->tile_rows - 1) / plan->tile_rows);
}

static void test_any_shape(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        struct mill_attn_shape s = h200;
        struct mill_philox a = mill_philox_words(1, i, 0), b = mill_philox_words(1, i, 1);
        s.n_kv_heads = 1 + (int32_t)(a.word[0] % 8);
        s.n_heads = s.n_kv_heads * (1 + (int32_t)(a.word[1] % 40));
        s.n_processors = 1 + (int32_t)(a.word[2] % 160);
        s.n_sequences = 1 + (int32_t)(a.word[3] % 300);
        s.n_rows = s.n_sequences + (int32_t)(i % 2 ? b.word[0] % 3000 : 0);
        s.max_pages = 1 + (int32_t)(b.word[1] % 4000);
        s.shared_bytes = 49152 + (int32_t)(b.word[2] % 200000);
        s.max_partials = 1 + (int32_t)(b.word[3] % 20000);
        struct mill_attn_plan p;
        assert_true(mill_cuda_attn_plan(&s, &p));
        assert_in_range(p.n_octets, 1, ATTN_MAX_OCTETS);
        assert_in_range(p.n_warps, 1, ATTN_MAX_WARPS);
        assert_in_range(p.tile_rows * p.head_chunk, 1, p.n_octets * ATTN_SLOTS);
        assert_true(p.head_chunk * p.n_chunks >= s.n_heads / s.n_kv_heads);
        assert_true(p.head_chunk * (p.n_chunks - 1) < s.n_heads / s.n_kv_heads);
        assert_true((int64_t)p.max_splits * ATTN_KEYS >= (int64_t)s.max_pages * s.page_tokens);
        assert_true(s.shared_of_block + p.n_octets * s.shared_of_octet +
                        p.n_warps * s.shared_of_warp <=
                    s.shared_bytes);
        check_tiles(&p, s.n_sequences, s.n_rows);
        int64_t blocks = (int64_t)p.n_tiles * s.n_kv_heads * p.n_chunks;
        if (p.n_parts > 1) { /* partial results go through memory: there is room */
            assert_int_equal(p.n_octets, 1);
            assert_true(blocks <= s.max_arrivals);
            assert_true(blocks * p.max_splits <= s.max_partials);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sequence), cmocka_unit_test(test_many_sequences),
        cmocka_unit_test(test_prompts),      cmocka_unit_test(test_small_card),
        cmocka_unit_test(test_any_shape),    cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
