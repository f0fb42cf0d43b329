/* energy.h - joules that the machine has used, where its driver tells.
 *
 * The processor's packages by the kernel's powercap counters (root only on most systems), NVIDIA
 * cards by NVML, which is opened when it is there and never needed. One thread. */
#ifndef MILL_BENCH_ENERGY_H
#define MILL_BENCH_ENERGY_H

struct bench_energy;

/* NULL when nothing here tells its energy; the caller closes it. */
struct bench_energy *bench_energy_open(void);
void bench_energy_close(struct bench_energy *energy);

/* Since open, of everything that tells. */
double bench_energy_joules(struct bench_energy *energy);
/* "cpu packages", "2 cards" or both, for the report. */
const char *bench_energy_source(const struct bench_energy *energy);

#endif
