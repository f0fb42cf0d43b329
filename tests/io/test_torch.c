/* test_torch.c - PyTorch files: one that torch.save wrote (data/torch_state.bin, PyTorch 2), and
 * archives made here with pickles that are wrong or hostile. */
#include "runtime/io/tensors.h"
#include "tests/support/bad_input.h"
#include "tests/support/zip_write.h"

#include <stdlib.h>

static const char path[] = "w.bin";

static void real_file(void **state) {
    (void)state;
    struct mill_tensors *t;
    struct mill_error err;
    assert_int_equal(mill_torch_open(&t, MILL_TEST_DATA "/torch_state.bin", &err), MILL_OK);
    static const struct {
        const char *name;
        enum mill_dtype dtype;
        int32_t n_dims;
        int64_t first_dim;
        float first;
    } wanted[] = {
        {"lin.weight", MILL_F32, 2, 4, 0.2974873483181f},
        {"tied.weight", MILL_F32, 2, 4, 0.2974873483181f},
        {"sub.0.weight", MILL_F32, 3, 3, 0.04583530128002167f},
        {"bn.num_batches_tracked", MILL_I64, 0, 0, 0},
        {"view", MILL_F32, 2, 2, 4},
        {"view2", MILL_F32, 1, 4, 8},
        {"f16", MILL_F16, 1, 3, 1},
        {"bf16", MILL_BF16, 1, 3, 1},
        {"f64", MILL_F64, 0, 0, 2.5f},
        {"i32", MILL_I32, 2, 2, 1},
        {"i16", MILL_I16, 1, 1, -300},
        {"i8", MILL_I8, 1, 1, -1},
        {"b", MILL_BOOL, 1, 2, 1},
    };
    assert_int_equal(t->n_entries, 22);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const struct mill_tensor_entry *e = mill_tensors_find(t, wanted[i].name);
        assert_non_null(e);
        assert_int_equal(e->dtype, wanted[i].dtype);
        assert_int_equal(e->n_dims, wanted[i].n_dims);
        assert_int_equal(e->shape[0], wanted[i].first_dim);
        float first;
        mill_dtype_to_f32(e->dtype, t->mapping.data + e->offset, &first, 1);
        assert_true(first == wanted[i].first);
    }
    assert_int_equal(mill_tensors_find(t, "tied.weight")->offset,
                     mill_tensors_find(t, "lin.weight")->offset);
    assert_int_equal(mill_tensors_find(t, "empty")->bytes, 0);
    struct mill_tensors *part; /* every truncation is refused */
    for (size_t cut = 0; cut < t->mapping.size; cut += cut < 200 ? 1 : 37)
        assert_refused(mill_torch_parse(&part, path, t->mapping.data, cut, &err), &err, path);
    mill_tensors_close(t);
}

/* The pieces of a pickle. `S` is a storage of three floats, member data/0. */
#define HEAD "\x80\x02"
#define TEXT(length, text) "X" length "\0\0\0" text
#define KEY TEXT("\1", "w")
#define STORAGE_OF(class, key, n)                                                                  \
    "(" TEXT("\7", "storage") "ctorch\n" class "\n" TEXT("\1", key) TEXT("\3", "cpu") "K" n "tQ"
#define CLASS "ctorch\nFloatStorage\n"
#define S STORAGE_OF("FloatStorage", "0", "\3")
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define HOOKS "ccollections\nOrderedDict\n)R"
/* offset, size and stride as opcodes */
#define TENSOR(storage, offset, size, stride)                                                      \
    REBUILD "(" storage offset size stride "\x89" HOOKS "tR"
#define GOOD TENSOR(S, "K\1", "K\2\x85", "K\1\x85")

struct pickle {
    const char *bytes;
    size_t size;
    const char *wanted; /* parts of the message */
};
#define P(text, wanted)                                                                            \
    { text, sizeof(text) - 1, wanted }

static mill_status parse(const void *pickle, size_t size, bool wide, struct mill_tensors **out,
                         struct mill_buffer *file, struct mill_error *err) {
    static const float data[3] = {1.0f, 2.0f, 3.0f};
    const struct test_zip_member members[] = {
        {"w/data.pkl", pickle, size, 0},
        {"w/byteorder", "little", 6, 0},
        {"w/data/0", data, sizeof data, 0},
        {"w/version", "3\n", 2, 0},
    };
    mill_buffer_init(file, 64 << 20);
    assert_true(test_zip_write(file, members, 4, wide));
    return mill_torch_parse(out, path, (const uint8_t *)file->data, file->size, err);
}

static void good_pickles(void **state) {
    (void)state;
    static const struct pickle cases[] = {
        P(HEAD "}" KEY GOOD "s.", ""),     /* SETITEM */
        P(HEAD "}q\0(" KEY GOOD "u.", ""), /* SETITEMS */
        P(HEAD "ccollections\nOrderedDict\nq\0)Rq\1(" KEY GOOD "u}" TEXT("\1", "m") "h\1sb.", ""),
        P(HEAD "}" KEY TENSOR(S, "\x8a\1\1", "M\2\0J\1\0\0\0\x86", "K\1J\x7f\0\0\0\x86") "s.", ""),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int wide = 0; wide < 2; wide++) {
            struct mill_buffer file;
            struct mill_tensors *t;
            struct mill_error err;
            mill_status status = parse(cases[i].bytes, cases[i].size, wide != 0, &t, &file, &err);
            if (status != MILL_OK)
                fail_msg("case %zu: %s", i, err.text);
            assert_int_equal(t->n_entries, 1);
            float w[2];
            assert_int_equal(t->entries[0].bytes, sizeof w);
            memcpy(w, t->mapping.data + t->entries[0].offset, sizeof w);
            assert_true(w[0] == 2.0f && w[1] == 3.0f);
            mill_tensors_close(t);
            mill_buffer_deinit(&file);
        }
}

static const struct pickle bad[] = {
    P("", "data.pkl|byte 0|ends without STOP"),
    P(HEAD, "byte 2|ends without STOP"),
    P("\x80\4}.", "byte 0|PROTO|protocol 2"),
    P(HEAD "}..", "byte 3|STOP|1 bytes follow"),
    P(HEAD ".", "not one dictionary"),
    P(HEAD "}}.", "not one dictionary"),
    P(HEAD "K\1.", "not one dictionary"),
    P(HEAD "\xff", "byte 2|255 is not an opcode"),
    /* calls and imports */
    P(HEAD "cos\nsystem\n" TEXT("\2", "ls") "\x85R.", "byte 2|GLOBAL|'os.system' is not allowed"),
    P(HEAD "cposix\nsystem\n", "GLOBAL|'posix.system'"),
    P(HEAD "c__builtin__\neval\n", "GLOBAL|'__builtin__.eval'"),
    P(HEAD "cos\nOrderedDict\n", "GLOBAL|'os.OrderedDict'"),
    P(HEAD "ccollections\nsystem\n", "GLOBAL|'collections.system'"),
    P(HEAD "cos\n_rebuild_tensor_v2\n", "GLOBAL|'os._rebuild_tensor_v2'"),
    P(HEAD "ctorch._utils\nsystem\n", "GLOBAL|'torch._utils.system'"),
    P(HEAD "cos\nFloatStorage\n", "GLOBAL|'os.FloatStorage'"),
    P(HEAD "ctorch._utils\n_rebuild_parameter\n", "GLOBAL|_rebuild_parameter"),
    P(HEAD "ctorch\nload\n", "GLOBAL|'torch.load'"),
    P(HEAD "ctorch\nQInt8Storage\n", "GLOBAL|'torch.QInt8Storage'"),
    P(HEAD "cos", "GLOBAL|ends in the middle"),
    P(HEAD "(S'ls'\nios\nsystem\n", "byte 3|opcode STRING is not allowed"),
    P(HEAD "(ios\nsystem\n", "byte 3|opcode INST is not allowed"),
    P(HEAD "(o", "opcode OBJ"),
    P(HEAD "}\x81", "opcode NEWOBJ"),
    P(HEAD "\x93", "opcode STACK_GLOBAL"),
    P(HEAD "\x82\1", "opcode EXT1"),
    P(HEAD "\x95", "opcode FRAME"),
    P(HEAD "]", "opcode EMPTY_LIST"),
    P(HEAD "P0\n", "opcode PERSID"),
    P(HEAD "ctorch\nFloatStorage\n)R.", "REDUCE|calls a storage class"),
    P(HEAD HOOKS "}\x85R.", "REDUCE|calls a dictionary"),
    P(HEAD "ccollections\nOrderedDict\n}\x85R.", "REDUCE|OrderedDict(...)"),
    P(HEAD "K\1)R.", "REDUCE|calls a number"),
    P(HEAD "K\1}b.", "BUILD|state of a number"),
    P(HEAD "ccollections\nOrderedDict\n}b.", "BUILD|state of a global"),
    /* memo */
    P(HEAD "}r\xff\xff\xff\xff.", "byte 3|LONG_BINPUT|memo entry 4294967295"),
    P(HEAD "}r\0\1\0\0.", "LONG_BINPUT|memo entry 256"),
    P(HEAD "h\7.", "byte 2|BINGET|memo entry 7"),
    P(HEAD "j\0\0\0\1.", "LONG_BINGET|memo entry"),
    P(HEAD "}q\3h\2.", "BINGET|memo entry 2"),
    P(HEAD "q\0.", "BINPUT|needs 1 values"),
    P(HEAD "(q\0.", "BINPUT|needs 1 values"),
    /* stack */
    P(HEAD "t.", "TUPLE|no mark"),
    P(HEAD "u.", "SETITEMS|no mark"),
    P(HEAD "(u.", "SETITEMS|no dictionary"),
    P(HEAD "}(K\1u.", "SETITEMS|no dictionary"),
    P(HEAD "}K\1K\2s.", "SETITEM|a key is a number"),
    P(HEAD "}(" KEY "s.", "SETITEM|needs 3 values"),
    P(HEAD "\x85.", "TUPLE1|needs 1 values"),
    P(HEAD "K\1\x87.", "TUPLE3|needs 3 values, finds 1"),
    P(HEAD "R.", "REDUCE|needs 1"),
    P(HEAD "Q.", "BINPERSID|needs 1"),
    P(HEAD "K\1Q.", "BINPERSID|not a reference"),
    P(HEAD "))\x85Q.", "BINPERSID|not a reference"),
    P(HEAD TEXT("\5", "abcde") "Q.", "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storagf") CLASS TEXT("\1", "0") TEXT("\3", "cpu") "K\3tQ.",
      "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storage") "K\1" TEXT("\1", "0") TEXT("\3", "cpu") "K\3tQ.",
      "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storage") CLASS "K\1" TEXT("\3", "cpu") "K\3tQ.",
      "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storage") CLASS TEXT("\1", "0") "K\1K\3tQ.",
      "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storage") CLASS TEXT("\1", "0") TEXT("\3", "cpu") TEXT("\1", "3") "tQ.",
      "BINPERSID|not a reference"),
    P(HEAD "(" TEXT("\7", "storage") CLASS TEXT("\1", "0") TEXT("\3", "cpu") "J\xff\xff\xff\xfftQ.",
      "BINPERSID|not a reference"),
    /* text and numbers */
    P(HEAD "X\xff\xff\xff\xff"
           "a",
      "byte 2|BINUNICODE|4294967295 bytes"),
    P(HEAD TEXT("\2", "a\0"), "BINUNICODE|zero byte"),
    P(HEAD "J\1\2", "BININT|ends in the middle"),
    P(HEAD "\x8a\x09"
           "123456789",
      "LONG1|9 bytes"),
    /* dictionaries that are not of tensors */
    P(HEAD "}" KEY "K\1s.", "key 'w' is a number"),
    P(HEAD "}" KEY "}s.", "key 'w' is a dictionary"),
    P(HEAD "}q\0" KEY "h\0s.", "key 'w' is a dictionary"),
    P(HEAD "}(" KEY GOOD KEY GOOD "u.", "tensor 'w'|occurs twice"),
    /* tensors */
    P(HEAD "}" KEY TENSOR(STORAGE_OF("FloatStorage", "1", "\3"), "K\0", "K\1\x85", "K\1\x85") "s.",
      "tensor 'w'|byte|data/1 is missing"),
    P(HEAD "}" KEY TENSOR(STORAGE_OF("FloatStorage", "0", "\2"), "K\0", "K\1\x85", "K\1\x85") "s.",
      "tensor 'w'|data/0 at byte|12 bytes, but 2 elements of F32"),
    P(HEAD "}" KEY TENSOR(STORAGE_OF("FloatStorage", "0", "\4"), "K\0", "K\1\x85", "K\1\x85") "s.",
      "tensor 'w'|data/0 at byte|12 bytes, but 4 elements of F32"),
    P(HEAD "}" KEY TENSOR(STORAGE_OF("LongStorage", "0", "\1"), "K\0", "K\1\x85", "K\1\x85") "s.",
      "tensor 'w'|12 bytes, but 1 elements of I64"),
    P(HEAD "}" KEY TENSOR(S, "K\2", "K\2\x85", "K\1\x85") "s.",
      "tensor 'w'|2 elements from element 2 reach past the end|data/0 of 3"),
    P(HEAD "}" KEY TENSOR(S, "J\xff\xff\xff\xff", "K\2\x85", "K\1\x85") "s.",
      "REDUCE|wrong arguments"),
    P(HEAD "}" KEY TENSOR(S, "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\2\x85", "K\1\x85") "s.",
      "tensor 'w'|reach past"),
    P(HEAD "}" KEY TENSOR(S, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85") "s.",
      "REDUCE|whole number"),
    P(HEAD "}" KEY TENSOR(S, "K\0", "K\2\x85", "K\2\x85") "s.", "REDUCE|not contiguous"),
    P(HEAD "}" KEY TENSOR(S, "K\0", "K\2K\1\x86", "K\1\x85") "s.", "REDUCE|not alike"),
    P(HEAD "}" KEY TENSOR(S, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                          "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t") "s.",
      "REDUCE|9 dimensions"),
    P(HEAD "}" KEY TENSOR(S, "K\0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\2\x86",
                          "K\2K\1\x86") "s.",
      "tensor 'w'|too large"),
    P(HEAD REBUILD ")R.", "REDUCE|0 arguments"),
};

static void bad_pickles(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mill_buffer file;
        struct mill_tensors *t;
        struct mill_error err;
        mill_status status = parse(bad[i].bytes, bad[i].size, false, &t, &file, &err);
        assert_refused(status, &err, path);
        assert_refused(status, &err, bad[i].wanted);
        assert_null(t);
        mill_buffer_deinit(&file);
    }
}

/* Pickles that grow: deep nesting, a long stack, one long name under many keys. */
static void large_pickles(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    static const struct {
        const char *repeated, *wanted;
    } cases[] = {
        {"(", "MARK|larger than the limit"},
        {"}", "EMPTY_DICT|larger than the limit"},
        {")\x85", "byte|larger than the limit"},
        {"\x85", "TUPLE1|needs 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = strlen(cases[i].repeated);
        char *pickle = malloc(2 + N * length);
        assert_non_null(pickle);
        memcpy(pickle, HEAD, 2);
        for (size_t k = 0; k < N; k++)
            memcpy(pickle + 2 + k * length, cases[i].repeated, length);
        struct mill_buffer file;
        struct mill_tensors *t;
        struct mill_error err;
        assert_refused(parse(pickle, 2 + N * length, false, &t, &file, &err), &err,
                       cases[i].wanted);
        mill_buffer_deinit(&file);
        free(pickle);
    }
}

/* Byte `at` of the file becomes `value`; counted from the end when negative. */
static void spoil(const struct mill_buffer *file, long at, uint8_t value, const char *wanted) {
    uint8_t *copy = malloc(file->size);
    assert_non_null(copy);
    memcpy(copy, file->data, file->size);
    copy[at < 0 ? file->size - (size_t)-at : (size_t)at] = value;
    struct mill_tensors *t;
    struct mill_error err;
    mill_status status = mill_torch_parse(&t, path, copy, file->size, &err);
    assert_refused(status, &err, wanted);
    free(copy);
}

static void bad_archives(void **state) {
    (void)state;
    static const char pickle[] = HEAD "}" KEY GOOD "s.";
    struct mill_buffer file;
    struct mill_tensors *t;
    struct mill_error err;
    assert_int_equal(parse(pickle, sizeof pickle - 1, false, &t, &file, &err), MILL_OK);
    size_t pickle_at = 30 + strlen("w/data.pkl");
    size_t directory;
    directory =
        (size_t)(uint8_t)file.data[file.size - 6] + 256 * (size_t)(uint8_t)file.data[file.size - 5];
    mill_tensors_close(t);
    spoil(&file, (long)pickle_at + 2, ')', "data.pkl at byte 40|checksum");
    spoil(&file, 0, 'Q', "member 'w/data.pkl'|no local header at byte 0");
    spoil(&file, 30, 'x', "member 'w/data.pkl'|differ");
    spoil(&file, 8, 8, "member 'w/data.pkl'|differ");
    spoil(&file, (long)directory, 0, "no directory entry here");
    spoil(&file, (long)directory + 10, 8,
          "byte|member 'w/data.pkl'|compressed (method 8)|torch.save");
    spoil(&file, (long)directory + 8, 1, "member 'w/data.pkl'|encrypted");
    spoil(&file, (long)directory + 20, 1, "member 'w/data.pkl'|size differ");
    spoil(&file, (long)directory + 28, 9, "member|differ");
    spoil(&file, (long)directory + 31, 255, "directory entry is damaged");
    spoil(&file, (long)directory + 42, 1, "no local header at byte 1");
    spoil(&file, -22, 0, "no end record");
    spoil(&file, -2, 1, "no end record");
    spoil(&file, -18, 1, "several parts");
    spoil(&file, -9, 1, "does not end at the end record");
    spoil(&file, -5, 255, "does not end at the end record");
    mill_buffer_deinit(&file);

    static const char legacy[] = "\x80\x02\x8a\x0a";
    assert_refused(mill_torch_parse(&t, path, (const uint8_t *)legacy, 4, &err), &err,
                   "w.bin|byte 0|before 1.6|torch.save");
}

static void check_members(const struct test_zip_member *members, size_t n, const char *wanted) {
    struct mill_buffer file;
    mill_buffer_init(&file, 1 << 20);
    assert_true(test_zip_write(&file, members, n, false));
    struct mill_tensors *t;
    struct mill_error err;
    assert_refused(mill_torch_parse(&t, path, (const uint8_t *)file.data, file.size, &err), &err,
                   wanted);
    mill_buffer_deinit(&file);
}

static void bad_members(void **state) {
    (void)state;
    static const char p[] = HEAD "}.";
    const struct test_zip_member two_pickles[] = {{"a/data.pkl", p, sizeof p - 1, 0},
                                                  {"b/data.pkl", p, sizeof p - 1, 0}};
    check_members(two_pickles, 2, "a second data.pkl");
    const struct test_zip_member twice[] = {{"a/data.pkl", p, sizeof p - 1, 0},
                                            {"a/data.pkl", p, sizeof p - 1, 0}};
    check_members(twice, 2, "second member of the same name");
    const struct test_zip_member none[] = {{"a/b/data.pkl", p, sizeof p - 1, 0}};
    check_members(none, 1, "holds no data.pkl");
    check_members(none, 0, "holds no data.pkl");
    const struct test_zip_member big[] = {{"a/data.pkl", p, sizeof p - 1, 0},
                                          {"a/byteorder", "big", 3, 0}};
    check_members(big, 2, "byteorder at byte");
}

/* A member whose local header lies in the content of another: one file, two meanings. */
static void overlapping_members(void **state) {
    (void)state;
    static const struct test_zip_member inner = {"x/b", "content", 7, 0};
    struct mill_buffer inside, file;
    mill_buffer_init(&inside, 1 << 20);
    mill_buffer_init(&file, 1 << 20);
    assert_true(test_zip_write(&inside, &inner, 1, false));
    const struct test_zip_member outer[] = {{"x/a", inside.data, inside.size, 0}, inner};
    assert_true(test_zip_write(&file, outer, 2, false));
    size_t second_entry = file.size - 22 - 46 - strlen("x/b");
    file.data[second_entry + 42] = (char)(30 + strlen("x/a"));
    struct mill_tensors *t;
    struct mill_error err;
    assert_refused(mill_torch_parse(&t, path, (const uint8_t *)file.data, file.size, &err), &err,
                   "byte 33|two members overlap");
    mill_buffer_deinit(&file);
    mill_buffer_deinit(&inside);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_file),           cmocka_unit_test(good_pickles),
        cmocka_unit_test(bad_pickles),         cmocka_unit_test(large_pickles),
        cmocka_unit_test(bad_archives),        cmocka_unit_test(bad_members),
        cmocka_unit_test(overlapping_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
