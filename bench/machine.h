/* machine.h - what a figure was measured on: without it a number means nothing. */
#ifndef MILL_BENCH_MACHINE_H
#define MILL_BENCH_MACHINE_H

struct bench_machine {
    char cpu[96];     /* the processor's own name */
    int n_processors; /* that this process may use */
    double memory_gb;
    char system[160]; /* kernel and machine */
    double load;      /* average over the last minute, before the bench began */
    char date[32];    /* UTC */
    char version[32]; /* of Sparkmill */
};

void bench_machine_describe(struct bench_machine *machine);

/* Most memory that this process has held, in MB. */
double bench_peak_memory_mb(void);

#endif
