/* torch.c - reads PyTorch's *.bin and *.pt: a zip archive with a pickle that describes the tensors
 * (NAME/data.pkl) and one stored member for each storage (NAME/data/0, NAME/data/1, ...).
 *
 * The archive's directory is zip_stored.c's business, the pickle's meaning pickle.c's; here the two
 * are put together: every tensor gets its place in the file. Tensors may share a storage. The
 * pickle's checksum is verified, the storages' are not: that would read gigabytes. */
#include "runtime/io/pickle.h"
#include "runtime/io/tensors_internal.h"
#include "runtime/io/zip_stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Longest "NAME/data/KEY" that is looked for. */
enum { MEMBER_NAME_MAXIMUM = 512 };

struct archive {
    const char *path;
    const uint8_t *data;
    struct mill_zip zip;
    const struct mill_zip_member *pickle;
    int prefix_length; /* of the pickle's name: "NAME/" */
};

static const char pickle_name[] = "data.pkl";

/* The one member NAME/data.pkl. */
static mill_status find_pickle(struct archive *a, struct mill_error *err) {
    size_t tail = sizeof pickle_name - 1;
    for (size_t i = 0; i < a->zip.n_members; i++) {
        const struct mill_zip_member *member = &a->zip.members[i];
        const char *slash = memchr(member->name, '/', member->name_length);
        size_t prefix = slash ? (size_t)(slash - member->name) + 1 : 0;
        if (!slash || member->name_length - prefix != tail ||
            memcmp(slash + 1, pickle_name, tail) != 0)
            continue;
        if (a->pickle)
            return mill_fail(err, MILL_E_INPUT, "'%s': byte %zu: a second %s", a->path,
                             member->header, pickle_name);
        a->pickle = member;
        a->prefix_length = (int)prefix;
    }
    if (!a->pickle)
        return mill_fail(err, MILL_E_INPUT, "'%s': the zip archive holds no %s: not a PyTorch file",
                         a->path, pickle_name);
    uLong crc = crc32(0, a->data + a->pickle->offset, (uInt)a->pickle->bytes);
    if (a->pickle->bytes > UINT32_MAX || crc != a->pickle->crc32)
        return mill_fail(err, MILL_E_INPUT, "'%s': %s at byte %zu is damaged: checksum differs",
                         a->path, pickle_name, a->pickle->offset);
    return MILL_OK;
}

/* The member "NAME/<folder><key>", or NULL. */
static const struct mill_zip_member *find_member(const struct archive *a, const char *folder,
                                                 const char *key, size_t key_length) {
    char name[MEMBER_NAME_MAXIMUM];
    if (key_length > sizeof name)
        return NULL;
    int n = snprintf(name, sizeof name, "%.*s%s%.*s", a->prefix_length, a->pickle->name, folder,
                     (int)key_length, key);
    return n < (int)sizeof name ? mill_zip_find(&a->zip, name, (size_t)n) : NULL;
}

static mill_status check_byteorder(const struct archive *a, struct mill_error *err) {
    const struct mill_zip_member *order = find_member(a, "", "byteorder", strlen("byteorder"));
    if (order && (order->bytes != 6 || memcmp(a->data + order->offset, "little", 6) != 0))
        return mill_fail(err, MILL_E_INPUT, "'%s': byteorder at byte %zu is not 'little'", a->path,
                         order->offset);
    return MILL_OK;
}

static mill_status place(const struct archive *a, struct mill_tensor_entry *entry,
                         const struct mill_pickle_tensor *from, struct mill_error *err) {
    const struct mill_zip_member *storage =
        find_member(a, "data/", from->storage, from->storage_length);
    int shown =
        from->storage_length < MILL_NAME_SHOWN ? (int)from->storage_length : MILL_NAME_SHOWN;
    if (!storage)
        return mill_fail(err, MILL_E_INPUT, "its storage data/%.*s is missing", shown,
                         from->storage);
    size_t element = mill_dtype_bytes(from->dtype);
    if (storage->bytes / element != from->storage_elements || storage->bytes % element != 0)
        return mill_fail(err, MILL_E_INPUT,
                         "its storage data/%.*s at byte %zu has %zu bytes, but %" PRIu64
                         " elements of %s are announced",
                         shown, from->storage, storage->offset, storage->bytes,
                         from->storage_elements, mill_dtype_name(from->dtype));
    entry->dtype = from->dtype;
    entry->n_dims = from->n_dims;
    memcpy(entry->shape, from->shape, sizeof entry->shape);
    if (!mill_tensors_shape_bytes(entry->dtype, entry->n_dims, entry->shape, &entry->bytes))
        return mill_fail(err, MILL_E_INPUT, "the product of its shape is too large for any file");
    if (from->first > from->storage_elements ||
        entry->bytes / element > from->storage_elements - from->first)
        return mill_fail(err, MILL_E_INPUT,
                         "%zu elements from element %" PRIu64
                         " reach past the end of its storage data/%.*s of %" PRIu64 " at byte %zu",
                         entry->bytes / element, from->first, shown, from->storage,
                         from->storage_elements, storage->offset);
    entry->offset = storage->offset + (size_t)from->first * element;
    return MILL_OK;
}

static mill_status fill(const struct archive *a, struct mill_tensors *tensors,
                        const struct mill_pickle_tensor *found, struct mill_error *err) {
    char *names = tensors->names;
    for (size_t i = 0; i < tensors->n_entries; i++) {
        struct mill_tensor_entry *entry = &tensors->entries[i];
        memcpy(names, found[i].name, found[i].name_length); /* the zero byte is there already */
        entry->name = names;
        names += found[i].name_length + 1;
        mill_status status = place(a, entry, &found[i], err);
        if (status < 0)
            return mill_context(err, status, "'%s': tensor '%.*s' (byte %zu)", a->path,
                                MILL_NAME_SHOWN, entry->name, a->pickle->offset + found[i].at);
    }
    return mill_tensors_sort(tensors, err);
}

static mill_status read_archive(struct archive *a, struct mill_tensors **out, size_t size,
                                struct mill_error *err) {
    MILL_TRY(find_pickle(a, err));
    MILL_TRY(check_byteorder(a, err));
    struct mill_pickle_tensor *found = NULL;
    size_t n = 0, names_bytes = 0;
    mill_status status =
        mill_pickle_read_tensors(&found, &n, a->data + a->pickle->offset, a->pickle->bytes, err);
    if (status < 0)
        return mill_context(err, status, "'%s': %s at byte %zu", a->path, pickle_name,
                            a->pickle->offset);
    for (size_t i = 0; i < n; i++)
        names_bytes += (size_t)found[i].name_length + 1; /* each is bounded by the pickle reader */
    struct mill_tensors *tensors = mill_tensors_new(a->path, a->data, size, n, names_bytes);
    status = tensors ? fill(a, tensors, found, err)
                     : mill_fail(err, MILL_E_MEMORY, "'%s': no memory for %zu tensors", a->path, n);
    free(found);
    if (status < 0)
        mill_tensors_close(tensors);
    else
        *out = tensors;
    return status;
}

mill_status mill_torch_parse(struct mill_tensors **out, const char *path, const uint8_t *data,
                             size_t size, struct mill_error *err) {
    *out = NULL;
    if (size >= 2 && data[0] == 0x80 && data[1] == 0x02)
        return mill_fail(err, MILL_E_INPUT,
                         "'%s': byte 0: a bare pickle, as PyTorch wrote before 1.6: load it with "
                         "torch.load and write it with torch.save",
                         path);
    struct archive a = {.path = path, .data = data};
    mill_status status = mill_zip_open(&a.zip, data, size, err);
    if (status < 0)
        return mill_context(err, status, "'%s'", path);
    status = read_archive(&a, out, size, err);
    mill_zip_close(&a.zip);
    return status;
}

mill_status mill_torch_open(struct mill_tensors **out, const char *path, struct mill_error *err) {
    return mill_tensors_open(out, path, mill_torch_parse, err);
}
