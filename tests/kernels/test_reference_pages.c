/* test_reference_pages.c - the reference backend's pages of keys and values, and attention over
 * them, against answers worked out by hand. */
#include "tests/kernels/reference_rig.h"

/* A batch of one sequence on two pages of two tokens, the second page first in the pool. */
struct small_cache {
    int32_t row_first[2], n_cached[1], page_table[2];
    float pages[2 * 2 * 2 * 2]; /* [pages][2][1 head][2 tokens][2] */
    struct mill_batch batch;
    struct mill_kv_pages kv;
};

static void small_cache_init(struct small_cache *c, int32_t n_cached, int32_t n_rows) {
    *c = (struct small_cache){{0, n_rows}, {n_cached}, {1, 0}, {0}, {0}, {0}};
    c->batch = (struct mill_batch){1, n_rows, 2, c->row_first, c->n_cached, c->page_table};
    c->kv = (struct mill_kv_pages){c->pages, MILL_F32, 1, 2, 2, 8};
}

static void test_rope_append(void **state) {
    struct small_cache c;
    float x[6] = {1, 0, 0, 2, 7, 8}; /* q, k, v of one token, at position 1 */
    const float frequency[1] = {1.5707963f};
    small_cache_init(&c, 1, 1);
    struct mill_rope_append_args args = {matrix(x, 1, 6), 1, frequency, c.batch, c.kv};
    assert_int_equal(ops()->rope_append(*state, &args), MILL_OK); /* a quarter turn */
    assert_floats(x, (float[]){0, 1, -2, 0, 7, 8}, 6, 1e-6f);
    /* page 1: keys of slots 0 and 1, then values */
    assert_floats(c.pages + 8, (float[]){0, 0, -2, 0, 0, 0, 7, 8}, 8, 1e-6f);
    assert_floats(c.pages, (float[8]){0}, 8, 0);
    c.page_table[0] = -1;
    assert_int_equal(ops()->rope_append(*state, &args), MILL_E_INPUT);
    c.page_table[0] = 1;
    c.n_cached[0] = 4; /* beyond the page table */
    assert_int_equal(ops()->rope_append(*state, &args), MILL_E_INPUT);
}

/* Rotation keeps lengths, and q . k depends on the distance of their positions alone. */
static void test_rope_is_a_rotation(void **state) {
    const float frequency[1] = {0.3f};
    float products[2];
    for (int32_t shift = 0; shift < 2; shift++) {
        struct small_cache c;
        float x[12] = {0.6f, -0.2f, 0, 0, 0, 0, 0, 0, 0.4f, 0.9f, 0, 0};
        small_cache_init(&c, shift, 2);
        struct mill_rope_append_args args = {matrix(x, 2, 6), 1, frequency, c.batch, c.kv};
        assert_int_equal(ops()->rope_append(*state, &args), MILL_OK);
        assert_floats((float[]){x[8] * x[8] + x[9] * x[9]}, (float[]){0.97f}, 1, 1e-6f);
        products[shift] = x[0] * x[8] + x[1] * x[9];
    }
    assert_floats(products, products + 1, 1, 1e-6f);
}

static void test_attention(void **state) {
    struct small_cache c;
    float x[6] = {2, 0, NAN, NAN, NAN, NAN}, y[2];
    small_cache_init(&c, 0, 1);
    const float one[8] = {1, 1, NAN, NAN, 5, 6, NAN, NAN};
    memcpy(c.pages + 8, one, sizeof one);
    struct mill_attn_paged_args args = {
        matrix(y, 1, 2), matrix(x, 1, 6), 1, 0.5f, c.batch, c.kv, NULL};
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_OK); /* one token: its value */
    assert_floats(y, (float[]){5, 6}, 2, 0);
    /* three tokens over two pages: scores ln 1, ln 2, ln 3 times q = 2, scale = 1/2 */
    small_cache_init(&c, 2, 1);
    const float pages[16] = {logf(3), 9, NAN, NAN, 12, 0, NAN, NAN, 0, 9, logf(2), 9, 6, 0, 0, 3};
    memcpy(c.pages, pages, sizeof pages);
    args.batch = c.batch;
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_OK); /* weights 1/6 2/6 3/6 */
    assert_floats(y, (float[]){7, 1}, 2, 1e-6f);
}

/* The row's own key and value come into the page first; turned by nothing. */
static void test_attention_appends(void **state) {
    struct small_cache c;
    const float frequency[1] = {0};
    float x[12] = {2, 0, logf(2), 0, 6, 3}, y[4];
    small_cache_init(&c, 1, 1);
    const float one[8] = {0, 9, NAN, NAN, 0, 9, NAN, NAN};
    memcpy(c.pages + 8, one, sizeof one);
    struct mill_attn_paged_args args = {matrix(y, 1, 2), matrix(x, 1, 6), 1, 0.5f, c.batch, c.kv,
                                        frequency};
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_OK); /* weights 1/3 2/3 */
    assert_floats(y, (float[]){4, 5}, 2, 1e-6f);
    assert_floats(c.pages + 8, (float[]){0, 9, logf(2), 0, 0, 9, 6, 3}, 8, 0);
    small_cache_init(&c, 0, 2); /* two rows of a sequence */
    args.batch = c.batch;
    args.x.rows = args.y.rows = 2;
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_E_INPUT);
}

/* 8-bit pages by hand: codes, and behind them a scale for each row. */
static void test_attention_8_bit(void **state) {
    struct small_cache c;
    struct {
        int8_t codes[2][2][2]; /* keys and values, slots */
        float scales[2][2];
    } pages[2] = {0};
    float x[6] = {0, 0, -2, 1, 7, 8}, y[2]; /* at position 1, turned by nothing */
    const float frequency[1] = {0};
    small_cache_init(&c, 1, 1);
    c.kv = (struct mill_kv_pages){pages, MILL_I8, 1, 2, 2, sizeof pages[0]};
    assert_int_equal(mill_kv_page_elements(&c.kv), sizeof pages[0]);
    struct mill_rope_append_args append = {matrix(x, 1, 6), 1, frequency, c.batch, c.kv};
    assert_int_equal(ops()->rope_append(*state, &append), MILL_OK);
    assert_memory_equal(pages[1].codes, ((int8_t[]){0, 0, -127, 64, 0, 0, 111, 127}), 8);
    assert_floats(&pages[1].scales[0][0], (float[]){0, 2 / 127.0f, 0, 8 / 127.0f}, 4, 0);

    /* the token before: scores 0 (times q = 0), so the mean of both values */
    pages[1].codes[1][0][0] = 100;
    pages[1].scales[1][0] = 0.5f;
    struct mill_attn_paged_args args = {
        matrix(y, 1, 2), matrix(x, 1, 6), 1, 0.5f, c.batch, c.kv, NULL};
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_OK);
    assert_floats(y, (float[]){(50 + 111 * 8 / 127.0f) / 2, 4}, 2, 1e-6f);
    x[0] = 2; /* scores 2 * 100 * scale * 1/2 and 2 * -2 * 1/2: weights 2 to 1 */
    pages[1].codes[0][0][0] = 100;
    pages[1].scales[0][0] = (logf(2) - 2) / 100;
    assert_int_equal(ops()->attn_paged(*state, &args), MILL_OK);
    assert_floats(y, (float[]){(100 + 111 * 8 / 127.0f) / 3, 8 / 3.0f}, 2, 1e-5f);

    x[4] = INFINITY; /* a NaN scale */
    assert_int_equal(ops()->rope_append(*state, &append), MILL_OK);
    assert_true(isnan(pages[1].scales[1][1]));
    append.kv.page_stride++; /* scales would lie anywhere */
    assert_int_equal(ops()->rope_append(*state, &append), MILL_E_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rope_append),       TEST(test_rope_is_a_rotation), TEST(test_attention),
        TEST(test_attention_appends), TEST(test_attention_8_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
