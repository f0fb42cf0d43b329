/* fuzz_shape.c - a checkpoint's configuration: a JSON object of changes to the four files of a
 * valid one, which reach what lies behind the first checks. Sizes that are taken make tables of
 * tensors whose products fit. */
#include "runtime/model/checkpoint_parts.h"
#include "runtime/model/synth_shape.h"
#include "runtime/model/tensor_table.h"
#include "tests/fuzz/fuzz_folder.h"

#include "runtime/io/config.h"

static const char *const names[] = {"LLM/config.json", "BiCodec/config.yaml", "config.yaml",
                                    "wav2vec2-large-xlsr-53/config.json"};
enum { N_FILES = sizeof names / sizeof *names };

static char *in_folder(const char *name) {
    char *path = mill_path_join(fuzz_folder(), name);
    require(path != NULL);
    return path;
}

/* The valid ones, as JSON, which is YAML too. */
static void read_valid(json_t *files[N_FILES]) {
    static const char *const folders[] = {"LLM", "BiCodec", "wav2vec2-large-xlsr-53"};
    struct mill_shape shape;
    mill_synth_shape(&shape, MILL_SYNTH_TINY);
    for (int i = 0; i < 3; i++) {
        char *path = in_folder(folders[i]);
        require(mill_folder_make(path, NULL) == MILL_OK);
        free(path);
    }
    require(mill_checkpoint_write_configs(fuzz_folder(), &shape, MILL_F32, NULL) == MILL_OK);
    for (int i = 0; i < N_FILES; i++) {
        char *path = in_folder(names[i]);
        require(mill_yaml_open(&files[i], path, 1 << 20, NULL) == MILL_OK);
        free(path);
    }
}

static void check_tables(const struct mill_shape *shape) {
    require(mill_shape_global_codes(shape) > 0);
    for (int file = 0; file < MILL_FILE_COUNT; file++) {
        struct mill_tensor_table *table;
        struct mill_error err;
        mill_status status =
            mill_tensor_table_open(&table, shape, (enum mill_tensor_file)file, &err);
        require_message(status, &err);
        if (status == MILL_OK)
            require(table->n_specs == 0 || mill_tensor_table_elements(table) > 0);
        mill_tensor_table_close(status == MILL_OK ? table : NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *valid[N_FILES];
    struct mill_shape shape;
    struct mill_error err;
    if (!valid[0])
        read_valid(valid);
    json_t *changes = json_loadb((const char *)data, size, 0, NULL);
    if (!json_is_object(changes)) {
        json_decref(changes);
        return 0;
    }
    for (int i = 0; i < N_FILES; i++) {
        json_t *file = json_deep_copy(valid[i]), *change = json_object_get(changes, names[i]);
        if (json_is_object(change))
            json_object_update_recursive(file, change);
        char *text = json_dumps(file, 0);
        require(text != NULL);
        fuzz_write(names[i], text, strlen(text));
        free(text);
        json_decref(file);
    }
    mill_status status = mill_shape_read(&shape, fuzz_folder(), &err);
    require_message(status, &err);
    if (status == MILL_OK)
        check_tables(&shape);
    json_decref(changes);
    return 0;
}
