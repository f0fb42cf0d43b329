/* speech_plan.c - see speech_plan.h. */
#include "runtime/server/speech_plan.h"

#include "runtime/voice/voice_use.h"

#include <math.h>
#include <string.h>

enum { REDRAWS = 2, MAX_CHAR_BYTES = 4 };

/* Voice, with labels where the client changed those of a created one: MILL_E_INPUT for another's.
 */
static mill_status settle_voice(const struct mill_shelf_voice *voice,
                                const struct mill_labels *said, struct mill_engine_request *request,
                                struct mill_error *err) {
    if (said->gender < 0 && said->pitch < 0 && said->rate < 0) {
        mill_voice_use(&voice->voice, request);
        return MILL_OK;
    }
    if (!voice->is_created)
        return mill_fail(err, MILL_E_INPUT,
                         "voice '%s' is a recording's: gender, pitch and rate are for created "
                         "voices, such as 'female' and 'male'; speed is for all",
                         voice->name);
    mill_voice_use(&(const struct mill_voice){0}, request); /* its labels make it */
    request->gender = said->gender >= 0 ? said->gender : voice->labels.gender;
    request->pitch = said->pitch >= 0 ? said->pitch : voice->labels.pitch;
    request->speed = said->rate >= 0 ? said->rate : voice->labels.rate;
    request->seed = voice->seed;
    return MILL_OK;
}

/* A voice that markup names: "NAME" or "NAME,pitch:high,speed:low". */
static mill_status find_voice(void *context, const char *name, struct mill_engine_request *request,
                              struct mill_error *err) {
    struct mill_speech_plan *plan = context;
    struct mill_labels labels;
    char text[MILL_VOICE_REFERENCE_BYTES];
    MILL_TRY(mill_voice_reference_read(name, text, &labels, err));
    struct mill_shelf_voice *voice = mill_shelf_find(plan->server->shelf, text);
    if (!voice)
        return mill_fail(err, MILL_E_INPUT, "there is no voice '%s'", text);
    mill_shelf_release(plan->marked);
    plan->marked = voice;
    return settle_voice(voice, &labels, request, err);
}

static void settle_sampling(const struct mill_speech_wish *wish, const struct mill_voice *voice,
                            struct mill_engine_request *request) {
    const struct mill_voice_sampling chosen = {.temperature = wish->temperature,
                                               .top_p = wish->top_p,
                                               .top_k = (int32_t)wish->top_k,
                                               .seed = wish->seed};
    mill_voice_settle_sampling(voice, &chosen, request);
    /* What is to be judged cannot leave before; what nobody has heard may always be drawn again. */
    request->stream = wish->redraws <= 0;
    request->max_redraws = wish->redraws >= 0 ? (int32_t)wish->redraws : REDRAWS;
}

bool mill_speech_plan_options(struct mill_speech_plan *plan, struct mill_passage_options *options,
                              struct mill_problem *problem) {
    struct mill_engine_request *request = &options->wish;
    const struct mill_server *server = plan->server;
    const struct mill_speech_wish *wish = &plan->wish;
    struct mill_error err;
    mill_passage_options_init(options);
    options->text = wish->input;
    options->text_bytes = wish->input_bytes;
    options->markup = wish->is_markup;
    options->dictionary = plan->dictionary ? plan->dictionary : server->dictionary;
    options->language = wish->language;
    options->speed = wish->speed;
    if (wish->clause_ms >= 0)
        options->clause_ms = wish->clause_ms;
    if (wish->sentence_ms >= 0)
        options->sentence_ms = wish->sentence_ms;
    if (wish->paragraph_ms >= 0)
        options->paragraph_ms = wish->paragraph_ms;
    options->max_rests_s = server->options->max_rests_s;
    options->max_spoken_bytes = (size_t)server->options->max_input_chars * MAX_CHAR_BYTES;
    options->find_voice = find_voice;
    request->max_frames =
        (int32_t)fmax(1, server->options->max_utterance_s * server->frames_per_second);
    request->deadline_s = wish->deadline_s;
    mill_status status = settle_voice(plan->voice, &wish->labels, request, &err);
    if (status < 0) {
        mill_problem_of_field(problem, status, "voice", &err);
        return false;
    }
    settle_sampling(wish, &plan->voice->voice, request);
    return true;
}

void mill_speech_plan_encoding(const struct mill_speech_plan *plan,
                               struct mill_audio_encoding *encoding) {
    *encoding = (struct mill_audio_encoding){
        .format = plan->wish.format,
        .sample_rate = mill_engine_get_info(plan->server->engine)->sample_rate,
        .output_rate = plan->wish.output_rate,
        .comment = plan->server->options->disclosure ? MILL_DISCLOSURE : NULL};
}

bool mill_speech_plan_init(struct mill_speech_plan *plan, struct mill_server *server,
                           struct mill_speech_wish *taken, struct mill_shelf_voice *voice,
                           struct mill_problem *problem) {
    *plan = (struct mill_speech_plan){.server = server, .wish = *taken, .voice = voice};
    if (!mill_server_has_model(server, plan->wish.model)) {
        mill_problem_set(problem, 404, "model_not_found", "model",
                         "there is no such model; it is '%s'", server->options->model_name);
        return false;
    }
    if (!plan->voice)
        plan->voice = mill_shelf_find(server->shelf, plan->wish.voice);
    if (!plan->voice) {
        mill_problem_set(problem, 400, "voice_not_found", "voice",
                         "there is no such voice; GET /v1/audio/voices lists them");
        return false;
    }
    struct mill_error err;
    const char *dictionary = plan->wish.dictionary;
    mill_status status = MILL_OK;
    if (dictionary)
        status = mill_dictionary_parse(&plan->dictionary, "dictionary", dictionary,
                                       strlen(dictionary), &err);
    if (status < 0)
        mill_problem_of_field(problem, status, "dictionary", &err);
    else if (plan->dictionary)
        mill_dictionary_extend(plan->dictionary, server->dictionary);
    return status == MILL_OK;
}

void mill_speech_plan_deinit(struct mill_speech_plan *plan) {
    mill_dictionary_close(plan->dictionary);
    mill_shelf_release(plan->marked);
    mill_shelf_release(plan->voice);
    mill_speech_wish_deinit(&plan->wish);
}
