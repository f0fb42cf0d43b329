/* test_grammar.c - the output format: what may come next at every place, what each token means, and
 * what is refused; with the grammar and unrestricted. */
#include "tests/engine/fake_tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct mill_grammar_tokens tokens;

static int open_tokens(void **state) {
    (void)state;
    return mill_grammar_tokens_init(&tokens, &fake_control, N_VOICE, NULL);
}

static int close_tokens(void **state) {
    (void)state;
    mill_grammar_tokens_deinit(&tokens);
    mill_grammar_tokens_deinit(&tokens);
    return 0;
}

enum { FORCED = 1000 };

struct move {
    int32_t next; /* a legal set, or FORCED + token */
    int32_t token;
    enum mill_grammar_event event;
    int32_t code; /* where the event has one */
};

static void walk(enum mill_grammar_start start, bool unrestricted, const struct move *moves,
                 int n_moves) {
    struct mill_grammar g;
    mill_grammar_start(&g, start, unrestricted);
    for (int i = 0; i < n_moves; i++) {
        struct mill_grammar_next next = mill_grammar_next(&g, &tokens);
        int32_t got = next.forced ? FORCED + next.token : (int32_t)next.legal;
        if (got != moves[i].next)
            fail_msg("move %d: next is %d, not %d", i, got, moves[i].next);
        enum mill_grammar_event event;
        int32_t code;
        struct mill_error err = {""};
        if (mill_grammar_accept(&g, &tokens, moves[i].token, &event, &code, &err) != MILL_OK)
            fail_msg("move %d: %s", i, err.text);
        assert_int_equal(event, moves[i].event);
        if (event == MILL_GRAMMAR_GLOBAL || event == MILL_GRAMMAR_SEMANTIC)
            assert_int_equal(code, moves[i].code);
        assert_int_equal(g.ended, event == MILL_GRAMMAR_END);
    }
}
#define WALK(start, unrestricted, moves)                                                           \
    walk(start, unrestricted, moves, (int)(sizeof(moves) / sizeof *(moves)))

static const struct move create[] = {
    {MILL_LEGAL_PITCH, 11, MILL_GRAMMAR_NOTHING, 0},
    {MILL_LEGAL_SPEED, 12, MILL_GRAMMAR_NOTHING, 0},
    {FORCED + END_ACOUSTIC, END_ACOUSTIC, MILL_GRAMMAR_NOTHING, 0},
    {FORCED + START_GLOBAL, START_GLOBAL, MILL_GRAMMAR_NOTHING, 0},
    {MILL_LEGAL_GLOBAL, 31, MILL_GRAMMAR_GLOBAL, 2},
    {MILL_LEGAL_GLOBAL, 20, MILL_GRAMMAR_GLOBAL, 1},
    {MILL_LEGAL_GLOBAL, 30, MILL_GRAMMAR_GLOBAL, 0},
    {FORCED + END_GLOBAL, END_GLOBAL, MILL_GRAMMAR_NOTHING, 0},
    {FORCED + START_SEMANTIC, START_SEMANTIC, MILL_GRAMMAR_NOTHING, 0},
    {MILL_LEGAL_SEMANTIC, 60, MILL_GRAMMAR_SEMANTIC, 3},
    {MILL_LEGAL_SEMANTIC, IM_END, MILL_GRAMMAR_END, 0},
};

static void test_walks(void **state) {
    (void)state;
    WALK(MILL_GRAMMAR_CREATE, false, create);
    walk(MILL_GRAMMAR_CREATE_VALUES, false, create + 3, 8);
    walk(MILL_GRAMMAR_SPEAK, false, create + 9, 2);
    static const struct move any[] = {
        {MILL_LEGAL_ANY, TEXT, MILL_GRAMMAR_NOTHING, 0},
        {MILL_LEGAL_ANY, 20, MILL_GRAMMAR_NOTHING, 0}, /* the voice is given: passes by */
        {MILL_LEGAL_ANY, 42, MILL_GRAMMAR_SEMANTIC, 2},
        {MILL_LEGAL_ANY, 100000, MILL_GRAMMAR_NOTHING, 0},
        {MILL_LEGAL_ANY, IM_END, MILL_GRAMMAR_END, 0},
    };
    WALK(MILL_GRAMMAR_SPEAK, true, any);
    static const struct move any_create[] = {
        {MILL_LEGAL_ANY, 10, MILL_GRAMMAR_NOTHING, 0},
        {MILL_LEGAL_ANY, 20, MILL_GRAMMAR_GLOBAL, 1},
        {MILL_LEGAL_ANY, END_GLOBAL, MILL_GRAMMAR_NOTHING, 0},
        {MILL_LEGAL_ANY, 21, MILL_GRAMMAR_GLOBAL, 3},
        {MILL_LEGAL_ANY, 21, MILL_GRAMMAR_GLOBAL, 3},
        {MILL_LEGAL_ANY, 61, MILL_GRAMMAR_SEMANTIC, 4},
        {MILL_LEGAL_ANY, IM_END, MILL_GRAMMAR_END, 0},
    };
    WALK(MILL_GRAMMAR_CREATE, true, any_create);
}

/* At every place of creation, every token but the right ones is refused. */
static void test_out_of_place(void **state) {
    (void)state;
    for (int place = 0; place < 11; place++)
        for (int32_t token = -2; token < 100; token++) {
            struct mill_grammar g;
            enum mill_grammar_event event;
            int32_t code;
            mill_grammar_start(&g, MILL_GRAMMAR_CREATE, false);
            for (int i = 0; i < place; i++)
                mill_grammar_accept(&g, &tokens, create[i].token, &event, &code, NULL);
            if (g.ended)
                continue;
            static const int32_t legal[][6] = {{10, 11},
                                               {12, 13},
                                               {END_ACOUSTIC},
                                               {START_GLOBAL},
                                               {30, 20, 31, 21},
                                               {30, 20, 31, 21},
                                               {30, 20, 31, 21},
                                               {END_GLOBAL},
                                               {START_SEMANTIC},
                                               {40, 41, 42, 60, 61, IM_END},
                                               {40, 41, 42, 60, 61, IM_END}};
            bool wanted = false;
            for (int i = 0; i < 6; i++)
                wanted |= legal[place][i] != 0 && legal[place][i] == token;
            mill_status status = mill_grammar_accept(&g, &tokens, token, &event, &code, NULL);
            if ((status == MILL_OK) != wanted)
                fail_msg("place %d token %d: status %d", place, token, status);
        }
}

static void test_wrong_voice(void **state) {
    (void)state;
    struct mill_grammar g;
    enum mill_grammar_event event;
    int32_t code;
    struct mill_error err;
    mill_grammar_start(&g, MILL_GRAMMAR_CREATE, true);
    assert_int_equal(mill_grammar_accept(&g, &tokens, 20, &event, &code, &err), MILL_OK);
    assert_int_equal(mill_grammar_accept(&g, &tokens, 40, &event, &code, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "said 1 global tokens where 3 make a voice"));
    mill_grammar_start(&g, MILL_GRAMMAR_CREATE, true);
    for (int i = 0; i < N_VOICE; i++)
        assert_int_equal(mill_grammar_accept(&g, &tokens, 20, &event, &code, &err), MILL_OK);
    assert_int_equal(mill_grammar_accept(&g, &tokens, 20, &event, &code, &err), MILL_E_INPUT);
    assert_non_null(strstr(err.text, "said 4 or more global tokens"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_out_of_place),
        cmocka_unit_test(test_wrong_voice),
    };
    return cmocka_run_group_tests(tests, open_tokens, close_tokens);
}
