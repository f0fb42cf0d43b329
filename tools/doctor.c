/* doctor.c - the command `sparkmill doctor`: what this machine has, which way the model would be
 * computed here, what is missing, and what would fix it. It looks and never changes anything. */
#include "bench/limits.h"
#include "kernels/backend.h"
#include "tools/cache_folder.h"
#include "tools/command.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <expat.h>
#include <fts.h>
#include <glob.h>
#include <jansson.h>
#include <libavcodec/avcodec.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <seccomp.h>
#include <sndfile.h>
#include <soxr.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unicode/uversion.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const char help[] =
    "Usage: sparkmill doctor\n"
    "Say what this machine has, how the model would be computed here, why no GPU is\n"
    "used, and what would fix what is missing.\n\n"
    "Exit status: 0 speech can be made here, 1 it cannot, 2 wrong use.";

/* ------------------------------------------------------------------ processor and memory */

/* The first line of a small file of /proc or /sys whose beginning is `key`, without the key; empty
 * where there is none. */
static void read_system_line(const char *path, const char *key, char *out, size_t size) {
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char line[4096];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = line + strlen(key);
        value += strspn(value, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    fclose(file);
}

static void print_processor(void) {
    char model[256];
    read_system_line("/proc/cpuinfo", "model name", model, sizeof model);
    printf("processor    %s\n", model[0] ? model : "unknown");
#if defined(__x86_64__)
    /* __builtin_cpu_supports takes literals only, hence no loop over names. */
    const struct {
        const char *name;
        bool there;
    } features[] = {
        {"avx2", __builtin_cpu_supports("avx2")},
        {"fma", __builtin_cpu_supports("fma")},
        {"avx512f", __builtin_cpu_supports("avx512f")},
        {"avx512bw", __builtin_cpu_supports("avx512bw")},
        {"avx512vl", __builtin_cpu_supports("avx512vl")},
        {"avx512_vnni", __builtin_cpu_supports("avx512vnni")},
        {"avx512_bf16", __builtin_cpu_supports("avx512bf16")},
    };
    printf("features    ");
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        printf(" %s%s", features[i].there ? "" : "no-", features[i].name);
    puts("");
#else
    puts("features     this is not an x86-64 processor");
#endif
}

/* What the cpu backend cannot do without. */
static bool has_avx2_and_fma(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

static void print_threads(void) {
    cpu_set_t allowed;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    /* The call fails where there are more processors than the set has room for. */
    bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    printf("threads      %ld usable of %ld processors\n",
           known ? (long)CPU_COUNT(&allowed) : online, online);
}

static void print_memory(void) {
    char total[64], available[64], limit[64];
    read_system_line("/proc/meminfo", "MemTotal", total, sizeof total);
    read_system_line("/proc/meminfo", "MemAvailable", available, sizeof available);
    read_system_line("/sys/fs/cgroup/memory.max", "", limit, sizeof limit);
    printf("memory       %.1f GB, %.1f GB available", strtod(total, NULL) * 1024e-9,
           strtod(available, NULL) * 1024e-9);
    if (strtod(limit, NULL) > 0) /* "max" where there is none */
        printf(", this container may use %.1f GB", strtod(limit, NULL) * 1e-9);
    puts("");
}

/* ------------------------------------------------------------------ software */

static bool can_load(const char *name) {
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library)
        dlclose(library);
    return library != NULL;
}

static void print_libraries(void) {
    UVersionInfo icu_version;
    char icu[U_MAX_VERSION_STRING_LENGTH], pcre2[64] = "", jit[64] = "";
    uint32_t has_jit = 0;
    u_getVersion(icu_version);
    u_versionToString(icu_version, icu);
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof pcre2)
        pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
    if (has_jit && pcre2_config(PCRE2_CONFIG_JITTARGET, NULL) <= (int)sizeof jit)
        pcre2_config(PCRE2_CONFIG_JITTARGET, jit);
    unsigned xxhash = XXH_versionNumber(), libav = avcodec_version();
    printf("libraries    jansson %s, libyaml %s, zlib %s, ICU %s\n", jansson_version_str(),
           yaml_get_version_string(), zlibVersion(), icu);
    printf("             PCRE2 %s, %s%s\n", pcre2,
           has_jit ? "with JIT: " : "without JIT: reading text will be slow", jit);
    printf("             %s, curl %s, %s, xxHash %u.%u.%u\n", sf_version_string(),
           curl_version_info(CURLVERSION_NOW)->version, OpenSSL_version(OPENSSL_VERSION),
           xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
    printf("             SQLite %s, %s, libavcodec %u.%u.%u%s%s%s\n", sqlite3_libversion(),
           XML_ExpatVersion(), libav >> 16, libav >> 8 & 255, libav & 255,
           avcodec_find_encoder_by_name("libmp3lame") ? "" : ", no mp3",
           avcodec_find_encoder_by_name("libopus") ? "" : ", no opus",
           avcodec_find_encoder_by_name("aac") ? "" : ", no aac");
    char onednn[BENCH_VERSION_BYTES];
    const struct scmp_version *seccomp = seccomp_version();
    bench_onednn_version(onednn);
    printf("             libmicrohttpd %s%s, %s, libseccomp %u.%u.%u\n", MHD_get_version(),
           MHD_is_feature_supported(MHD_FEATURE_TLS) == MHD_YES ? "" : " without TLS",
           soxr_version(), seccomp ? seccomp->major : 0, seccomp ? seccomp->minor : 0,
           seccomp ? seccomp->micro : 0);
    printf("optional     oneDNN: %s; NVML: %s\n",
           onednn[0] ? onednn : "not built in, benches print no matmul limits",
           can_load("libnvidia-ml.so.1") ? "there, benches tell a card's energy"
                                         : "not there, a card's energy is not told");
}

/* Bytes of the regular files under a folder; 0 where there is none. */
static double folder_bytes(const char *path) {
    char *copy = strdup(path);
    char *const roots[] = {copy, NULL};
    FTS *walk = copy ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    double bytes = 0;
    for (FTSENT *entry; walk && (entry = fts_read(walk));)
        if (entry->fts_info == FTS_F)
            bytes += (double)entry->fts_statp->st_size;
    if (walk)
        fts_close(walk);
    free(copy);
    return bytes;
}

/* Whether files can be put into the folder, or it can be made: the nearest part that is there is
 * asked. */
static bool can_be_filled(const char *folder) {
    char path[4096];
    struct stat info;
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return false;
    while (stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        slash[slash == path] = '\0';
    }
    return S_ISDIR(info.st_mode) && access(path, W_OK | X_OK) == 0;
}

static void print_cache(void) {
    char *folder = mill_cache_folder();
    if (!folder)
        puts("cache        none: neither XDG_CACHE_HOME nor HOME is set, so weights are converted "
             "at every start");
    else if (!can_be_filled(folder))
        printf(
            "cache        none: '%s' cannot be written, so weights are converted at every start\n",
            folder);
    else if (access(folder, F_OK) != 0)
        printf("cache        %s (not made yet)\n", folder);
    else
        printf("cache        %s, %.2f GB, safe to delete\n", folder, folder_bytes(folder) * 1e-9);
    free(folder);
}

/* ------------------------------------------------------------------ GPU */

static bool path_exists(const char *pattern) {
    glob_t found;
    bool there = glob(pattern, 0, NULL, &found) == 0;
    if (there)
        globfree(&found);
    return there;
}

/* A display controller of NVIDIA's (vendor 10de, class 03) on the PCI bus, with or without a
 * driver. */
static bool nvidia_card_on_bus(void) {
    glob_t found;
    bool there = false;
    if (glob("/sys/bus/pci/devices/*", 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !there; i++) {
        char path[512], vendor[32], class[32];
        snprintf(path, sizeof path, "%s/vendor", found.gl_pathv[i]);
        read_system_line(path, "", vendor, sizeof vendor);
        snprintf(path, sizeof path, "%s/class", found.gl_pathv[i]);
        read_system_line(path, "", class, sizeof class);
        there = strcmp(vendor, "0x10de") == 0 && strncmp(class, "0x03", 4) == 0;
    }
    globfree(&found);
    return there;
}

/* The CUDA version the driver library can serve, 12020 for 12.2; 0 when it does not load. */
static int driver_cuda_version(void) {
    int version = 0;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 0;
    int (*get_version)(int *);
    void *symbol = dlsym(library, "cuDriverGetVersion");
    memcpy(&get_version, &symbol, sizeof get_version); /* POSIX: a data pointer holds a function */
    if (symbol && get_version(&version) != 0)
        version = 0;
    dlclose(library);
    return version;
}

/* What keeps the driver from being seen, where something does. */
static void print_driver_hint(void) {
    bool device = path_exists("/dev/nvidia[0-9]*") || path_exists("/dev/dxg"); /* dxg: WSL */
    int version = driver_cuda_version();
    if (device && !version)
        puts("             a device is there, but libcuda.so.1 does not load: install the driver's "
             "libraries (in a container: start it with --gpus all)");
    else if (!device && version)
        printf("             driver for CUDA %d.%d, but no device (/dev/nvidia*): load its kernel "
               "module (in a container: start it with --gpus all)\n",
               version / 1000, version % 1000 / 10);
    else if (!device && nvidia_card_on_bus())
        puts("             an NVIDIA card is on the PCI bus, without device file and driver "
             "(libcuda.so.1): install NVIDIA's driver");
}

/* Open every GPU as `say` would and let it tell what it is. */
static void print_gpu(void) {
    struct mill_error err = {0};
    const struct mill_backend_ops *ops = mill_backend_find("cuda", &err);
    int32_t n = ops ? ops->n_devices(&err) : 0;
    if (n <= 0) {
        printf("GPU          none is used: %s\n", err.text);
        print_driver_hint();
    }
    for (int32_t i = 0; i < n; i++) {
        const struct mill_backend_options options = {.device = i};
        struct mill_backend *backend = NULL;
        if (ops->open(&backend, &options, &err) == MILL_OK)
            printf("GPU          cuda:%d is %s\n", i, ops->describe(backend));
        else
            printf("GPU          cuda:%d is not used: %s\n", i, err.text);
        ops->close(backend);
    }
}

/* ------------------------------------------------------------------ verdict */

/* Open the backend as `say` would and let it tell what it took. */
static bool print_backend(void) {
    struct mill_error err = {0};
    const struct mill_backend_options options = {0};
    struct mill_backend *backend = NULL;
    const struct mill_backend_ops *ops = mill_backend_find("cpu", &err);
    mill_status status = ops ? ops->open(&backend, &options, &err) : MILL_E_NOT_FOUND;
    if (status == MILL_OK)
        printf("backend      cpu: %s\n", ops->describe(backend));
    else
        printf("backend      cpu cannot be used: %s\n",
               err.text[0] ? err.text : mill_status_text(status));
    if (ops)
        ops->close(backend);
    return status == MILL_OK;
}

int mill_command_doctor(int argc, char **argv) {
    const struct mill_command_line line = {.command = "doctor", .help = help};
    int first, result = mill_options_read(&line, argc, argv, NULL, &first);
    if (result != MILL_GO_ON)
        return result;
    if (first < argc)
        return mill_command_usage("doctor", "it takes no arguments");
    puts("sparkmill    " MILL_VERSION);
    print_processor();
    print_threads();
    print_memory();
    print_libraries();
    print_cache();
    print_gpu();
    if (print_backend()) {
        puts("verdict      speech can be made here");
        return MILL_EXIT_OK;
    }
    printf("verdict      speech cannot be made here%s\n",
           has_avx2_and_fma() ? ""
                              : ": a processor with AVX2 and FMA is needed (in a virtual machine: "
                                "pass the host's processor through)");
    return MILL_EXIT_FAILED;
}
