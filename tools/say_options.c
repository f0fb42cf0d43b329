/* say_options.c - see say_options.h. One table says which options there are, of which kind and in
 * which range; what must fit together is checked behind it. */
#include "tools/say_options.h"

#include "runtime/audio/time_stretch.h"
#include "runtime/voice/voice_labels.h"
#include "tools/command.h"

#include <string.h>
#include <unistd.h>

#define ROW(...) MILL_OPTION(mill_say_options, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("file", 0, TEXT, file, 0, 0),
    ROW("model", 0, TEXT, model, 0, 0),
    ROW("voice", 0, TEXT, voice, 0, 0),
    ROW("voices", 0, TEXT, voices, 0, 0),
    ROW("output", 'o', TEXT, output, 0, 0),
    ROW("format", 0, TEXT, format_name, 0, 0),
    ROW("precision", 0, TEXT, precision, 0, 0),
    ROW("devices", 0, TEXT, devices, 0, 0),
    ROW("gender", 0, TEXT, gender_name, 0, 0),
    ROW("pitch", 0, TEXT, pitch_name, 0, 0),
    ROW("speed", 0, TEXT, speed_name, 0, 0),
    ROW("save-voice", 0, TEXT, save_voice, 0, 0),
    ROW("dictionary", 0, TEXT, dictionary, 0, 0),
    ROW("pitch-hz", 0, NUMBER, pitch_hz, 1, 2000),
    ROW("speed-syllables", 0, NUMBER, speed_syllables, 0, 100),
    ROW("temperature", 0, NUMBER, temperature, 0, 100),
    ROW("top-p", 0, NUMBER, top_p, 0.000001, 1),
    ROW("max-seconds", 0, NUMBER, max_seconds, 0.1, 3600),
    ROW("speed-factor", 0, NUMBER, speed_factor, MILL_SPEED_MIN, MILL_SPEED_MAX),
    ROW("seed", 0, WHOLE, seed, 0, 9007199254740992),
    ROW("top-k", 0, WHOLE, top_k, 0, 1000000),
    ROW("ssml", 0, FLAG, ssml, 0, 0),
    ROW("unrestricted", 0, FLAG, unrestricted, 0, 0),
    ROW("no-cache", 0, FLAG, no_cache, 0, 0),
    ROW("no-disclosure", 0, FLAG, no_disclosure, 0, 0),
};
#undef ROW

static const char help[] =
    "Usage: sparkmill say TEXT|-|--file FILE -o FILE|- [OPTION]...\n"
    "Speak a text (- = standard input); a long one goes on after a kill (FILE.part).\n\n"
    "  --model DIR            checkpoint folder (sparkmill pull), or the demo voice\n"
    "  -o, --output FILE      sound file, - = standard output, while it is made\n"
    "  --format NAME          wav wav24 wavfloat pcm flac mp3 opus aac m4a, where\n"
    "                         the file's ending does not say it\n"
    "  --ssml                 the text is markup: see docs/text.md\n"
    "  --dictionary FILE      how words are said: 'word = spoken text' a line\n"
    "  --voice FILE|NAME      a voice's file, or its name in the registry (--voices\n"
    "                         DIR; see sparkmill voices); else a voice is created:\n"
    "  --gender female|male   --pitch, --speed very_low|low|moderate|high|very_high\n"
    "  --pitch-hz HZ --speed-syllables N    exact, N a second; both or neither\n"
    "  --save-voice FILE      keep the voice for --voice\n"
    "  --seed N               0, or the voice's; the same seed gives the same sound\n"
    "  --temperature X        0.8, or the voice's; 0 = always the likeliest\n"
    "  --top-k N, --top-p X   50, 0.95; 0 and 1 = off\n"
    "  --max-seconds X        60, of a segment: long texts are spoken in several\n"
    "  --speed-factor X       0.25 to 4, of the sound, at the voice's pitch; 1\n"
    "  --devices LIST         cpu, cpu:THREADS, cuda, or a GPU's number; auto, the\n"
    "                         GPUs and else the processor, when it is not said\n"
    "  --precision NAME       auto fp32 bf16 int8; auto is int8 on cpu, bf16 on GPUs\n"
    "  --unrestricted         draw from the whole vocabulary, as upstream does\n"
    "  --no-cache             do not keep converted weights in the cache folder\n"
    "  --no-disclosure        do not mark the sound file as synthetic speech";

static int read_arguments(struct mill_say_options *o, int argc, char **argv) {
    const struct mill_command_line line = {"say", help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, o, &first);
    if (result != MILL_GO_ON)
        return result;
    if (argc - first > 1)
        return mill_command_usage("say", "one text is wanted, not %d: put it in quotes",
                                  argc - first);
    if (first < argc)
        o->text = argv[first];
    return MILL_GO_ON;
}

static int check_voice(struct mill_say_options *o) {
    o->gender = mill_gender_find(o->gender_name);
    o->pitch = mill_level_find(o->pitch_name);
    o->speed = mill_level_find(o->speed_name);
    if (o->gender < 0)
        return mill_command_usage("say", "--gender '%s': there are " MILL_GENDER_LABELS,
                                  o->gender_name);
    if (o->pitch < 0 || o->speed < 0)
        return mill_command_usage("say", "--%s '%s': there are " MILL_LEVEL_LABELS,
                                  o->pitch < 0 ? "pitch" : "speed",
                                  o->pitch < 0 ? o->pitch_name : o->speed_name);
    bool has_pitch = o->pitch_hz >= 0, has_speed = o->speed_syllables >= 0;
    if (o->voice && (o->gender_name || o->pitch_name || o->speed_name || has_pitch || has_speed))
        return mill_command_usage("say", "--voice gives a voice, and --gender, --pitch, --speed, "
                                         "--pitch-hz and --speed-syllables create one: not both");
    if (has_pitch != has_speed)
        return mill_command_usage("say", "--%s also needs --%s: the model takes both or neither",
                                  has_pitch ? "pitch-hz" : "speed-syllables",
                                  has_pitch ? "speed-syllables" : "pitch-hz");
    if (has_speed && o->speed_syllables != (int)o->speed_syllables)
        return mill_command_usage("say", "--speed-syllables %g: a whole number is wanted",
                                  o->speed_syllables);
    return MILL_GO_ON;
}

static int check_output(struct mill_say_options *o) {
    if (!o->output)
        return mill_command_usage("say", "where to? -o FILE, or -o - for standard output");
    o->to_pipe = strcmp(o->output, "-") == 0;
    o->format = MILL_AUDIO_WAV16;
    if (o->format_name && !mill_audio_format_find(o->format_name, &o->format))
        return mill_command_usage("say", "--format '%s': there are " MILL_AUDIO_FORMAT_NAMES,
                                  o->format_name);
    if (!o->format_name && !o->to_pipe && !mill_audio_format_of_path(o->output, &o->format))
        return mill_command_usage("say",
                                  "-o '%s': the format is not known by its ending (.wav .pcm .flac "
                                  ".mp3 .opus .aac .m4a): say it with --format",
                                  o->output);
    if (o->to_pipe && isatty(STDOUT_FILENO))
        return mill_command_usage("say", "-o -: standard output is a terminal, sound would only "
                                         "upset it: use a file or a pipe");
    return MILL_GO_ON;
}

static int check_rest(const struct mill_say_options *o) {
    if (!o->text == !o->file)
        return mill_command_usage("say", o->text ? "a text and --file: only one of them"
                                                 : "what? A text, --file FILE, or - for standard "
                                                   "input");
    if (o->temperature > 0 && o->temperature < 0.01)
        return mill_command_usage("say", "--temperature %g: 0, or 0.01 and more", o->temperature);
    return MILL_GO_ON;
}

int mill_say_options_read(struct mill_say_options *out, int argc, char **argv) {
    *out = (struct mill_say_options){.pitch_hz = -1,
                                     .speed_syllables = -1,
                                     .temperature = -1,
                                     .top_p = -1,
                                     .top_k = -1,
                                     .seed = -1,
                                     .max_seconds = 60,
                                     .speed_factor = 1};
    int result = read_arguments(out, argc, argv);
    if (result == MILL_GO_ON)
        result = check_rest(out);
    if (result == MILL_GO_ON)
        result = check_voice(out);
    if (result == MILL_GO_ON)
        result = check_output(out);
    return result == MILL_GO_ON ? mill_demo_voice_stand_in("say", &out->model, out->demo_voice)
                                : result;
}
