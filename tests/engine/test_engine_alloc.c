/* test_engine_alloc.c - the engine allocates when it opens and when a request comes, never for a
 * step: a long utterance takes as many allocations as a short one. */
#include "tests/engine/engine_fixture.h"
#include "tests/support/fail_alloc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LONG_FRAMES = 60 };

static mill_status count_samples(void *context, const float *samples, size_t n,
                                 struct mill_error *err) {
    (void)samples, (void)err;
    *(size_t *)context += n;
    return MILL_OK;
}

/* Allocations from submit to the end of a request of that many frames. */
static long count(struct mill_engine *engine, int32_t max_frames, bool stream) {
    size_t n_samples = 0;
    struct mill_request *request;
    struct mill_request_result result;
    struct mill_engine_request wish = fixture_wish(engine, 0, NULL);
    wish.max_frames = max_frames;
    wish.stream = stream;
    wish.deliver = count_samples;
    wish.context = &n_samples;
    mill_fail_alloc_at(0);
    assert_int_equal(mill_engine_submit(engine, &wish, &request, NULL, NULL), MILL_OK);
    assert_int_equal(mill_request_wait(request, -1), MILL_OK);
    long n = mill_fail_alloc_count();
    mill_request_get_result(request, &result);
    /* A long one may end by itself: which tokens are drawn is the weights' doing. */
    assert_in_range(result.n_frames, max_frames < LONG_FRAMES ? max_frames : LONG_FRAMES,
                    max_frames);
    assert_int_equal(n_samples, result.n_samples);
    mill_request_free(request);
    return n;
}

static void test_steps_take_no_memory(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    struct mill_engine *engine =
        fixture_open((struct mill_engine_options){.devices = "cpu:1", .max_window = 16}, NULL);
    for (int stream = 0; stream < 2; stream++) {
        count(engine, 20, stream); /* what libraries keep is there now */
        long few = count(engine, 20, stream), many = count(engine, 150, stream);
        assert_true(few > 0);
        assert_int_equal(few, many);
    }
    mill_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_take_no_memory),
    };
    return cmocka_run_group_tests(tests, fixture_write_checkpoint, NULL);
}
