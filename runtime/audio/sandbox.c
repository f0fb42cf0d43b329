/* sandbox.c - see sandbox.h. Two walls: limits of the kernel that bound memory, time and files, and
 * a seccomp filter that allows twelve system calls, those on files for the three standard
 * descriptors only. libseccomp writes the filter for the architecture at hand; others are refused
 * by it. */
#include "runtime/audio/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int set_limit(int which, rlim_t value) {
    struct rlimit old, limit = {.rlim_cur = value, .rlim_max = value};
    if (getrlimit((__rlimit_resource_t)which, &old) != 0)
        return -1;
    if (old.rlim_max != RLIM_INFINITY && old.rlim_max < value)
        limit.rlim_cur = limit.rlim_max = old.rlim_max; /* only root may raise it */
    return setrlimit((__rlimit_resource_t)which, &limit);
}

static int set_limits(size_t memory_bytes, uint32_t processor_seconds) {
    return set_limit(RLIMIT_AS, memory_bytes) || set_limit(RLIMIT_CPU, processor_seconds) ||
           set_limit(RLIMIT_FSIZE, 0) || set_limit(RLIMIT_NOFILE, 0) || set_limit(RLIMIT_CORE, 0);
}

/* What a system call's arguments must be: argument `at`, masked, equals `value`. */
#define ONLY(at, value)                                                                            \
    { at, SCMP_CMP_EQ, value, 0 }
#define MASKED(at, mask, value)                                                                    \
    { at, SCMP_CMP_MASKED_EQ, mask, value }

static const struct {
    uint32_t action;
    int call;
    unsigned n_conditions;
    struct scmp_arg_cmp conditions[2];
} rules[] = {
    {SCMP_ACT_ALLOW, SCMP_SYS(read), 1, {ONLY(0, 0)}},
    {SCMP_ACT_ALLOW, SCMP_SYS(lseek), 1, {ONLY(0, 0)}},
    {SCMP_ACT_ALLOW, SCMP_SYS(write), 1, {ONLY(0, 1)}},
    {SCMP_ACT_ALLOW, SCMP_SYS(write), 1, {ONLY(0, 2)}},
    /* Memory may be had, but neither from a file nor executable. */
    {SCMP_ACT_ALLOW,
     SCMP_SYS(mmap),
     2,
     {MASKED(2, PROT_EXEC, 0), MASKED(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
    {SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, {MASKED(2, PROT_EXEC, 0)}},
    {SCMP_ACT_ALLOW, SCMP_SYS(munmap), 0, {{0}}},
    {SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0, {{0}}},
    {SCMP_ACT_ALLOW, SCMP_SYS(madvise), 0, {{0}}},
    {SCMP_ACT_ALLOW, SCMP_SYS(brk), 0, {{0}}},
    {SCMP_ACT_ALLOW, SCMP_SYS(futex), 0, {{0}}},
    {SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0, {{0}}},
    /* The C library's qsort asks how much memory there is. */
    {SCMP_ACT_ALLOW, SCMP_SYS(sysinfo), 0, {{0}}},
    /* libsndfile looks for a file's resource fork before it calls a format unknown. That innocent
     * attempt to read another file is answered with "permission denied". */
    {SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1, {ONLY(2, O_RDONLY)}},
};

static int add_rules(scmp_filter_ctx filter) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (seccomp_rule_add_array(filter, rules[i].action, rules[i].call, rules[i].n_conditions,
                                   rules[i].conditions) != 0)
            return -1;
    return 0;
}

const char *mill_sandbox_enter(size_t memory_bytes, uint32_t processor_seconds) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return "prctl(PR_SET_PDEATHSIG) failed";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return "prctl(PR_SET_NO_NEW_PRIVS) failed";
    if (set_limits(memory_bytes, processor_seconds) != 0)
        return "setrlimit failed";
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return "seccomp_init failed";
    const char *failure = NULL;
    if (add_rules(filter) != 0)
        failure = "the seccomp filter cannot be made";
    else if (seccomp_load(filter) != 0)
        failure = "the seccomp filter was not accepted";
    if (failure)
        seccomp_release(filter);
    return failure; /* a loaded filter is kept: releasing it may need more than it allows */
}
