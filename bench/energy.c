/* energy.c - see energy.h. Counters of the powercap interface wrap at max_energy_range_uj: every
 * look adds what has passed since the last one, so there must be one a few minutes at least. */
#include "bench/energy.h"

#include "runtime/base/memory.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_METERS = 32 };

struct meter {
    char path[96]; /* of a package's counter, or empty for a card */
    void *card;
    uint64_t last, range; /* microjoules; millijoules for a card, which does not wrap */
};

struct bench_energy {
    struct meter meters[MAX_METERS];
    int n_meters, n_packages, n_cards;
    double joules;
    char source[48];
    /* NVML, by the names of its interface; results are 0 for success. */
    int (*card_energy)(void *card, unsigned long long *millijoules);
};

static bool read_number(const char *path, uint64_t *out) {
    FILE *file = fopen(path, "re");
    unsigned long long value = 0;
    bool ok = file && fscanf(file, "%llu", &value) == 1;
    if (file)
        fclose(file);
    *out = value;
    return ok;
}

static void find_packages(struct bench_energy *e) {
    for (int i = 0; i < 8 && e->n_meters < MAX_METERS; i++) {
        struct meter meter = {.card = NULL};
        char range[96];
        snprintf(meter.path, sizeof meter.path, "/sys/class/powercap/intel-rapl:%d/energy_uj", i);
        snprintf(range, sizeof range, "/sys/class/powercap/intel-rapl:%d/max_energy_range_uj", i);
        if (!read_number(meter.path, &meter.last) || !read_number(range, &meter.range))
            continue;
        e->meters[e->n_meters++] = meter;
        e->n_packages++;
    }
}

static void find_cards(struct bench_energy *e) {
    void *nvml =
        dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL); /* stays open: it has threads */
    if (!nvml)
        return;
    int (*init)(void);
    int (*count_of)(unsigned *);
    int (*card_of)(unsigned, void **);
    *(void **)&init = dlsym(nvml, "nvmlInit_v2");
    *(void **)&count_of = dlsym(nvml, "nvmlDeviceGetCount_v2");
    *(void **)&card_of = dlsym(nvml, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&e->card_energy = dlsym(nvml, "nvmlDeviceGetTotalEnergyConsumption");
    unsigned n_cards = 0;
    if (!init || !count_of || !card_of || !e->card_energy || init() != 0 || count_of(&n_cards) != 0)
        return;
    for (unsigned i = 0; i < n_cards && e->n_meters < MAX_METERS; i++) {
        struct meter meter = {.card = NULL};
        unsigned long long millijoules;
        if (card_of(i, &meter.card) != 0 || e->card_energy(meter.card, &millijoules) != 0)
            continue;
        meter.last = millijoules;
        e->meters[e->n_meters++] = meter;
        e->n_cards++;
    }
}

struct bench_energy *bench_energy_open(void) {
    struct bench_energy *e = mill_alloc_array(1, sizeof *e);
    if (!e)
        return NULL;
    find_packages(e);
    find_cards(e);
    snprintf(e->source, sizeof e->source, "%s%s%d cards", e->n_packages ? "cpu packages" : "",
             e->n_packages ? ", " : "", e->n_cards);
    if (e->n_meters > 0)
        return e;
    free(e);
    return NULL;
}

void bench_energy_close(struct bench_energy *energy) {
    free(energy);
}

double bench_energy_joules(struct bench_energy *energy) {
    for (int i = 0; i < energy->n_meters; i++) {
        struct meter *meter = &energy->meters[i];
        uint64_t now = meter->last;
        unsigned long long millijoules = now;
        if (meter->card) {
            energy->card_energy(meter->card, &millijoules);
            energy->joules += (double)(millijoules - meter->last) / 1e3;
            meter->last = millijoules;
        } else if (read_number(meter->path, &now)) {
            uint64_t passed =
                now >= meter->last ? now - meter->last : now + meter->range - meter->last;
            energy->joules += (double)passed / 1e6;
            meter->last = now;
        }
    }
    return energy->joules;
}

const char *bench_energy_source(const struct bench_energy *energy) {
    return energy->source;
}
