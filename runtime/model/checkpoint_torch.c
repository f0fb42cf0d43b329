/* checkpoint_torch.c - a state dictionary as torch.save writes it: a zip of stored members, of
 * which one is a pickle (protocol 2) that tells how tensors are made from the others.
 *
 *   archive/data.pkl    the pickle
 *   archive/data/0 ...  elements of tensor 0, 1, ..., each at a multiple of 64 bytes
 *   archive/version     "3\n"
 *
 * A member's data are written before its local header, because the header holds their CRC. */
#include "runtime/model/checkpoint_parts.h"

#include "runtime/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    ALIGNMENT = 64,
    LOCAL_HEADER_BYTES = 30,
    CENTRAL_HEADER_BYTES = 46,
    END_BYTES = 22,
    EXTRA_HEADER_BYTES = 4,
    EXTRA_ID = 0x4246, /* "FB", the padding that torch writes */
    MEMBER_NAME_BYTES = 32,
    MAX_PICKLE_BYTES = 1 << 26,
    N_LEFTOVERS = 3
};

struct member {
    char name[MEMBER_NAME_BYTES];
    uint32_t header_at, bytes, crc;
};

struct zip {
    struct mill_output output;
    uint64_t end; /* of what was written */
    struct member *members;
    size_t n_members, capacity;
};

static uint8_t *put16(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t value) {
    return put16(put16(p, value), value >> 16);
}

/* The fields that local and central headers have in common: version needed (2.0 for folders), no
 * flags, stored, 1 January 1980, CRC, both sizes, length of the name. */
static uint8_t *put_common(uint8_t *p, const struct member *m) {
    p = put16(p, 20);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, 0x21);
    p = put32(p, m->crc);
    p = put32(p, m->bytes);
    p = put32(p, m->bytes);
    return put16(p, (uint32_t)strlen(m->name));
}

/* Where the data of a member of that name begin, if its header stands at the zip's end. */
static uint64_t data_offset(const struct zip *zip, const char *name) {
    uint64_t at = zip->end + LOCAL_HEADER_BYTES + strlen(name) + EXTRA_HEADER_BYTES;
    return (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The data lie at data_offset already: put the header before them. */
static mill_status finish_member(struct zip *zip, const char *name, uint64_t bytes, uint32_t crc,
                                 struct mill_error *err) {
    uint8_t header[LOCAL_HEADER_BYTES + MEMBER_NAME_BYTES + EXTRA_HEADER_BYTES + ALIGNMENT];
    uint64_t data_at = data_offset(zip, name);
    size_t name_bytes = strlen(name), header_bytes = (size_t)(data_at - zip->end);
    size_t extra = header_bytes - LOCAL_HEADER_BYTES - name_bytes;
    struct member *m = &zip->members[zip->n_members];
    *m = (struct member){.header_at = (uint32_t)zip->end, .bytes = (uint32_t)bytes, .crc = crc};
    memcpy(m->name, name, name_bytes + 1);
    uint8_t *p = put_common(put32(header, 0x04034b50), m);
    p = put16(p, (uint32_t)extra);
    memcpy(p, name, name_bytes);
    p = put16(put16(p + name_bytes, EXTRA_ID), (uint32_t)(extra - EXTRA_HEADER_BYTES));
    memset(p, 'Z', extra - EXTRA_HEADER_BYTES);
    MILL_TRY(mill_output_write_at(&zip->output, zip->end, header, header_bytes, err));
    zip->n_members++;
    zip->end = data_at + bytes;
    if (zip->end + zip->capacity * (CENTRAL_HEADER_BYTES + MEMBER_NAME_BYTES) > UINT32_MAX)
        return mill_fail(err, MILL_E_UNSUPPORTED, "more than 4 GB do not fit this zip file");
    return MILL_OK;
}

static mill_status add_member(struct zip *zip, const char *name, const void *data, size_t size,
                              struct mill_error *err) {
    MILL_TRY(mill_output_write_at(&zip->output, data_offset(zip, name), data, size, err));
    return finish_member(zip, name, size, (uint32_t)crc32(0, data, (uInt)size), err);
}

static mill_status write_directory(struct zip *zip, struct mill_error *err) {
    uint64_t start = zip->end;
    for (size_t i = 0; i < zip->n_members; i++) {
        const struct member *m = &zip->members[i];
        uint8_t header[CENTRAL_HEADER_BYTES + MEMBER_NAME_BYTES] = {0};
        uint8_t *p = put_common(put16(put32(header, 0x02014b50), 20), m);
        put32(p + 12, m->header_at); /* extra, comment, disk and attributes stay zero */
        memcpy(p + 16, m->name, strlen(m->name));
        size_t bytes = CENTRAL_HEADER_BYTES + strlen(m->name);
        MILL_TRY(mill_output_write_at(&zip->output, zip->end, header, bytes, err));
        zip->end += bytes;
    }
    uint8_t end[END_BYTES] = {0};
    uint8_t *p = put32(end, 0x06054b50) + 4;
    p = put16(put16(p, (uint32_t)zip->n_members), (uint32_t)zip->n_members);
    put32(put32(p, (uint32_t)(zip->end - start)), (uint32_t)start);
    return mill_output_write_at(&zip->output, zip->end, end, sizeof end, err);
}

/* The pickle under way. Memo entries are numbered as Python's pickler does: one for everything that
 * could come again. */
struct pickle {
    struct mill_buffer bytes;
    uint32_t n_memo;
    uint32_t ordered_dict, rebuild, storage_text, cpu_text; /* memo numbers */
    uint32_t storage_class[2];                              /* floating, integer; 0 = not yet */
    mill_status status;
    struct mill_error *err;
};

static void emit(struct pickle *p, const void *data, size_t size) {
    if (p->status >= 0)
        p->status = mill_buffer_append(&p->bytes, data, size, p->err);
}

static void emit_op(struct pickle *p, char op) {
    emit(p, &op, 1);
}

/* An opcode with a number in its short form if it fits a byte, else in its long form. */
static void emit_number(struct pickle *p, char short_op, char long_op, uint32_t value) {
    uint8_t bytes[5];
    bytes[0] = (uint8_t)(value < 256 ? short_op : long_op);
    put32(bytes + 1, value);
    emit(p, bytes, value < 256 ? 2 : 5);
}

static uint32_t memoize(struct pickle *p) {
    emit_number(p, 'q', 'r', p->n_memo);
    return p->n_memo++;
}

static void emit_get(struct pickle *p, uint32_t memo) {
    emit_number(p, 'h', 'j', memo);
}

static uint32_t emit_global(struct pickle *p, const char *module_and_name) {
    emit(p, module_and_name, strlen(module_and_name));
    return memoize(p);
}

static uint32_t emit_text(struct pickle *p, const char *text) {
    uint8_t head[5] = {'X'};
    put32(head + 1, (uint32_t)strlen(text));
    emit(p, head, sizeof head);
    emit(p, text, strlen(text));
    return memoize(p);
}

/* A whole number below 2^63: one byte, two, four, or as many as it takes. */
static void emit_int(struct pickle *p, uint64_t value) {
    uint8_t bytes[10] = {0};
    if (value < 256) {
        emit(p, (uint8_t[]){'K', (uint8_t)value}, 2);
    } else if (value < 65536) {
        bytes[0] = 'M';
        put16(bytes + 1, (uint32_t)value);
        emit(p, bytes, 3);
    } else if (value <= INT32_MAX) {
        bytes[0] = 'J';
        put32(bytes + 1, (uint32_t)value);
        emit(p, bytes, 5);
    } else {
        bytes[0] = 0x8a;
        bytes[1] = 8;
        put32(put32(bytes + 2, (uint32_t)value), (uint32_t)(value >> 32));
        emit(p, bytes, 10);
    }
}

/* A tuple of up to three numbers. */
static void emit_tuple(struct pickle *p, const int64_t *values, int32_t n) {
    static const char ops[] = {')', (char)0x85, (char)0x86, (char)0x87};
    for (int32_t i = 0; i < n; i++)
        emit_int(p, (uint64_t)values[i]);
    emit_op(p, ops[n]);
    if (n)
        memoize(p);
}

static const char *storage_class(enum mill_dtype dtype) {
    switch (dtype) {
    case MILL_BF16:
        return "ctorch\nBFloat16Storage\n";
    case MILL_F16:
        return "ctorch\nHalfStorage\n";
    case MILL_I64:
        return "ctorch\nLongStorage\n";
    default:
        return "ctorch\nFloatStorage\n";
    }
}

/* ("storage", class, key, "cpu", elements) as a persistent id. */
static void emit_storage(struct pickle *p, size_t key, enum mill_dtype dtype, size_t elements) {
    char key_text[24];
    uint32_t *class_memo = &p->storage_class[dtype == MILL_I64];
    snprintf(key_text, sizeof key_text, "%zu", key);
    emit_op(p, '(');
    if (p->storage_text)
        emit_get(p, p->storage_text);
    else
        p->storage_text = emit_text(p, "storage");
    if (*class_memo)
        emit_get(p, *class_memo);
    else
        *class_memo = emit_global(p, storage_class(dtype));
    emit_text(p, key_text);
    if (p->cpu_text)
        emit_get(p, p->cpu_text);
    else
        p->cpu_text = emit_text(p, "cpu");
    emit_int(p, elements);
    emit_op(p, 't');
    memoize(p);
    emit_op(p, 'Q');
}

/* name: _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()) */
static void emit_tensor(struct pickle *p, size_t key, const struct mill_tensor_spec *spec,
                        enum mill_dtype dtype) {
    int64_t strides[3] = {1, 1, 1};
    for (int32_t i = spec->n_dims - 2; i >= 0; i--)
        strides[i] = strides[i + 1] * spec->shape[i + 1];
    emit_text(p, spec->name);
    if (p->rebuild)
        emit_get(p, p->rebuild);
    else
        p->rebuild = emit_global(p, "ctorch._utils\n_rebuild_tensor_v2\n");
    emit_op(p, '(');
    emit_storage(p, key, dtype, mill_tensor_spec_elements(spec));
    emit_int(p, 0);
    emit_tuple(p, spec->shape, spec->n_dims);
    emit_tuple(p, strides, spec->n_dims);
    emit_op(p, (char)0x89);
    emit_get(p, p->ordered_dict);
    emit(p, ")R", 2);
    memoize(p);
    emit_op(p, 't');
    memoize(p);
    emit_op(p, 'R');
    memoize(p);
}

/* What the published file holds besides: zeros, and a counter. */
static void list_leftovers(struct mill_tensor_spec out[N_LEFTOVERS], int32_t hidden) {
    out[0] = (struct mill_tensor_spec){
        .name = "wav2vec2.masked_spec_embed", .n_dims = 1, .shape = {hidden}};
    out[1] = (struct mill_tensor_spec){.name = "project_hid.weight", .n_dims = 2, .shape = {8, 8}};
    out[2] = (struct mill_tensor_spec){.name = "dropout_features.steps"};
}

static enum mill_dtype leftover_dtype(int i, enum mill_dtype dtype) {
    return i == 2 ? MILL_I64 : dtype;
}

static mill_status write_pickle(struct zip *zip, const struct mill_tensor_table *table,
                                const struct mill_tensor_spec *leftovers, enum mill_dtype dtype,
                                struct mill_error *err) {
    struct pickle p = {.err = err};
    mill_buffer_init(&p.bytes, MAX_PICKLE_BYTES);
    emit(&p, "\x80\x02", 2);
    p.ordered_dict = emit_global(&p, "ccollections\nOrderedDict\n");
    emit(&p, ")R", 2);
    memoize(&p);
    emit_op(&p, '(');
    for (int32_t i = 0; i < table->n_specs; i++)
        emit_tensor(&p, (size_t)i, &table->specs[i], dtype);
    for (int i = 0; i < N_LEFTOVERS; i++)
        emit_tensor(&p, (size_t)(table->n_specs + i), &leftovers[i], leftover_dtype(i, dtype));
    emit(&p, "u.", 2);
    if (p.status >= 0)
        p.status = add_member(zip, "archive/data.pkl", p.bytes.data, p.bytes.size, err);
    mill_buffer_deinit(&p.bytes);
    return p.status;
}

static void member_name(char out[MEMBER_NAME_BYTES], int32_t key) {
    snprintf(out, MEMBER_NAME_BYTES, "archive/data/%" PRId32, key);
}

static mill_status write_members(struct mill_tensor_stream *stream, struct zip *zip,
                                 const struct mill_tensor_table *table,
                                 const struct mill_tensor_spec *leftovers, struct mill_error *err) {
    enum mill_dtype dtype = stream->options->dtype;
    char name[MEMBER_NAME_BYTES];
    for (int32_t i = 0; i < table->n_specs; i++) {
        uint32_t crc = 0;
        member_name(name, i);
        MILL_TRY(mill_tensor_stream_write(stream, &zip->output, data_offset(zip, name),
                                          &table->specs[i], &crc, err));
        MILL_TRY(finish_member(
            zip, name, mill_tensor_spec_elements(&table->specs[i]) * mill_dtype_bytes(dtype), crc,
            err));
    }
    for (int i = 0; i < N_LEFTOVERS; i++) {
        size_t size =
            mill_tensor_spec_elements(&leftovers[i]) * mill_dtype_bytes(leftover_dtype(i, dtype));
        void *zeros = mill_alloc_array(size, 1);
        if (!zeros)
            return mill_fail(err, MILL_E_MEMORY, "out of memory for a tensor");
        member_name(name, table->n_specs + i);
        mill_status status = add_member(zip, name, zeros, size, err);
        free(zeros);
        MILL_TRY(status);
    }
    return add_member(zip, "archive/version", "3\n", 2, err);
}

mill_status mill_checkpoint_write_torch(struct mill_tensor_stream *stream, const char *path,
                                        const struct mill_tensor_table *table, int32_t hidden,
                                        struct mill_error *err) {
    struct mill_tensor_spec leftovers[N_LEFTOVERS];
    struct zip zip = {.capacity = (size_t)table->n_specs + N_LEFTOVERS + 2};
    list_leftovers(leftovers, hidden);
    MILL_TRY(mill_output_open(&zip.output, path, err));
    zip.members = mill_alloc_array(zip.capacity, sizeof *zip.members);
    mill_status status =
        zip.members ? MILL_OK : mill_fail(err, MILL_E_MEMORY, "out of memory for %s", path);
    if (status >= 0)
        status = write_pickle(&zip, table, leftovers, stream->options->dtype, err);
    if (status >= 0)
        status = write_members(stream, &zip, table, leftovers, err);
    if (status >= 0)
        status = write_directory(&zip, err);
    if (status >= 0)
        status = mill_output_commit(&zip.output, err);
    mill_output_close(&zip.output);
    free(zip.members);
    return status;
}
