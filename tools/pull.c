/* pull.c - the command `sparkmill pull`: the published model into a folder, checked file by file.
 * What is there and right is left alone, so running it again repairs or continues. */
#include "runtime/base/file.h"
#include "tools/command.h"
#include "tools/pull_fetch.h"
#include "tools/pull_manifest.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

struct pull_options {
    const char *endpoint, *revision, *folder, *manifest;
};

static const char help[] =
    "Usage: sparkmill pull [OPTION]...\n"
    "Download the published model SparkAudio/Spark-TTS-0.5B (3.95 GB). Files that are\n"
    "there and right are kept, what was cut off is continued, every known SHA-256 is\n"
    "checked.\n\n"
    "  --to DIR         where to (default: Spark-TTS-0.5B)\n"
    "  --endpoint URL   a mirror (default: https://huggingface.co); plain http only\n"
    "                   for this machine\n"
    "  --revision REV   branch, tag or commit (default: main)\n"
    "  --manifest FILE  other files than the published ones: a JSON list of {\"path\":\n"
    "                   \"LLM/config.json\", \"bytes\": 658, \"sha256\": \"...\" or "
    "null}\n"
    "  --help           print this\n\n"
    "The weights are licensed CC BY-NC-SA 4.0: no commercial use.\n"
    "Exit status: 0 all files are there, 1 failed, 2 wrong use or not found.";

#define ROW(...) MILL_OPTION(pull_options, __VA_ARGS__)
static const struct mill_option rows[] = {
    ROW("to", 0, TEXT, folder, 0, 0),
    ROW("endpoint", 0, TEXT, endpoint, 0, 0),
    ROW("revision", 0, TEXT, revision, 0, 0),
    ROW("manifest", 0, TEXT, manifest, 0, 0),
};
#undef ROW

static int parse(struct pull_options *out, int argc, char **argv) {
    const struct mill_command_line line = {"pull", help, rows, sizeof rows / sizeof *rows};
    int first, result = mill_options_read(&line, argc, argv, out, &first);
    if (result != MILL_GO_ON)
        return result;
    if (first < argc)
        return mill_command_usage("pull", "'%s': it takes options only", argv[first]);
    if (!out->folder[0] || !out->revision[0])
        return mill_command_usage("pull", "an empty folder or revision");
    return MILL_GO_ON;
}

/* Mark what is missing; with the bytes still to come in *bytes. */
static mill_status survey(struct mill_pull_session *session,
                          const struct mill_pull_manifest *manifest, const char *folder,
                          _Bool *missing, uint64_t *bytes, struct mill_error *err) {
    uint64_t all = 0;
    for (size_t i = 0; i < manifest->n_files; i++)
        all += manifest->files[i].bytes;
    mill_pull_session_expect(session, all);
    *bytes = 0;
    for (size_t i = 0; i < manifest->n_files; i++) {
        const struct mill_pull_file *file = &manifest->files[i];
        mill_status status = mill_pull_check(session, folder, file, err);
        if (status < 0 && status != MILL_E_NOT_FOUND)
            return status;
        missing[i] = status == MILL_E_NOT_FOUND;
        if (missing[i])
            *bytes += file->bytes - mill_pull_part_bytes(folder, file);
    }
    return MILL_OK;
}

static mill_status check_space(const char *folder, uint64_t bytes, struct mill_error *err) {
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0)
        return mill_fail(err, MILL_E_IO, "'%s': %s", folder, strerror(errno));
    double available = (double)disk.f_bavail * (double)disk.f_frsize;
    if (available >= (double)bytes)
        return MILL_OK;
    return mill_fail(err, MILL_E_IO,
                     "'%s': %.2f GB are to come, but the disk has room for %.2f GB: free some or "
                     "give another folder with --to",
                     folder, (double)bytes * 1e-9, available * 1e-9);
}

static mill_status fetch_missing(struct mill_pull_session *session,
                                 const struct mill_pull_manifest *manifest, const char *folder,
                                 const _Bool *missing, struct mill_error *err) {
    uint64_t all = 0;
    for (size_t i = 0; i < manifest->n_files; i++)
        all += missing[i] ? manifest->files[i].bytes : 0;
    mill_pull_session_expect(session, all);
    for (size_t i = 0; i < manifest->n_files; i++)
        if (missing[i])
            MILL_TRY(mill_pull_fetch(session, folder, &manifest->files[i], err));
    return MILL_OK;
}

static mill_status pull_all(const struct pull_options *options,
                            const struct mill_pull_manifest *manifest, struct mill_error *err) {
    struct mill_pull_session *session = NULL;
    uint64_t bytes = 0;
    _Bool *missing = calloc(manifest->n_files, sizeof *missing);
    mill_status status = MILL_OK;
    if (!missing)
        status = mill_fail(err, MILL_E_MEMORY, "no memory");
    if (status == MILL_OK)
        status = mill_pull_session_open(&session, options->endpoint, options->revision, err);
    if (status == MILL_OK)
        status = mill_folder_make(options->folder, err);
    if (status == MILL_OK)
        status = survey(session, manifest, options->folder, missing, &bytes, err);
    if (status == MILL_OK)
        status = check_space(options->folder, bytes, err);
    if (status == MILL_OK)
        status = fetch_missing(session, manifest, options->folder, missing, err);
    mill_pull_session_close(session);
    free(missing);
    return status;
}

int mill_command_pull(int argc, char **argv) {
    struct pull_options options = {
        .endpoint = "https://huggingface.co", .revision = "main", .folder = "Spark-TTS-0.5B"};
    int result = parse(&options, argc, argv);
    if (result != MILL_GO_ON)
        return result;
    struct mill_error err = {0};
    struct mill_pull_manifest manifest;
    mill_status status = mill_pull_manifest_open(&manifest, options.manifest, &err);
    if (status < 0)
        return mill_command_fail("pull", status, &err);
    if (!options.manifest)
        fputs("Spark-TTS-0.5B by SparkAudio is licensed CC BY-NC-SA 4.0: with attribution, not for "
              "commercial use,\nchanged versions under the same licence. "
              "https://creativecommons.org/licenses/by-nc-sa/4.0/\n",
              stderr);
    status = pull_all(&options, &manifest, &err);
    mill_pull_manifest_close(&manifest);
    if (status < 0)
        return mill_command_fail("pull", status, &err);
    printf("%s\n", options.folder);
    return MILL_EXIT_OK;
}
