/* engine_target.h - the engine of this process as something to put a load on. */
#ifndef MILL_BENCH_ENGINE_TARGET_H
#define MILL_BENCH_ENGINE_TARGET_H

#include "bench/energy.h"
#include "bench/load.h"
#include "runtime/engine/engine.h"

struct bench_engine_target {
    struct mill_engine *engine;  /* borrowed, started */
    struct bench_energy *energy; /* borrowed */
    bool stream;                 /* sound as soon as it can be; else nothing before the end */
    /* Frames of an utterance for each byte of its text, where the model does not end by itself (a
     * synthetic one); 0 = it does. */
    double frames_per_byte;
};

struct bench_target bench_engine_target_of(struct bench_engine_target *engine);

#endif
