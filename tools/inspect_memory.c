/* inspect_memory.c - `sparkmill inspect --memory`: what a replica of a checkpoint takes of a GPU,
 * by the same plan that the engine makes when it opens one; nothing is loaded. */
#include "runtime/engine/memory_plan.h"
#include "runtime/engine/model.h"
#include "tools/inspect.h"

#include <stdio.h>

enum { ROWS = 512, PAGE_TOKENS = 16, TOKENS_EACH = 2048, WINDOW = 512 };

static double gigabytes(size_t bytes) {
    return 1e-9 * (double)bytes;
}

static mill_status print_plan(const struct mill_backend_ops *ops,
                              const struct mill_weights *weights, int32_t max_running,
                              struct mill_error *err) {
    struct mill_memory_plan plan;
    const struct mill_memory_wish wish = {.ops = ops,
                                          .weights = weights,
                                          .weight_bytes = weights->image_bytes,
                                          .prompt_rows = ROWS,
                                          .page_tokens = PAGE_TOKENS,
                                          .max_running = max_running,
                                          .cache_tokens = max_running * TOKENS_EACH,
                                          .max_window = WINDOW,
                                          .max_tokens = weights->lm.shape.max_positions};
    MILL_TRY(mill_memory_plan(&plan, &wish, err));
    printf("  %-9s  %7d  %7.3f  %7.3f  %7.3f  %8.3f\n", mill_precision_name(weights->precision),
           max_running, gigabytes(plan.weight_bytes), gigabytes(plan.page_bytes),
           gigabytes(plan.work_bytes),
           gigabytes(plan.weight_bytes + plan.page_bytes + plan.work_bytes));
    return MILL_OK;
}

static mill_status print_precision(const char *folder, const struct mill_model *model,
                                   enum mill_precision precision, struct mill_error *err) {
    static const int32_t at_once[] = {1, 32, 256};
    const struct mill_backend_ops *ops = mill_backend_find("cuda", NULL);
    const struct mill_weights_options options = {.precision = precision};
    struct mill_weights *weights;
    ops = ops ? ops : mill_backend_find("cpu", NULL); /* about the same */
    MILL_TRY(
        mill_weights_plan(&weights, folder, &model->shape, model->control, ops, &options, err));
    mill_status status = MILL_OK;
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once && status == MILL_OK; i++)
        status = print_plan(ops, weights, at_once[i], err);
    mill_weights_close(weights);
    return status;
}

mill_status mill_inspect_memory(const char *folder, struct mill_error *err) {
    struct mill_model model;
    MILL_TRY(mill_model_open(&model, folder, NULL, err));
    printf("Memory on a GPU in GB, besides what its driver takes (about 0.1 to 0.5), with\n"
           "%d tokens of pages for each utterance at once\n"
           "  precision  at once  weights    pages     work  together\n",
           TOKENS_EACH);
    mill_status status = MILL_OK;
    for (int p = MILL_PRECISION_FP32; p <= MILL_PRECISION_INT8 && status == MILL_OK; p++)
        status = print_precision(folder, &model, (enum mill_precision)p, err);
    mill_model_close(&model);
    return status;
}
