/* speech_markup.c - see script.h and docs/text.md: a subset of SSML 1.1 becomes a script.
 *
 * expat reads it; it fetches nothing, and a DOCTYPE, without which there are no entities but XML's
 * own, is refused, as is every element and attribute that is not in the tables below. Text is
 * collected until an element interrupts it, then brought through the dictionary. */
#include "runtime/text/script.h"

#include "runtime/base/utf8.h"
#include "runtime/text/language.h"
#include "runtime/text/say_as.h"
#include "runtime/text/script_parts.h"

#include <expat.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32, MAX_VOICES = 64, MAX_VOICE_BYTES = 256, MAX_PAUSE_MS = 60000 };
#define LEAST_FACTOR 0.25
#define MOST_FACTOR 4.0

enum element { SPEAK, P, S, BREAK, PROSODY, VOICE, SUB, SAY_AS, N_ELEMENTS };

static const struct {
    const char *name;
    const char *attributes[6]; /* NULL behind the last */
} elements[N_ELEMENTS] = {
    [SPEAK] = {"speak", {"version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"}},
    [P] = {"p", {NULL}},
    [S] = {"s", {NULL}},
    [BREAK] = {"break", {"time", "strength"}},
    [PROSODY] = {"prosody", {"rate", "pitch"}},
    [VOICE] = {"voice", {"name"}},
    [SUB] = {"sub", {"alias"}},
    [SAY_AS] = {"say-as", {"interpret-as", "format"}},
};
#define ELEMENT_NAMES "speak, p, s, break, prosody, voice, sub and say-as"

struct frame {
    enum element element;
    int32_t voice; /* as they are within it */
    double speed, pitch;
};

struct parser {
    XML_Parser xml;
    struct mill_script *script;
    const struct mill_dictionary *dictionary;
    struct frame stack[MAX_DEPTH];
    int depth;
    size_t span;            /* where the present span begins in the script's text */
    struct mill_buffer run; /* text since the last element */
    char said_as[32], format[16];
    mill_status status;
    struct mill_error *err;
};

/* ------------------------------------------------------------------ failing */

static void stop(struct parser *p, mill_status status) {
    if (p->status < 0 || status >= 0)
        return;
    p->status = status;
    mill_context(p->err, status, "line %lu, column %lu", XML_GetCurrentLineNumber(p->xml),
                 XML_GetCurrentColumnNumber(p->xml) + 1);
    XML_StopParser(p->xml, XML_FALSE);
}

#define STOP(p, ...) stop((p), mill_fail((p)->err, MILL_E_INPUT, __VA_ARGS__))

/* ------------------------------------------------------------------ text and spans */

static const struct frame *top(const struct parser *p) {
    return &p->stack[p->depth - 1];
}

/* What was collected goes into the script; line ends are only white space here. */
static mill_status end_run(struct parser *p) {
    if (p->run.size == 0)
        return MILL_OK;
    for (size_t i = 0; i < p->run.size; i++)
        if ((unsigned char)p->run.data[i] < ' ')
            p->run.data[i] = ' ';
    mill_status status =
        mill_dictionary_apply(p->dictionary, p->run.data, p->run.size, &p->script->text, p->err);
    p->run.size = 0;
    return status;
}

static bool ends_with(const char *text, size_t bytes, const char *const *ends) {
    for (; *ends; ends++)
        if (strlen(*ends) <= bytes &&
            memcmp(text + bytes - strlen(*ends), *ends, strlen(*ends)) == 0)
            return true;
    return false;
}

/* What the text ends with where only a voice or its ways change. */
static enum mill_segment_end end_of_text(const struct mill_buffer *from, size_t at) {
    static const char *const sentences[] = {".", "!", "?", "。", "！", "？", "…", "؟", "।", NULL};
    static const char *const clauses[] = {",", ";", ":", "，", "、", "；", "：", "—", NULL};
    if (at == from->size)
        return MILL_SEGMENT_WORD;
    const char *text = from->data + at;
    size_t bytes = from->size - at;
    while (bytes > 0 && strchr(" \"')]", text[bytes - 1]))
        bytes--;
    return ends_with(text, bytes, sentences) ? MILL_SEGMENT_SENTENCE
           : ends_with(text, bytes, clauses) ? MILL_SEGMENT_CLAUSE
                                             : MILL_SEGMENT_WORD;
}

/* The present span ends here, with that rest behind it; -1 = the usual one. */
static mill_status end_span(struct parser *p, enum mill_segment_end end, int32_t pause_ms) {
    MILL_TRY(end_run(p));
    const struct frame *frame = top(p);
    size_t bytes = p->script->text.size - p->span;
    enum mill_segment_end found = end_of_text(&p->script->text, p->span);
    const struct mill_script_span span = {.at = p->span,
                                          .bytes = bytes,
                                          .voice = frame->voice,
                                          .speed = frame->speed,
                                          .pitch = frame->pitch,
                                          .end = found > end ? found : end,
                                          .pause_ms = pause_ms};
    p->span = p->script->text.size;
    if (bytes == 0 && pause_ms < 0 && end == MILL_SEGMENT_WORD)
        return MILL_OK;
    return mill_buffer_append(&p->script->span_list, &span, sizeof span, p->err);
}

/* ------------------------------------------------------------------ elements */

static const char *find(const char **attributes, const char *name) {
    for (; *attributes; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

struct label {
    const char *name;
    double value;
};

/* A label, "80%", or a change such as "+10%"; 0 for anything else. */
static double read_factor(const char *text, const struct label *labels, bool absolute) {
    for (; labels->name; labels++)
        if (strcmp(text, labels->name) == 0)
            return labels->value;
    char *end;
    double percent = strtod(text, &end);
    bool number = end > text && strspn(text, "+-.0123456789") == (size_t)(end - text);
    if (!number || strcmp(end, "%") != 0)
        return 0;
    bool change = text[0] == '+' || text[0] == '-';
    return change ? 1 + percent / 100 : absolute ? percent / 100 : 0;
}

/* What a range of factors is said of. */
static const char *around(double factor_outside) {
    return factor_outside == 1 ? "" : ", together with the elements around it";
}

/* ICU may crash at what is no language tag, so none goes there. */
static void start_speak(struct parser *p, const char **attributes) {
    const char *language = find(attributes, "xml:lang");
    if (!language || !*language)
        return;
    if (strlen(language) >= MILL_SCRIPT_LANGUAGE_BYTES || mill_language_check(language, NULL) < 0)
        STOP(p, "<speak>: xml:lang '%.40s' is not a language tag such as en or zh-CN", language);
    else
        snprintf(p->script->language, sizeof p->script->language, "%s", language);
}

static void start_prosody(struct parser *p, const char **attributes, struct frame *frame) {
    static const struct label rates[] = {{"x-slow", 0.6}, {"slow", 0.8},  {"medium", 1},
                                         {"default", 1},  {"fast", 1.25}, {"x-fast", 1.5},
                                         {NULL, 0}};
    static const struct label pitches[] = {{"x-low", 0.8}, {"low", 0.9},  {"medium", 1},
                                           {"default", 1}, {"high", 1.1}, {"x-high", 1.2},
                                           {NULL, 0}};
    const char *rate = find(attributes, "rate"), *pitch = find(attributes, "pitch");
    double speed = rate ? read_factor(rate, rates, true) : 1;
    double height = pitch ? read_factor(pitch, pitches, false) : 1;
    if (!rate && !pitch)
        STOP(p, "<prosody>: rate or pitch is wanted");
    else if (!(frame->speed * speed >= LEAST_FACTOR && frame->speed * speed <= MOST_FACTOR))
        STOP(p, "<prosody>: rate '%.40s': x-slow, slow, medium, fast, x-fast, or 25%% to 400%%%s",
             rate ? rate : "", around(frame->speed));
    else if (!(frame->pitch * height >= 0.5 && frame->pitch * height <= 2))
        STOP(p, "<prosody>: pitch '%.40s': x-low, low, medium, high, x-high, or -50%% to +100%%%s",
             pitch ? pitch : "", around(frame->pitch));
    frame->speed *= speed;
    frame->pitch *= height;
}

static void start_voice(struct parser *p, const char **attributes, struct frame *frame) {
    const char *name = find(attributes, "name");
    struct mill_script *script = p->script;
    if (!name || !*name || strlen(name) > MAX_VOICE_BYTES) {
        STOP(p, "<voice>: a name is wanted, of at most %d bytes", MAX_VOICE_BYTES);
        return;
    }
    for (frame->voice = 0; frame->voice < script->n_voices; frame->voice++)
        if (strcmp(mill_script_voice(script, frame->voice), name) == 0)
            return;
    if (script->n_voices == MAX_VOICES)
        STOP(p, "<voice>: more than %d voices", MAX_VOICES);
    else
        stop(p, mill_buffer_append(&script->voice_list, name, strlen(name) + 1, p->err));
    script->n_voices++;
}

/* Milliseconds; -1 for what is no such time. */
static int32_t read_time(const char *text) {
    char *end;
    double time = strtod(text, &end);
    bool number = end > text && strspn(text, "+.0123456789") == (size_t)(end - text);
    double ms = strcmp(end, "ms") == 0 ? time : strcmp(end, "s") == 0 ? 1000 * time : -1;
    return number && ms >= 0 && ms <= MAX_PAUSE_MS ? (int32_t)lrint(ms) : -1;
}

static void start_break(struct parser *p, const char **attributes) {
    static const struct label strengths[] = {{"none", 0},     {"x-weak", 100}, {"weak", 200},
                                             {"medium", 400}, {"strong", 800}, {"x-strong", 1500},
                                             {NULL, 0}};
    const char *time = find(attributes, "time"), *strength = find(attributes, "strength");
    int32_t ms = time ? read_time(time) : 400;
    if (ms < 0) {
        STOP(p, "<break>: time '%.40s': 0 to %d s is wanted, such as 500ms or 1.5s", time,
             MAX_PAUSE_MS / 1000);
        return;
    }
    if (!time && strength) {
        const struct label *label = strengths;
        while (label->name && strcmp(label->name, strength) != 0)
            label++;
        if (!label->name)
            STOP(p,
                 "<break>: strength '%.40s': there are none, x-weak, weak, medium, strong and "
                 "x-strong",
                 strength);
        ms = (int32_t)label->value;
    }
    stop(p, end_span(p, MILL_SEGMENT_WORD, ms));
}

static void start_sub(struct parser *p, const char **attributes) {
    const char *alias = find(attributes, "alias");
    if (!alias)
        STOP(p, "<sub>: an alias is wanted");
    else
        stop(p, mill_buffer_append(&p->script->text, alias, strlen(alias), p->err));
}

static void start_say_as(struct parser *p, const char **attributes) {
    const char *kind = find(attributes, "interpret-as"), *format = find(attributes, "format");
    if (!kind)
        STOP(p, "<say-as>: interpret-as is wanted: " MILL_SAY_AS_KINDS);
    snprintf(p->said_as, sizeof p->said_as, "%s", kind ? kind : "");
    snprintf(p->format, sizeof p->format, "%s", format ? format : "ymd");
}

/* Finds it and looks at its attributes and its place. */
static bool check_element(struct parser *p, const char *name, const char **attributes,
                          enum element *out) {
    enum element e = 0;
    while (e < N_ELEMENTS && strcmp(elements[e].name, name) != 0)
        e++;
    if (e == N_ELEMENTS)
        STOP(p, "<%.40s>: there is no such element here; there are " ELEMENT_NAMES, name);
    else if ((e == SPEAK) != (p->depth == 0))
        STOP(p, e == SPEAK ? "<speak> within <speak>" : "<%s>: <speak> must be around it",
             elements[e].name);
    else if (p->depth == MAX_DEPTH)
        STOP(p, "<%s>: more than %d elements within each other", name, MAX_DEPTH);
    else if (p->depth > 0 &&
             (top(p)->element == SUB || top(p)->element == SAY_AS || top(p)->element == BREAK))
        STOP(p, "<%s>: nothing but text may stand in <%s>", name, elements[top(p)->element].name);
    for (; p->status == MILL_OK && *attributes; attributes += 2) {
        bool known = false;
        for (int i = 0; i < 6 && elements[e].attributes[i]; i++)
            known |= strcmp(elements[e].attributes[i], attributes[0]) == 0;
        if (!known)
            STOP(p, "<%s>: attribute '%.40s' is not known here", name, attributes[0]);
    }
    *out = e;
    return p->status == MILL_OK;
}

static void start_element(void *context, const char *name, const char **attributes) {
    struct parser *p = context;
    enum element e;
    if (p->status < 0 || !check_element(p, name, attributes, &e))
        return;
    struct frame frame = {.element = e, .voice = -1, .speed = 1, .pitch = 1};
    if (p->depth > 0) {
        frame = *top(p);
        frame.element = e;
        stop(p, e == P                       ? end_span(p, MILL_SEGMENT_PARAGRAPH, -1)
                : e == S                     ? end_span(p, MILL_SEGMENT_SENTENCE, -1)
                : e == PROSODY || e == VOICE ? end_span(p, MILL_SEGMENT_WORD, -1)
                                             : end_run(p));
    }
    if (e == SPEAK) {
        start_speak(p, attributes);
    } else if (e == BREAK) {
        start_break(p, attributes);
    } else if (e == PROSODY) {
        start_prosody(p, attributes, &frame);
    } else if (e == VOICE) {
        start_voice(p, attributes, &frame);
    } else if (e == SUB) {
        start_sub(p, attributes);
    } else if (e == SAY_AS) {
        start_say_as(p, attributes);
    }
    p->stack[p->depth++] = frame;
}

static mill_status end_say_as(struct parser *p) {
    const char *language = p->script->language[0] ? p->script->language : "en";
    mill_status status = mill_say_as(&p->script->text, language, p->said_as, p->format, p->run.data,
                                     p->run.size, p->err);
    if (status < 0)
        mill_context(p->err, status, "<say-as>");
    p->run.size = 0;
    return status;
}

static void end_element(void *context, const char *name) {
    struct parser *p = context;
    (void)name;
    if (p->status < 0)
        return;
    enum element e = top(p)->element;
    if (e == SUB || e == BREAK)
        p->run.size = 0; /* an alias was said for it; in a break nothing is */
    stop(p, e == SAY_AS                  ? end_say_as(p)
            : e == P || e == SPEAK       ? end_span(p, MILL_SEGMENT_PARAGRAPH, -1)
            : e == S                     ? end_span(p, MILL_SEGMENT_SENTENCE, -1)
            : e == PROSODY || e == VOICE ? end_span(p, MILL_SEGMENT_WORD, -1)
                                         : MILL_OK);
    p->depth--;
}

static void characters(void *context, const char *text, int bytes) {
    struct parser *p = context;
    if (p->status == MILL_OK)
        stop(p, mill_buffer_append(&p->run, text, (size_t)bytes, p->err));
}

static void doctype(void *context, const char *name, const char *system, const char *public,
                    int has_subset) {
    (void)name, (void)system, (void)public, (void)has_subset;
    STOP((struct parser *)context, "a DOCTYPE is not allowed");
}

/* ------------------------------------------------------------------ all of it */

/* What to do about the faults that people make, behind the parser's own words. */
static const char *remedy(enum XML_Error code) {
    if (code == XML_ERROR_INVALID_TOKEN)
        return ": in a text & is written &amp;, and < is &lt;";
    if (code == XML_ERROR_UNDEFINED_ENTITY)
        return ": there are &amp; &lt; &gt; &quot; &apos; and numbers, such as &#160;";
    if (code == XML_ERROR_NO_ELEMENTS)
        return ": something is not closed";
    if (code == XML_ERROR_SYNTAX || code == XML_ERROR_JUNK_AFTER_DOC_ELEMENT)
        return ": one <speak>...</speak> must be around everything";
    return "";
}

static mill_status run(struct parser *p, const char *markup, size_t bytes) {
    XML_SetUserData(p->xml, p);
    XML_SetElementHandler(p->xml, start_element, end_element);
    XML_SetCharacterDataHandler(p->xml, characters);
    XML_SetStartDoctypeDeclHandler(p->xml, doctype);
    if (XML_Parse(p->xml, markup, (int)bytes, 1) == XML_STATUS_OK || p->status < 0)
        return p->status;
    enum XML_Error code = XML_GetErrorCode(p->xml);
    return mill_fail(p->err, code == XML_ERROR_NO_MEMORY ? MILL_E_MEMORY : MILL_E_INPUT,
                     "line %lu, column %lu: %s%s", XML_GetCurrentLineNumber(p->xml),
                     XML_GetCurrentColumnNumber(p->xml) + 1, XML_ErrorString(code), remedy(code));
}

mill_status mill_script_from_markup(struct mill_script *out, const char *markup, size_t bytes,
                                    const struct mill_dictionary *dictionary,
                                    struct mill_error *err) {
    struct mill_error unused;
    struct parser p = {.script = out, .dictionary = dictionary, .err = err ? err : &unused};
    mill_script_init(out);
    if (bytes > MILL_SCRIPT_TEXT_BYTES)
        return mill_fail(err, MILL_E_INPUT, "markup of %zu bytes: at most %d", bytes,
                         MILL_SCRIPT_TEXT_BYTES);
    MILL_TRY(mill_utf8_check(markup, bytes, "the markup", err));
    p.xml = XML_ParserCreate("UTF-8");
    if (!p.xml)
        return mill_fail(err, MILL_E_MEMORY, "no memory for reading markup");
    mill_buffer_init(&p.run, MILL_SCRIPT_TEXT_BYTES);
    mill_status status = run(&p, markup, bytes);
    XML_ParserFree(p.xml);
    mill_buffer_deinit(&p.run);
    if (status < 0) {
        mill_context(p.err, status, "markup");
        mill_script_deinit(out);
    }
    return status;
}
