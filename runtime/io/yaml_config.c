/* yaml_config.c - the YAML half of config.h: libyaml's events into jansson's values.
 *
 * A subset on purpose: one document of mappings, sequences and scalars. Anchors, aliases, tags,
 * merge keys and duplicate keys are refused with their line, so a value is what stands in the file
 * and small files cannot unfold into large ones. The open containers are kept on a stack of fixed
 * depth; nothing recurses. One call, one thread. */
#include "runtime/base/file.h"
#include "runtime/base/utf8.h"
#include "runtime/io/config.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { DEPTH_MAXIMUM = 32, TEXT_SHOWN = 100 };

struct builder {
    json_t *root; /* owned; holds all that follow */
    struct {
        json_t *container; /* borrowed from root */
        char *key;         /* owned: the mapping's key that waits for its value, or NULL */
    } open[DEPTH_MAXIMUM];
    int depth;
    bool had_document;
};

static mill_status no_memory(struct mill_error *err) {
    return mill_fail(err, MILL_E_MEMORY, "no memory");
}

/* Put `value` (taken over) where the document is: as root, into the innermost list, or under the
 * key that waits. */
static mill_status add(struct builder *b, json_t *value, struct mill_error *err) {
    if (!value)
        return no_memory(err);
    if (b->depth == 0) {
        b->root = value;
        return MILL_OK;
    }
    json_t *container = b->open[b->depth - 1].container;
    char **key = &b->open[b->depth - 1].key;
    int failed = json_is_array(container) ? json_array_append_new(container, value)
                                          : json_object_set_new(container, *key, value);
    free(*key);
    *key = NULL;
    return failed ? no_memory(err) : MILL_OK;
}

static mill_status open_container(struct builder *b, json_t *container, struct mill_error *err) {
    if (b->depth == DEPTH_MAXIMUM) {
        json_decref(container);
        return mill_fail(err, MILL_E_INPUT, "nested deeper than %d", DEPTH_MAXIMUM);
    }
    MILL_TRY(add(b, container, err));
    b->open[b->depth++].container = container;
    return MILL_OK;
}

static bool is_one_of(const char *text, const char *const *list) {
    while (*list && strcmp(text, *list) != 0)
        list++;
    return *list != NULL;
}

static bool all_digits(const char *text, const char *digits) {
    return *text && text[strspn(text, digits)] == '\0';
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *p) {
    static const char digits[] = "0123456789";
    p += *p == '-' || *p == '+';
    size_t whole = strspn(p, digits);
    p += whole;
    size_t fraction = 0;
    if (*p == '.') {
        fraction = strspn(p + 1, digits);
        p += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        return all_digits(p, digits);
    }
    return *p == '\0';
}

static mill_status add_number(struct builder *b, const char *text, int base, bool is_whole,
                              struct mill_error *err) {
    char *end;
    errno = 0;
    if (is_whole) {
        long long value = strtoll(text + (base == 10 ? 0 : 2), &end, base);
        if (errno || *end)
            return mill_fail(err, MILL_E_INPUT, "'%.*s': the number is too large", TEXT_SHOWN,
                             text);
        return add(b, json_integer(value), err);
    }
    /* The locale is that of the program that the engine is a part of, and may have commas. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", NULL);
    if (!plain)
        return no_memory(err);
    double value = strtod_l(text, &end, plain);
    freelocale(plain);
    if (!isfinite(value) || *end)
        return mill_fail(err, MILL_E_INPUT, "'%.*s': not a number that can be kept", TEXT_SHOWN,
                         text);
    return add(b, json_real(value), err);
}

/* A plain scalar by YAML 1.2's core schema (10.3.2). */
static mill_status add_plain(struct builder *b, const char *text, size_t length,
                             struct mill_error *err) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const not_finite[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                             "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                             ".NaN",  ".NAN",  NULL};
    const char *unsigned_text = text + (*text == '-' || *text == '+');
    if (is_one_of(text, nulls))
        return add(b, json_null(), err);
    if (is_one_of(text, trues))
        return add(b, json_true(), err);
    if (is_one_of(text, falses))
        return add(b, json_false(), err);
    if (is_one_of(text, not_finite))
        return mill_fail(err, MILL_E_INPUT, "'%s' is not a finite number", text);
    if (all_digits(unsigned_text, "0123456789"))
        return add_number(b, text, 10, true, err);
    if (strncmp(text, "0o", 2) == 0 && all_digits(text + 2, "01234567"))
        return add_number(b, text, 8, true, err);
    if (strncmp(text, "0x", 2) == 0 && all_digits(text + 2, "0123456789abcdefABCDEF"))
        return add_number(b, text, 16, true, err);
    if (is_float(text))
        return add_number(b, text, 10, false, err);
    return add(b, json_stringn(text, length), err);
}

static mill_status add_key(struct builder *b, const char *text, struct mill_error *err) {
    if (strcmp(text, "<<") == 0)
        return mill_fail(err, MILL_E_INPUT, "merge keys (<<) are not read");
    if (json_object_get(b->open[b->depth - 1].container, text))
        return mill_fail(err, MILL_E_INPUT, "key '%.*s' occurs twice", TEXT_SHOWN, text);
    b->open[b->depth - 1].key = strdup(text);
    return b->open[b->depth - 1].key ? MILL_OK : no_memory(err);
}

static mill_status take_scalar(struct builder *b, const yaml_event_t *event, bool is_key,
                               struct mill_error *err) {
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(text, 0, length))
        return mill_fail(err, MILL_E_INPUT, "text holds a zero byte");
    if (is_key)
        return add_key(b, text, err);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return add_plain(b, text, length, err);
    return add(b, json_stringn(text, length), err);
}

static mill_status check_bare(const yaml_char_t *anchor, const yaml_char_t *tag,
                              struct mill_error *err) {
    if (anchor)
        return mill_fail(err, MILL_E_INPUT, "anchors (&%.*s) are not read", TEXT_SHOWN,
                         (const char *)anchor);
    if (tag)
        return mill_fail(err, MILL_E_INPUT, "tags (%.*s) are not read", TEXT_SHOWN,
                         (const char *)tag);
    return MILL_OK;
}

static mill_status take_event(struct builder *b, const yaml_event_t *event,
                              struct mill_error *err) {
    const bool in_mapping = b->depth > 0 && json_is_object(b->open[b->depth - 1].container);
    const bool is_key = in_mapping && !b->open[b->depth - 1].key;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->had_document)
            return mill_fail(err, MILL_E_INPUT, "a second document is not read");
        b->had_document = true;
        return MILL_OK;
    case YAML_ALIAS_EVENT:
        return mill_fail(err, MILL_E_INPUT, "aliases (*%.*s) are not read", TEXT_SHOWN,
                         (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        MILL_TRY(check_bare(event->data.scalar.anchor, event->data.scalar.tag, err));
        return take_scalar(b, event, is_key, err);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        const bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
        if (is_list)
            MILL_TRY(
                check_bare(event->data.sequence_start.anchor, event->data.sequence_start.tag, err));
        else
            MILL_TRY(
                check_bare(event->data.mapping_start.anchor, event->data.mapping_start.tag, err));
        if (is_key)
            return mill_fail(err, MILL_E_INPUT, "a key that is a list or a mapping");
        return open_container(b, is_list ? json_array() : json_object(), err);
    }
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return MILL_OK;
    default: /* starts and ends of stream and document */
        return MILL_OK;
    }
}

static mill_status parser_failure(const yaml_parser_t *parser, const char *name,
                                  struct mill_error *err) {
    if (parser->error == YAML_MEMORY_ERROR)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", name);
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_READER_ERROR)
        return mill_fail(err, MILL_E_INPUT, "'%s': byte %zu: %s", name, parser->problem_offset,
                         problem);
    return mill_fail(err, MILL_E_INPUT, "'%s': line %zu: %s", name, parser->problem_mark.line + 1,
                     problem);
}

static mill_status build(struct builder *b, yaml_parser_t *parser, const char *name,
                         struct mill_error *err) {
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return parser_failure(parser, name, err);
        mill_status status = take_event(b, &event, err);
        ended = event.type == YAML_STREAM_END_EVENT;
        size_t line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (status < 0)
            return mill_context(err, status, "'%s': line %zu", name, line);
    }
    return b->root ? MILL_OK : mill_fail(err, MILL_E_INPUT, "'%s': there is nothing in it", name);
}

mill_status mill_yaml_parse(json_t **out, const char *name, const char *data, size_t size,
                            struct mill_error *err) {
    *out = NULL;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", name);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    size_t mark = mill_utf8_mark_bytes(data, size); /* which libyaml takes for text, told so */
    yaml_parser_set_input_string(&parser, (const unsigned char *)(size > mark ? data + mark : ""),
                                 size - mark);
    struct builder b = {0};
    mill_status status = build(&b, &parser, name, err);
    yaml_parser_delete(&parser);
    for (int i = 0; i < DEPTH_MAXIMUM; i++)
        free(b.open[i].key); /* one waits in each open mapping when parsing failed */
    if (status < 0)
        json_decref(b.root);
    else
        *out = b.root;
    return status;
}

mill_status mill_yaml_open(json_t **out, const char *path, size_t maximum, struct mill_error *err) {
    *out = NULL;
    struct mill_buffer text;
    mill_buffer_init(&text, maximum);
    mill_status status = mill_file_read(path, &text, err);
    if (status == MILL_OK)
        status = mill_yaml_parse(out, path, text.data, text.size, err);
    mill_buffer_deinit(&text);
    return status;
}
