/* pull_part.c - see pull_state.h: files that are there, whole or as a .part, and their hashes. */
#include "runtime/base/file.h"
#include "tools/pull_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Hash everything in `fd`; the number of bytes in *size. */
static mill_status hash_file(struct mill_pull_session *session, int fd, const char *path,
                             uint64_t *size, struct mill_error *err) {
    *size = 0;
    MILL_TRY(mill_sha256_restart(session->hash, err));
    for (;;) {
        char piece[1 << 16];
        ssize_t n = pread(fd, piece, sizeof piece, (off_t)*size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
        if (n == 0)
            return MILL_OK;
        MILL_TRY(mill_sha256_add(session->hash, piece, (size_t)n, err));
        *size += (uint64_t)n;
        mill_progress_update(&session->progress, (double)(session->done_bytes + *size));
        if (mill_pull_stop_wanted(session, 0))
            return mill_pull_fail_stopped(err);
    }
}

mill_status mill_pull_compare_hash(struct mill_pull_session *session,
                                   const struct mill_pull_file *file, struct mill_error *err) {
    char hex[MILL_SHA256_HEX_BYTES];
    MILL_TRY(mill_sha256_finish(session->hash, hex, err));
    if (!file->sha256 || strcmp(hex, file->sha256) == 0)
        return MILL_OK;
    if (file->also_seen && strncmp(hex, file->also_seen, strlen(file->also_seen)) == 0) {
        mill_pull_note(
            session, session->done_bytes + file->bytes,
            "sparkmill pull: %s: warning: the known other copy (SHA-256 %s), not the one most "
            "sources agree on (%s)\n",
            file->path, hex, file->sha256);
        return MILL_OK;
    }
    return mill_fail(err, MILL_E_NOT_FOUND, "%s: SHA-256 is %s, not %s", file->path, hex,
                     file->sha256);
}

mill_status mill_pull_check(struct mill_pull_session *session, const char *folder,
                            const struct mill_pull_file *file, struct mill_error *err) {
    char *path = mill_path_join(folder, file->path);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", file->path);
    struct stat info;
    uint64_t size = 0;
    mill_status status = MILL_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        status = mill_fail(err, MILL_E_NOT_FOUND, "'%s': %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = mill_fail(err, MILL_E_INPUT, "'%s': not a regular file", path);
    else if (file->exact && (uint64_t)info.st_size != file->bytes)
        status = mill_fail(err, MILL_E_NOT_FOUND, "'%s': another size", path);
    session->progress.label = file->path;
    if (status == MILL_OK && file->sha256)
        status = hash_file(session, fd, path, &size, err);
    if (status == MILL_OK && file->sha256)
        status = mill_pull_compare_hash(session, file, err);
    session->done_bytes += file->bytes;
    if (fd >= 0)
        close(fd);
    free(path);
    return status;
}

uint64_t mill_pull_part_bytes(const char *folder, const struct mill_pull_file *file) {
    char *path = NULL;
    struct stat info;
    uint64_t bytes = 0;
    if (file->sha256 && asprintf(&path, "%s/%s.part", folder, file->path) >= 0) {
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
            bytes = (uint64_t)info.st_size;
        free(path);
    }
    return bytes < file->bytes ? bytes : file->bytes;
}

mill_status mill_pull_start_over(struct mill_pull_transfer *t) {
    if (ftruncate(t->fd, 0) != 0)
        return mill_fail(t->err, MILL_E_IO, "'%s': %s", t->part_path, strerror(errno));
    t->size = 0;
    t->continued = false;
    t->etag[0] = '\0';
    return mill_sha256_restart(t->session->hash, t->err);
}

mill_status mill_pull_open_part(struct mill_pull_transfer *t) {
    char *slash = strrchr(t->part_path, '/');
    *slash = '\0'; /* the folder is in front of the path: there is a slash */
    mill_status status = mill_folder_make(t->part_path, t->err);
    *slash = '/';
    MILL_TRY(status);
    t->fd = open(t->part_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t->fd < 0)
        return mill_fail(t->err, MILL_E_IO, "'%s': %s", t->part_path, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0) {
        close(t->fd); /* theirs */
        t->fd = -1;
        return mill_fail(t->err, MILL_E_IO, "'%s': another pull is writing it", t->part_path);
    }
    if (!t->file->sha256) /* nothing would notice a file put together from two */
        return mill_pull_start_over(t);
    MILL_TRY(hash_file(t->session, t->fd, t->part_path, &t->size, t->err));
    if (t->size > t->limit)
        return mill_pull_start_over(t);
    t->continued = t->size > 0;
    mill_progress_skip(&t->session->progress, (double)(t->session->done_bytes + t->size));
    return MILL_OK;
}
