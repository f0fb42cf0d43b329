/* model_stamp.c - see model_stamp.h. */
#include "tools/model_stamp.h"

#include "runtime/base/file.h"

#include <stdlib.h>
#include <sys/stat.h>

/* All that speech is made of; not the encoders, which only clone. */
static const char *const files[] = {
    "config.yaml",           "BiCodec/config.yaml", "BiCodec/model.safetensors",
    "LLM/config.json",       "LLM/vocab.json",      "LLM/merges.txt",
    "LLM/added_tokens.json", "LLM/tokenizer.json",  "LLM/tokenizer_config.json",
    "LLM/model.safetensors"};

mill_status mill_model_stamp(struct mill_buffer *out, const struct mill_engine *engine,
                             const char *model, struct mill_error *err) {
    MILL_TRY(mill_buffer_printf(out, err, "%s %s", MILL_VERSION,
                                mill_engine_get_info(engine)->precision));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat info = {0};
        char *path = mill_path_join(model, files[i]);
        if (!path)
            return mill_fail(err, MILL_E_MEMORY, "no memory");
        bool is_there = stat(path, &info) == 0;
        free(path);
        if (!is_there)
            info = (struct stat){.st_size = -1};
        MILL_TRY(mill_buffer_printf(out, err, " %lld.%lld.%ld", (long long)info.st_size,
                                    (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
    }
    return MILL_OK;
}
