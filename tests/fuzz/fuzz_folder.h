/* fuzz_folder.h - a folder of its own for a target whose parser reads files by their paths. */
#ifndef MILL_TESTS_FUZZ_FOLDER_H
#define MILL_TESTS_FUZZ_FOLDER_H

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char fuzz_folder_path[] = P_tmpdir "/sparkmill-fuzz-XXXXXX";

static int fuzz_remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static inline void fuzz_remove_folder(void) {
    nftw(fuzz_folder_path, fuzz_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Made once, removed at the end; its path. */
static inline const char *fuzz_folder(void) {
    static int made;
    if (!made)
        require(mkdtemp(fuzz_folder_path) != NULL && atexit(fuzz_remove_folder) == 0);
    made = 1;
    return fuzz_folder_path;
}

static inline void fuzz_write(const char *name, const void *data, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
}

#endif
