/* fuzz_shape.c - a checkpoint's configuration: changes to the four files of a valid one, which
 * reach what lies behind the first checks. A change is four bytes: which value of which file, and
 * what becomes of it. Sizes that are taken make tables of tensors whose products fit. */
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

/* What a value becomes; NULL = it goes. */
static json_t *new_value(uint8_t kind, uint8_t byte) {
    static const json_int_t limits[] = {-1,        0,        1,      2,       3,
                                        256,       1024,     4096,   1 << 16, (1 << 16) + 1,
                                        1 << 20,   1 << 24,  384000, 384001,  INT32_MAX,
                                        INT64_MIN, INT64_MAX};
    json_t *list;
    switch (kind % 8) {
    case 0:
        return NULL;
    case 1:
        return json_integer(byte);
    case 2:
        return json_integer(limits[byte % (sizeof limits / sizeof *limits)]);
    case 3:
        return json_real(byte % 2 ? byte / 8.0 : byte * 1e12);
    case 4:
        return byte % 4 == 0 ? json_null() : byte % 4 == 1 ? json_object() : json_boolean(byte & 4);
    case 5:
        return json_string(byte % 2 ? "gelu" : "x");
    default: /* a list of some equal numbers */
        list = json_array();
        for (int i = 0; i < byte % 20; i++)
            json_array_append_new(list, json_integer(1 + byte / 20));
        return list;
    }
}

/* Puts `value` in the place of member number *n, counted through all objects within each other.
 * Takes the reference. */
static bool change(json_t *object, int *n, json_t *value) {
    const char *key;
    void *next;
    json_t *member;
    json_object_foreach_safe(object, next, key, member) {
        if ((*n)-- == 0) {
            if (value)
                json_object_set_new(object, key, value);
            else
                json_object_del(object, key);
            return true;
        }
        if (json_is_object(member) && change(member, n, value))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *valid[N_FILES];
    json_t *files[N_FILES];
    struct mill_shape shape;
    struct mill_error err;
    if (!valid[0])
        read_valid(valid);
    for (int i = 0; i < N_FILES; i++)
        files[i] = json_deep_copy(valid[i]);
    for (; size >= 4; data += 4, size -= 4) {
        json_t *value = new_value(data[2], data[3]);
        int n = data[1];
        if (!change(files[data[0] % N_FILES], &n, value))
            json_decref(value);
    }
    for (int i = 0; i < N_FILES; i++) {
        char *text = json_dumps(files[i], 0);
        require(text != NULL);
        fuzz_write(names[i], text, strlen(text));
        free(text);
        json_decref(files[i]);
    }
    mill_status status = mill_shape_read(&shape, fuzz_folder(), &err);
    require_message(status, &err);
    if (status == MILL_OK)
        check_tables(&shape);
    return 0;
}
