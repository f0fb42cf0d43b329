/* language.c - see language.h. */
#include "runtime/text/language.h"

#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

enum { LOOK_BYTES = 8192, WORD_BYTES = 24 };

enum { DE, EN, ES, FR, IT, JA, KO, NL, PL, PT, RU, ZH, N_LANGUAGES };

/* Abbreviations that often end a sentence (etc., usw., Inc.) are not here: a sentence that is split
 * too often costs less than two that are read as one. */
static const struct mill_language languages[N_LANGUAGES] = {
    [DE] = {.tag = "de",
            .ordinal_dots = true,
            .abbreviations = " dr prof hr fr frl bzw ca vgl evtl ggf inkl exkl sog st geb gest hl "
                             "dipl ing mag phil med bspw allg chr jh mio mrd tel ",
            .before_numbers = " nr abb bd kap art abs ziff jan feb aug sept okt nov dez ",
            .common_words =
                " der die das und ist nicht ein eine zu mit auf den von ich er wir auch "
                "sich dem für im wie war aber "},
    [EN] = {.tag = "en",
            .abbreviations =
                " mr mrs ms dr prof rev hon st gen col lt sgt capt cmdr adm maj gov sen "
                "rep pres supt mt ft vs cf messrs mme mlle approx ",
            .before_numbers =
                " no nos vol vols fig figs p pp ch chap sec art eq jan feb mar apr jun "
                "jul aug sep sept oct nov dec ",
            .common_words = " the of and to in is was that it for with as his he she they be at by "
                            "this had not are but from or have an were "},
    [ES] = {.tag = "es",
            .abbreviations =
                " sr sra srta sres dr dra dña prof profa lic ing arq ud uds vd vds sto "
                "sta gral cnel avda aprox ",
            .before_numbers = " núm nro pág págs art cap vol fig ",
            .common_words = " el los las de que y en un una por con para no se su lo como más pero "
                            "del al es muy "},
    [FR] = {.tag = "fr",
            .abbreviations = " mm mme mmes mlle mlles mgr dr pr me st ste cf env av ap ",
            .before_numbers = " art pp vol chap fig ",
            .common_words =
                " le la les des et est une un dans que pour pas il elle qui du ne sur ce "
                "au je vous nous avec "},
    [IT] = {.tag = "it",
            .abbreviations = " sig sigg dott prof avv ing arch geom rag cfr on sen dr ",
            .before_numbers = " pag pagg art vol fig cap ",
            .common_words =
                " il lo gli di che è un una per non con del della si sono le i era come "
                "ma nel anche "},
    [JA] = {.tag = "ja"},
    [KO] = {.tag = "ko"},
    [NL] = {.tag = "nl",
            .abbreviations = " dhr mevr mw dr drs ir ing prof mr st bijv evt ca jl vgl ",
            .before_numbers = " nr blz art fig ",
            .common_words =
                " de het een en van ik niet dat is zijn op te met voor hij maar ook aan "
                "er als zij om "},
    [PL] = {.tag = "pl",
            .ordinal_dots = true,
            .abbreviations = " dr prof mgr inż hab płk gen ks św ul np tj tzw tzn ok por pt al ",
            .before_numbers = " nr str art rys ",
            .common_words = " i w na nie się jest to z że do jak po co za od był ale o jego czy "},
    [PT] = {.tag = "pt",
            .abbreviations = " sr sra srs dr dra prof profa eng exmo exma av ",
            .before_numbers = " núm pág págs art vol fig cap ",
            .common_words =
                " o os as que e é um uma para não com do da em se por mais ao dos na no "
                "foi ele "},
    [RU] = {.tag = "ru",
            .abbreviations = " им ул просп пер пл акад проф доц св см ср напр ",
            .before_numbers = " стр рис гл ст "},
    [ZH] = {.tag = "zh"},
};

const struct mill_language *mill_language_find(const char *tag) {
    size_t n = strcspn(tag, "-_");
    for (int i = 0; i < N_LANGUAGES; i++)
        if (strlen(languages[i].tag) == n && strncasecmp(languages[i].tag, tag, n) == 0)
            return &languages[i];
    return NULL;
}

mill_status mill_language_check(const char *tag, struct mill_error *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char both[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t n = strspn(tag, letters);
    const char *at = tag + n;
    bool good = n >= 2 && n <= 8;
    while (good && *at == '-') {
        n = strspn(++at, both);
        good = n >= 1 && n <= 8;
        at += n;
    }
    if (good && *at == '\0')
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT,
                     "language: '%.40s' is not a language tag such as en or zh-CN", tag);
}

/* ------------------------------------------------------------------ detection */

/* A word as lists have it, in lower case between two spaces; empty when it is too long for any. */
struct word {
    char text[WORD_BYTES + 8];
    int n;
};

static void add_letter(struct word *word, UChar32 c) {
    if (word->n == 0)
        word->text[word->n++] = ' ';
    if (word->n <= WORD_BYTES)
        U8_APPEND_UNSAFE(word->text, word->n, u_tolower(c));
}

static void count_word(struct word *word, int score[N_LANGUAGES]) {
    if (word->n > 0 && word->n <= WORD_BYTES) {
        word->text[word->n++] = ' ';
        word->text[word->n] = '\0';
        for (int i = 0; i < N_LANGUAGES; i++)
            score[i] += languages[i].common_words && strstr(languages[i].common_words, word->text);
    }
    word->n = 0;
}

/* Letters of each script; an ideograph or a syllable says as much as three letters. */
struct scripts {
    int latin, cyrillic, han, kana, hangul, other;
};

static void count_script(struct scripts *scripts, UChar32 c) {
    UErrorCode code = U_ZERO_ERROR;
    switch (uscript_getScript(c, &code)) {
    case USCRIPT_LATIN:
        scripts->latin++;
        break;
    case USCRIPT_CYRILLIC:
        scripts->cyrillic++;
        break;
    case USCRIPT_HAN:
        scripts->han += 3;
        break;
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
        scripts->kana += 3;
        break;
    case USCRIPT_HANGUL:
        scripts->hangul += 3;
        break;
    default:
        scripts->other++;
    }
}

static const struct mill_language *choose(const struct scripts *s, const int score[N_LANGUAGES]) {
    int east = s->han + s->kana, most = s->latin;
    most = s->cyrillic > most ? s->cyrillic : most;
    most = s->hangul > most ? s->hangul : most;
    most = east > most ? east : most;
    if (s->other > most || most == 0)
        return NULL;
    if (most == east)
        return &languages[s->kana * 10 > east ? JA : ZH];
    if (most == s->hangul)
        return &languages[KO];
    if (most == s->cyrillic)
        return &languages[RU];
    int best = EN;
    for (int i = 0; i < N_LANGUAGES; i++)
        best = score[i] > score[best] ? i : best;
    return &languages[best];
}

const struct mill_language *mill_language_detect(const char *text, size_t bytes) {
    struct scripts scripts = {0};
    struct word word = {.n = 0};
    int score[N_LANGUAGES] = {0};
    size_t n = bytes < LOOK_BYTES ? bytes : LOOK_BYTES;
    for (size_t at = 0; at < n;) {
        UChar32 c;
        U8_NEXT(text, at, n, c);
        if (c >= 0 && u_isalpha(c)) {
            count_script(&scripts, c);
            add_letter(&word, c);
        } else {
            count_word(&word, score);
        }
    }
    count_word(&word, score);
    return choose(&scripts, score);
}
