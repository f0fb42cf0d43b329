/* pickle.c - see pickle.h. Opcodes as in CPython's Lib/pickletools.py, what the objects mean as in
 * PyTorch's torch/serialization.py and torch/_utils.py.
 *
 * Values are handles of 24 bytes: text points into the pickle, a tuple is a run of `items`, a
 * dictionary is a number under which `pairs` were recorded. Nothing is ever freed before the end,
 * so values can be shared by the memo without counting references. One call, one thread. */
#include "runtime/io/pickle.h"

#include "runtime/base/buffer.h"
#include "runtime/base/cursor.h"
#include "runtime/base/memory.h"
#include "runtime/io/pickle_opcodes.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    PICKLE_MAXIMUM = 16 << 20, /* bytes; the published file's is about 50 kB */
    STACK_MAXIMUM = 1 << 16,
    MEMO_MAXIMUM = 1 << 20,
    ITEMS_MAXIMUM = 1 << 21,
    PAIRS_MAXIMUM = 1 << 17,
    TENSORS_MAXIMUM = 1 << 17,
    NAME_MAXIMUM = 1024, /* bytes of a tensor's name: the memo can repeat one at no cost */
    NAME_SHOWN = 100
};

enum kind { ABSENT, MARK, BOOLEAN, INTEGER, TEXT, TUPLE, DICTIONARY, GLOBAL, STORAGE, TENSOR };
static const char *const kind_names[] = {"nothing",   "a mark",  "a truth value", "a number",
                                         "text",      "a tuple", "a dictionary",  "a global",
                                         "a storage", "a tensor"};

enum global { ORDERED_DICT, REBUILD_TENSOR, STORAGE_CLASS }; /* + dtype for storage classes */

struct value {
    enum kind kind;
    uint32_t index; /* TEXT: byte of the pickle; TUPLE: first item; GLOBAL: which; else number */
    union {
        uint32_t length;       /* TEXT: bytes; TUPLE: items */
        enum mill_dtype dtype; /* GLOBAL of a storage class */
        int64_t integer;
    };
};

struct pair {
    uint32_t dictionary;
    struct value key, value;
    size_t at;
};

struct storage {
    struct value key;
    enum mill_dtype dtype;
    uint64_t elements;
};

struct machine;
struct opcode {
    char code;
    const char *name;
    mill_status (*run)(struct machine *m, struct mill_error *err);
    int n; /* where several do one thing: bytes of the operand, items of the tuple, the truth */
};

struct machine {
    struct mill_cursor c;
    const struct opcode *opcode; /* that runs */
    size_t opcode_at;
    bool stopped;
    uint32_t n_dictionaries;
    struct mill_buffer stack, memo, items; /* of struct value */
    struct mill_buffer pairs;              /* of struct pair */
    struct mill_buffer storages;           /* of struct storage */
    struct mill_buffer tensors;            /* of struct mill_pickle_tensor, names not yet set */
};

static size_t depth(const struct machine *m) {
    return m->stack.size / sizeof(struct value);
}

static struct value *stack_from_top(struct machine *m, size_t i) {
    return (struct value *)m->stack.data + depth(m) - 1 - i;
}

static const struct value *item(const struct machine *m, const struct value *tuple, uint32_t i) {
    return (const struct value *)m->items.data + tuple->index + i;
}

static mill_status truncated(struct mill_error *err) {
    return mill_fail(err, MILL_E_INPUT, "the pickle ends in the middle");
}

static mill_status push(struct machine *m, struct value value, struct mill_error *err) {
    return mill_buffer_append(&m->stack, &value, sizeof value, err);
}

/* Values above the mark or the stack's bottom. */
static mill_status need(struct machine *m, size_t n, struct mill_error *err) {
    for (size_t i = 0; i < n; i++)
        if (i >= depth(m) || stack_from_top(m, i)->kind == MARK)
            return mill_fail(err, MILL_E_INPUT, "needs %zu values, finds %zu", n, i);
    return MILL_OK;
}

static mill_status pop(struct machine *m, struct value *out, struct mill_error *err) {
    MILL_TRY(need(m, 1, err));
    *out = *stack_from_top(m, 0);
    m->stack.size -= sizeof *out;
    return MILL_OK;
}

/* The number of values above the topmost mark. */
static mill_status count_to_mark(struct machine *m, size_t *n, struct mill_error *err) {
    for (*n = 0; *n < depth(m); ++*n)
        if (stack_from_top(m, *n)->kind == MARK)
            return MILL_OK;
    return mill_fail(err, MILL_E_INPUT, "there is no mark");
}

static mill_status run_proto(struct machine *m, struct mill_error *err) {
    uint8_t version;
    if (!mill_cursor_u8(&m->c, &version))
        return truncated(err);
    if (version != 2 || m->opcode_at != 0)
        return mill_fail(err, MILL_E_INPUT, "only protocol 2 at the start is read, not %u",
                         (unsigned)version);
    return MILL_OK;
}

static mill_status run_mark(struct machine *m, struct mill_error *err) {
    return push(m, (struct value){.kind = MARK}, err);
}

static mill_status run_stop(struct machine *m, struct mill_error *err) {
    m->stopped = true;
    if (m->c.at != m->c.size)
        return mill_fail(err, MILL_E_INPUT, "%zu bytes follow", m->c.size - m->c.at);
    return MILL_OK;
}

static mill_status run_boolean(struct machine *m, struct mill_error *err) {
    return push(m, (struct value){.kind = BOOLEAN, .integer = m->opcode->n}, err);
}

static mill_status push_integer(struct machine *m, size_t bytes, bool is_signed,
                                struct mill_error *err) {
    const uint8_t *p = mill_cursor_take(&m->c, bytes);
    if (!p)
        return truncated(err);
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint64_t)p[i] << (8 * i);
    if (is_signed && bytes > 0 && bytes < 8 && p[bytes - 1] & 0x80)
        bits |= UINT64_MAX << (8 * bytes);
    return push(m, (struct value){.kind = INTEGER, .integer = (int64_t)bits}, err);
}

/* Of these only the longest has a sign. */
static mill_status run_binint(struct machine *m, struct mill_error *err) {
    return push_integer(m, (size_t)m->opcode->n, m->opcode->n == 4, err);
}

static mill_status run_long1(struct machine *m, struct mill_error *err) {
    uint8_t bytes;
    if (!mill_cursor_u8(&m->c, &bytes))
        return truncated(err);
    if (bytes > 8)
        return mill_fail(err, MILL_E_INPUT, "a number of %u bytes", (unsigned)bytes);
    return push_integer(m, bytes, true, err);
}

static mill_status run_binunicode(struct machine *m, struct mill_error *err) {
    uint32_t length;
    if (!mill_cursor_u32(&m->c, &length))
        return truncated(err);
    struct value text = {.kind = TEXT, .index = (uint32_t)m->c.at, .length = length};
    const uint8_t *p = mill_cursor_take(&m->c, length);
    if (!p)
        return mill_fail(err, MILL_E_INPUT, "text of %" PRIu32 " bytes ends past the pickle's end",
                         length);
    if (memchr(p, 0, length))
        return mill_fail(err, MILL_E_INPUT, "text holds a zero byte");
    return push(m, text, err);
}

/* The operand of what puts into the memo and gets from it. */
static mill_status take_index(struct machine *m, uint32_t *index, struct mill_error *err) {
    uint8_t byte;
    if (m->opcode->n == 4)
        return mill_cursor_u32(&m->c, index) ? MILL_OK : truncated(err);
    if (!mill_cursor_u8(&m->c, &byte))
        return truncated(err);
    *index = byte;
    return MILL_OK;
}

static mill_status run_binput(struct machine *m, struct mill_error *err) {
    uint32_t index;
    MILL_TRY(take_index(m, &index, err));
    MILL_TRY(need(m, 1, err));
    /* Whoever writes numbers them in order, so a number larger than the bytes read is hostile. */
    if (index > m->c.at || index >= MEMO_MAXIMUM)
        return mill_fail(err, MILL_E_INPUT, "memo entry %" PRIu32 " is too large", index);
    struct value value = *stack_from_top(m, 0), absent = {.kind = ABSENT};
    while (m->memo.size / sizeof value <= index)
        MILL_TRY(mill_buffer_append(&m->memo, &absent, sizeof absent, err));
    ((struct value *)m->memo.data)[index] = value;
    return MILL_OK;
}

static mill_status run_binget(struct machine *m, struct mill_error *err) {
    uint32_t index;
    MILL_TRY(take_index(m, &index, err));
    const struct value *memo = (const struct value *)m->memo.data;
    if (index >= m->memo.size / sizeof *memo || memo[index].kind == ABSENT)
        return mill_fail(err, MILL_E_INPUT, "memo entry %" PRIu32 " was never written", index);
    return push(m, memo[index], err);
}

/* The top n values become a tuple. */
static mill_status make_tuple(struct machine *m, size_t n, struct mill_error *err) {
    MILL_TRY(need(m, n, err));
    struct value tuple = {.kind = TUPLE,
                          .index = (uint32_t)(m->items.size / sizeof(struct value)),
                          .length = (uint32_t)n};
    if (n > 0)
        MILL_TRY(
            mill_buffer_append(&m->items, stack_from_top(m, n - 1), n * sizeof(struct value), err));
    m->stack.size -= n * sizeof(struct value);
    return push(m, tuple, err);
}

static mill_status run_short_tuple(struct machine *m, struct mill_error *err) {
    return make_tuple(m, (size_t)m->opcode->n, err);
}

static mill_status run_tuple(struct machine *m, struct mill_error *err) {
    size_t n;
    MILL_TRY(count_to_mark(m, &n, err));
    MILL_TRY(make_tuple(m, n, err));
    *stack_from_top(m, 1) = *stack_from_top(m, 0); /* over the mark */
    m->stack.size -= sizeof(struct value);
    return MILL_OK;
}

static mill_status run_empty_dict(struct machine *m, struct mill_error *err) {
    return push(m, (struct value){.kind = DICTIONARY, .index = m->n_dictionaries++}, err);
}

/* Record the top n values, keys and values in turn, under the dictionary `below` values from the
 * top. */
static mill_status set_items(struct machine *m, size_t n, size_t below, struct mill_error *err) {
    if (n % 2 != 0 || below >= depth(m) || stack_from_top(m, below)->kind != DICTIONARY)
        return mill_fail(err, MILL_E_INPUT, "there is no dictionary with keys and values");
    for (size_t i = n; i > 0; i -= 2) {
        struct pair pair = {.dictionary = stack_from_top(m, below)->index,
                            .key = *stack_from_top(m, i - 1),
                            .value = *stack_from_top(m, i - 2),
                            .at = m->opcode_at};
        if (pair.key.kind != TEXT)
            return mill_fail(err, MILL_E_INPUT, "a key is %s, not text", kind_names[pair.key.kind]);
        MILL_TRY(mill_buffer_append(&m->pairs, &pair, sizeof pair, err));
    }
    m->stack.size -= below * sizeof(struct value);
    return MILL_OK;
}

static mill_status run_setitem(struct machine *m, struct mill_error *err) {
    MILL_TRY(need(m, 3, err));
    return set_items(m, 2, 2, err);
}

static mill_status run_setitems(struct machine *m, struct mill_error *err) {
    size_t n;
    MILL_TRY(count_to_mark(m, &n, err));
    return set_items(m, n, n + 1, err);
}

/* The state of a module's OrderedDict (its _metadata) says nothing about tensors: dropped. */
static mill_status run_build(struct machine *m, struct mill_error *err) {
    MILL_TRY(need(m, 2, err));
    if (stack_from_top(m, 0)->kind != DICTIONARY || stack_from_top(m, 1)->kind != DICTIONARY)
        return mill_fail(err, MILL_E_INPUT, "sets the state of %s with %s",
                         kind_names[stack_from_top(m, 1)->kind],
                         kind_names[stack_from_top(m, 0)->kind]);
    m->stack.size -= sizeof(struct value);
    return MILL_OK;
}

static bool is_line(const uint8_t *line, size_t length, const char *text) {
    return line && length == strlen(text) && memcmp(line, text, length) == 0;
}

static int shown(size_t length) {
    return length < NAME_SHOWN ? (int)length : NAME_SHOWN;
}

static mill_status run_global(struct machine *m, struct mill_error *err) {
    static const struct {
        const char *name;
        enum mill_dtype dtype;
    } storages[] = {
        {"FloatStorage", MILL_F32}, {"DoubleStorage", MILL_F64},    {"HalfStorage", MILL_F16},
        {"LongStorage", MILL_I64},  {"BFloat16Storage", MILL_BF16}, {"IntStorage", MILL_I32},
        {"ShortStorage", MILL_I16}, {"CharStorage", MILL_I8},       {"ByteStorage", MILL_U8},
        {"BoolStorage", MILL_BOOL},
    };
    size_t module_length, name_length;
    const uint8_t *module = mill_cursor_line(&m->c, &module_length);
    const uint8_t *name = module ? mill_cursor_line(&m->c, &name_length) : NULL;
    if (!name || m->c.data[m->c.at - 1] != '\n')
        return truncated(err);
    struct value global = {.kind = GLOBAL, .index = STORAGE_CLASS};
    if (is_line(module, module_length, "collections") && is_line(name, name_length, "OrderedDict"))
        global.index = ORDERED_DICT;
    else if (is_line(module, module_length, "torch._utils") &&
             is_line(name, name_length, "_rebuild_tensor_v2"))
        global.index = REBUILD_TENSOR;
    else {
        size_t i = 0,
               n = is_line(module, module_length, "torch") ? sizeof storages / sizeof *storages : 0;
        while (i < n && !is_line(name, name_length, storages[i].name))
            i++;
        if (i >= n)
            return mill_fail(err, MILL_E_INPUT,
                             "'%.*s.%.*s' is not allowed: only dictionaries of plain tensors are "
                             "read; save the state_dict alone",
                             shown(module_length), (const char *)module, shown(name_length),
                             (const char *)name);
        global.dtype = storages[i].dtype;
    }
    return push(m, global, err);
}

/* ('storage', class, key, location, number of elements) names the bytes of a storage. */
static mill_status run_binpersid(struct machine *m, struct mill_error *err) {
    struct value id;
    MILL_TRY(pop(m, &id, err));
    if (id.kind != TUPLE || id.length != 5)
        return mill_fail(err, MILL_E_INPUT, "not a reference to a storage");
    const struct value *tag = item(m, &id, 0), *type = item(m, &id, 1), *key = item(m, &id, 2),
                       *location = item(m, &id, 3), *elements = item(m, &id, 4);
    if (tag->kind != TEXT || !is_line(m->c.data + tag->index, tag->length, "storage") ||
        type->kind != GLOBAL || type->index != STORAGE_CLASS || key->kind != TEXT ||
        location->kind != TEXT || elements->kind != INTEGER || elements->integer < 0)
        return mill_fail(err, MILL_E_INPUT, "not a reference to a storage");
    struct storage storage = {
        .key = *key, .dtype = type->dtype, .elements = (uint64_t)elements->integer};
    struct value value = {.kind = STORAGE, .index = (uint32_t)(m->storages.size / sizeof storage)};
    MILL_TRY(mill_buffer_append(&m->storages, &storage, sizeof storage, err));
    return push(m, value, err);
}

/* Sizes and strides of a tensor that is contiguous in C order; the stride of a dimension of one
 * element means nothing, and nor does any when there are no elements. */
static mill_status read_shape(struct machine *m, struct mill_pickle_tensor *tensor,
                              const struct value *sizes, const struct value *strides,
                              struct mill_error *err) {
    if (sizes->kind != TUPLE || strides->kind != TUPLE || sizes->length != strides->length)
        return mill_fail(err, MILL_E_INPUT, "a tensor's size and stride are not alike");
    if (sizes->length > MILL_TENSOR_DIMS)
        return mill_fail(err, MILL_E_INPUT,
                         "a tensor of %" PRIu32 " dimensions, at most %d are read", sizes->length,
                         MILL_TENSOR_DIMS);
    tensor->n_dims = (int32_t)sizes->length;
    bool is_empty = false;
    for (uint32_t i = 0; i < sizes->length; i++) {
        const struct value *size = item(m, sizes, i), *stride = item(m, strides, i);
        if (size->kind != INTEGER || size->integer < 0 || stride->kind != INTEGER)
            return mill_fail(err, MILL_E_INPUT, "a tensor's size is not a whole number from 0");
        tensor->shape[i] = size->integer;
        is_empty |= size->integer == 0;
    }
    size_t run = 1;
    for (uint32_t i = sizes->length; !is_empty && i-- > 0;) {
        int64_t stride = item(m, strides, i)->integer;
        if (tensor->shape[i] != 1 && (stride < 0 || (uint64_t)stride != run))
            return mill_fail(err, MILL_E_INPUT,
                             "a tensor that is not contiguous (stride %" PRId64
                             " in dimension %" PRIu32 ", wanted %zu): call .contiguous() before "
                             "torch.save",
                             stride, i, run);
        if (!mill_mul_size(run, (size_t)tensor->shape[i], &run))
            return mill_fail(err, MILL_E_INPUT, "a tensor's sizes are too large");
    }
    return MILL_OK;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks) */
static mill_status rebuild_tensor(struct machine *m, const struct value *arguments,
                                  struct mill_error *err) {
    if (arguments->length != 6)
        return mill_fail(err, MILL_E_INPUT, "_rebuild_tensor_v2 with %" PRIu32 " arguments",
                         arguments->length);
    const struct value *from = item(m, arguments, 0), *first = item(m, arguments, 1);
    if (from->kind != STORAGE || first->kind != INTEGER || first->integer < 0 ||
        item(m, arguments, 4)->kind != BOOLEAN || item(m, arguments, 5)->kind != DICTIONARY)
        return mill_fail(err, MILL_E_INPUT, "_rebuild_tensor_v2 with wrong arguments");
    const struct storage *storage = (const struct storage *)m->storages.data + from->index;
    struct mill_pickle_tensor tensor = {
        .storage = (const char *)m->c.data + storage->key.index,
        .storage_length = storage->key.length,
        .dtype = storage->dtype,
        .storage_elements = storage->elements,
        .first = (uint64_t)first->integer,
        .at = m->opcode_at,
    };
    MILL_TRY(read_shape(m, &tensor, item(m, arguments, 2), item(m, arguments, 3), err));
    struct value value = {.kind = TENSOR, .index = (uint32_t)(m->tensors.size / sizeof tensor)};
    MILL_TRY(mill_buffer_append(&m->tensors, &tensor, sizeof tensor, err));
    return push(m, value, err);
}

static mill_status run_reduce(struct machine *m, struct mill_error *err) {
    struct value function, arguments;
    MILL_TRY(pop(m, &arguments, err));
    MILL_TRY(pop(m, &function, err));
    if (function.kind != GLOBAL || arguments.kind != TUPLE)
        return mill_fail(err, MILL_E_INPUT, "calls %s with %s", kind_names[function.kind],
                         kind_names[arguments.kind]);
    if (function.index == REBUILD_TENSOR)
        return rebuild_tensor(m, &arguments, err);
    if (function.index == ORDERED_DICT && arguments.length == 0)
        return run_empty_dict(m, err);
    return mill_fail(err, MILL_E_INPUT, "calls a storage class or OrderedDict(...)");
}

static const struct opcode opcodes[] = {
    {'\x80', "PROTO", run_proto, 0},
    {'(', "MARK", run_mark, 0},
    {'.', "STOP", run_stop, 0},
    {'c', "GLOBAL", run_global, 0},
    {'R', "REDUCE", run_reduce, 0},
    {'b', "BUILD", run_build, 0},
    {'Q', "BINPERSID", run_binpersid, 0},
    {'}', "EMPTY_DICT", run_empty_dict, 0},
    {'s', "SETITEM", run_setitem, 0},
    {'u', "SETITEMS", run_setitems, 0},
    {')', "EMPTY_TUPLE", run_short_tuple, 0},
    {'\x85', "TUPLE1", run_short_tuple, 1},
    {'\x86', "TUPLE2", run_short_tuple, 2},
    {'\x87', "TUPLE3", run_short_tuple, 3},
    {'t', "TUPLE", run_tuple, 0},
    {'X', "BINUNICODE", run_binunicode, 0},
    {'J', "BININT", run_binint, 4},
    {'K', "BININT1", run_binint, 1},
    {'M', "BININT2", run_binint, 2},
    {'\x8a', "LONG1", run_long1, 0},
    {'\x88', "NEWTRUE", run_boolean, true},
    {'\x89', "NEWFALSE", run_boolean, false},
    {'q', "BINPUT", run_binput, 1},
    {'r', "LONG_BINPUT", run_binput, 4},
    {'h', "BINGET", run_binget, 1},
    {'j', "LONG_BINGET", run_binget, 4},
};

/* The name of an opcode that pickles may hold but tensors do not need, or NULL. */
static const char *refused_name(uint8_t code) {
    switch ((char)code) {
#define X(value, name)                                                                             \
    case value:                                                                                    \
        return #name;
        MILL_PICKLE_REFUSED_MAP(X)
#undef X
    }
    return NULL;
}

static mill_status step(struct machine *m, struct mill_error *err) {
    uint8_t code;
    m->opcode_at = m->c.at;
    if (!mill_cursor_u8(&m->c, &code))
        return mill_fail(err, MILL_E_INPUT, "byte %zu: the pickle ends without STOP: it is cut",
                         m->opcode_at);
    const struct opcode *opcode = opcodes, *end = opcodes + sizeof opcodes / sizeof *opcodes;
    while (opcode < end && (uint8_t)opcode->code != code)
        opcode++;
    const char *refused = opcode == end ? refused_name(code) : NULL;
    if (opcode == end && !refused)
        return mill_fail(err, MILL_E_INPUT, "byte %zu: %u is not an opcode", m->opcode_at,
                         (unsigned)code);
    if (refused)
        return mill_fail(err, MILL_E_INPUT,
                         "byte %zu: opcode %s is not allowed: only dictionaries of plain tensors "
                         "are read; save the state_dict alone",
                         m->opcode_at, refused);
    m->opcode = opcode;
    mill_status status = opcode->run(m, err);
    return status < 0 ? mill_context(err, status, "byte %zu: opcode %s", m->opcode_at, opcode->name)
                      : status;
}

/* The pairs of the dictionary that the program left on the stack. */
static mill_status collect(struct machine *m, struct mill_pickle_tensor **out, size_t *n,
                           struct mill_error *err) {
    if (depth(m) != 1 || stack_from_top(m, 0)->kind != DICTIONARY)
        return mill_fail(err, MILL_E_INPUT, "byte %zu: the pickle is not one dictionary",
                         m->opcode_at);
    uint32_t root = stack_from_top(m, 0)->index;
    const struct pair *pairs = (const struct pair *)m->pairs.data;
    size_t n_pairs = m->pairs.size / sizeof *pairs;
    struct mill_pickle_tensor *found = mill_alloc_array(n_pairs, sizeof *found);
    if (!found)
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu tensors", n_pairs);
    *n = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        const struct pair *pair = &pairs[i];
        if (pair->dictionary != root)
            continue;
        const char *name = (const char *)m->c.data + pair->key.index;
        if (pair->value.kind != TENSOR) {
            free(found);
            return mill_fail(err, MILL_E_INPUT,
                             "byte %zu: key '%.*s' is %s, not a tensor: save the state_dict alone",
                             pair->at, shown(pair->key.length), name, kind_names[pair->value.kind]);
        }
        if (pair->key.length > NAME_MAXIMUM) {
            free(found);
            return mill_fail(err, MILL_E_INPUT, "byte %zu: key '%.*s...': %" PRIu32 " bytes long",
                             pair->at, NAME_SHOWN, name, pair->key.length);
        }
        found[*n] = ((const struct mill_pickle_tensor *)m->tensors.data)[pair->value.index];
        found[*n].name = name;
        found[*n].name_length = pair->key.length;
        ++*n;
    }
    *out = found;
    return MILL_OK;
}

mill_status mill_pickle_read_tensors(struct mill_pickle_tensor **out, size_t *n,
                                     const uint8_t *data, size_t size, struct mill_error *err) {
    *out = NULL;
    if (size > PICKLE_MAXIMUM)
        return mill_fail(err, MILL_E_INPUT, "%zu bytes of pickle, at most %d are read", size,
                         PICKLE_MAXIMUM);
    struct machine m = {.c = {.data = data, .size = size}};
    mill_buffer_init(&m.stack, STACK_MAXIMUM * sizeof(struct value));
    mill_buffer_init(&m.memo, MEMO_MAXIMUM * sizeof(struct value));
    mill_buffer_init(&m.items, ITEMS_MAXIMUM * sizeof(struct value));
    mill_buffer_init(&m.pairs, PAIRS_MAXIMUM * sizeof(struct pair));
    mill_buffer_init(&m.storages, TENSORS_MAXIMUM * sizeof(struct storage));
    mill_buffer_init(&m.tensors, TENSORS_MAXIMUM * sizeof(struct mill_pickle_tensor));
    mill_status status = MILL_OK;
    while (status == MILL_OK && !m.stopped)
        status = step(&m, err);
    if (status == MILL_OK)
        status = collect(&m, out, n, err);
    mill_buffer_deinit(&m.tensors);
    mill_buffer_deinit(&m.storages);
    mill_buffer_deinit(&m.pairs);
    mill_buffer_deinit(&m.items);
    mill_buffer_deinit(&m.memo);
    mill_buffer_deinit(&m.stack);
    return status;
}
