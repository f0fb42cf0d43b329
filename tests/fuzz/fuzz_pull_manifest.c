/* fuzz_pull_manifest.c - the bytes as somebody's list of files to download: no path of it leaves
 * the folder that they go to. */
#include "tests/fuzz/fuzz_folder.h"
#include "tools/pull_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_pull_manifest manifest;
    struct mill_error err;
    char path[256];
    snprintf(path, sizeof path, "%s/list", fuzz_folder());
    fuzz_write("list", data, size);
    mill_status status = mill_pull_manifest_open(&manifest, path, &err);
    require_message(status, &err);
    if (status < 0)
        return 0;
    require(manifest.n_files > 0);
    for (size_t i = 0; i < manifest.n_files; i++) {
        const struct mill_pull_file *file = &manifest.files[i];
        char slashed[1200];
        snprintf(slashed, sizeof slashed, "/%s/", file->path);
        require(!strstr(slashed, "/../") && !strstr(slashed, "/./") && !strstr(slashed, "//"));
        require(!file->sha256 || strlen(file->sha256) == 64);
    }
    mill_pull_manifest_close(&manifest);
    return 0;
}
