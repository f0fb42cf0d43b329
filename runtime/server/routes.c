/* routes.c - the table of routes: what is not in it does not exist. A new route is a row here and a
 * handler. */
#include "runtime/server/server_state.h"

#define ROUTE(method, path, scope, body, run)                                                      \
    { method, path, MILL_SCOPE_##scope, MILL_BODY_##body, mill_route_##run }

const struct mill_route mill_routes[] = {
    ROUTE("GET", "/", PUBLIC, NONE, console),
    ROUTE("GET", "/openapi.json", PUBLIC, NONE, openapi),
    ROUTE("GET", "/health", PUBLIC, NONE, health),
    ROUTE("GET", "/ready", PUBLIC, NONE, ready),
    ROUTE("GET", "/metrics", OPERATE, NONE, metrics),

    ROUTE("GET", "/v1/models", SPEAK, NONE, models),
    ROUTE("GET", "/v1/models/{model}", SPEAK, NONE, model),
    ROUTE("POST", "/v1/audio/speech", SPEAK, JSON, speech),

    ROUTE("GET", "/v1/audio/voices", SPEAK, NONE, voices),
    ROUTE("POST", "/v1/audio/voices", VOICES, UPLOAD, create_voice),
    ROUTE("GET", "/v1/audio/voices/{voice}", SPEAK, NONE, voice),
    ROUTE("DELETE", "/v1/audio/voices/{voice}", VOICES, NONE, delete_voice),
    ROUTE("GET", "/v1/audio/voice_consents", VOICES, NONE, consents),
    ROUTE("POST", "/v1/audio/voice_consents", VOICES, UPLOAD, create_consent),
    ROUTE("GET", "/v1/audio/voice_consents/{consent}", VOICES, NONE, consent),
    ROUTE("POST", "/v1/audio/voice_consents/{consent}", VOICES, JSON, update_consent),
    ROUTE("DELETE", "/v1/audio/voice_consents/{consent}", VOICES, NONE, delete_consent),

    ROUTE("GET", "/v1/files", JOBS, NONE, files),
    ROUTE("POST", "/v1/files", JOBS, BATCH, create_file),
    ROUTE("GET", "/v1/files/{file}", JOBS, NONE, file),
    ROUTE("DELETE", "/v1/files/{file}", JOBS, NONE, delete_file),
    ROUTE("GET", "/v1/files/{file}/content", JOBS, NONE, file_content),
    ROUTE("GET", "/v1/batches", JOBS, NONE, batches),
    ROUTE("POST", "/v1/batches", JOBS, JSON, create_batch),
    ROUTE("GET", "/v1/batches/{batch}", JOBS, NONE, batch),
    ROUTE("POST", "/v1/batches/{batch}/cancel", JOBS, NONE, cancel_batch),

    ROUTE("GET", "/server_info", SPEAK, NONE, server_info),
    ROUTE("GET", "/audio_roles", SPEAK, NONE, audio_roles),
    ROUTE("POST", "/speak", SPEAK, JSON, speak),
    ROUTE("POST", "/multi_speak", SPEAK, JSON, multi_speak),
    ROUTE("POST", "/clone_voice", VOICES, UPLOAD, clone_voice),
    ROUTE("POST", "/add_speaker", VOICES, UPLOAD, add_speaker),
    ROUTE("POST", "/delete_speaker", VOICES, UPLOAD, delete_speaker),
    {0},
};
_Static_assert(sizeof mill_routes / sizeof *mill_routes <= MILL_METRICS_ROUTES,
               "room for every route's counters");
