/* kept.c - see kept.h. */
#include "runtime/passage/kept.h"

#include "runtime/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_DIGITS = MILL_SHA256_HEX_BYTES - 1, LOCK_TRIES = 3 };

struct mill_kept {
    char *folder; /* owned */
    int fd;       /* of the folder, locked */
};

/* Behind it: the voice, the samples, and KEY_DIGITS digits of the hash of all before them. */
struct header {
    char magic[8];
    char key[KEY_DIGITS];
    struct mill_kept_outcome of;
};
static const char magic[8] = "millseg1";

/* ------------------------------------------------------------------ the folder */

static bool is_segment(const char *name) {
    return strspn(name, "0123456789abcdef") == KEY_DIGITS && name[KEY_DIGITS] == '\0';
}

/* What is left of one whose process was killed. */
static bool is_unfinished(const char *name) {
    return strspn(name, "0123456789abcdef") == KEY_DIGITS &&
           mill_output_is_temporary(name, KEY_DIGITS);
}

/* What cannot be removed only takes room. */
static void remove_files(struct mill_kept *kept, bool (*unwanted)(const char *name)) {
    DIR *folder = opendir(kept->folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (unwanted(entry->d_name))
            unlinkat(kept->fd, entry->d_name, 0);
    if (folder)
        closedir(folder);
}

static mill_status fail_errno(const struct mill_kept *kept, struct mill_error *err) {
    int cause = errno;
    return mill_fail(err, mill_write_failure(cause), "'%s', where segments are kept: %s",
                     kept->folder, strerror(cause));
}

/* MILL_AGAIN when another process removed the folder in the moment before it was locked. */
static mill_status lock_open(const struct mill_kept *kept, int fd, struct mill_error *err) {
    struct stat info;
    MILL_TRY(mill_lock_try(fd, kept->folder, err));
    if (fstat(fd, &info) != 0)
        return fail_errno(kept, err);
    return info.st_nlink > 0 ? MILL_OK : MILL_AGAIN;
}

/* Until it is locked the folder is not ours, and close leaves it alone. */
static mill_status lock(struct mill_kept *kept, struct mill_error *err) {
    if (mkdir(kept->folder, 0777) != 0 && errno != EEXIST)
        return fail_errno(kept, err);
    int fd = open(kept->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? MILL_AGAIN : fail_errno(kept, err);
    mill_status status = lock_open(kept, fd, err);
    if (status == MILL_OK)
        kept->fd = fd;
    else
        close(fd);
    return status;
}

mill_status mill_kept_open(struct mill_kept **out, const char *folder, struct mill_error *err) {
    *out = NULL;
    struct mill_kept *kept = mill_alloc_array(1, sizeof *kept);
    if (!kept || !(kept->folder = strdup(folder))) {
        free(kept);
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    }
    kept->fd = -1;
    mill_status status = MILL_AGAIN;
    for (int i = 0; i < LOCK_TRIES && status == MILL_AGAIN; i++)
        status = lock(kept, err);
    if (status == MILL_AGAIN) {
        errno = ENOENT;
        status = fail_errno(kept, err);
    }
    if (status < 0) {
        mill_kept_close(kept);
        return status;
    }
    remove_files(kept, is_unfinished);
    *out = kept;
    return MILL_OK;
}

void mill_kept_close(struct mill_kept *kept) {
    if (!kept)
        return;
    if (kept->fd >= 0) {
        rmdir(kept->folder); /* fails where something is in it */
        close(kept->fd);
    }
    free(kept->folder);
    free(kept);
}

void mill_kept_clear(struct mill_kept *kept) {
    remove_files(kept, is_segment);
}

/* ------------------------------------------------------------------ a segment */

bool mill_kept_has(const struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES]) {
    return faccessat(kept->fd, key, F_OK, 0) == 0;
}

/* Whether these bytes are the segment of that key, as they were written. */
static mill_status parse(const struct mill_mapping *file, const char *key,
                         struct mill_kept_sound *out, struct mill_error *err) {
    struct header header;
    char hash[MILL_SHA256_HEX_BYTES];
    if (file->size < sizeof header + KEY_DIGITS)
        return MILL_AGAIN;
    size_t hashed = file->size - KEY_DIGITS, left = hashed - sizeof header;
    memcpy(&header, file->data, sizeof header);
    if (memcmp(header.magic, magic, sizeof magic) != 0 ||
        memcmp(header.key, key, KEY_DIGITS) != 0 || header.of.n_voice > left / sizeof(int32_t))
        return MILL_AGAIN;
    left -= header.of.n_voice * sizeof(int32_t);
    if (left % sizeof(float) != 0 || header.of.n_samples != left / sizeof(float))
        return MILL_AGAIN;
    MILL_TRY(mill_sha256_bytes(file->data, hashed, hash, err));
    if (memcmp(hash, file->data + hashed, KEY_DIGITS) != 0)
        return MILL_AGAIN;
    const uint8_t *voice = file->data + sizeof header;
    *out = (struct mill_kept_sound){
        .of = header.of,
        .voice = (const int32_t *)(const void *)voice,
        .samples = (const float *)(const void *)(voice + header.of.n_voice * sizeof(int32_t))};
    return MILL_OK;
}

mill_status mill_kept_find(const struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES],
                           struct mill_mapping *mapping, struct mill_kept_sound *out,
                           struct mill_error *err) {
    *mapping = (struct mill_mapping){0};
    char *path = mill_path_join(kept->folder, key);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_mapping_open(mapping, path, err);
    free(path);
    if (status == MILL_E_NOT_FOUND)
        return MILL_AGAIN;
    if (status == MILL_OK)
        status = parse(mapping, key, out, err);
    if (status != MILL_OK)
        mill_mapping_close(mapping);
    return status;
}

static mill_status compose(struct mill_buffer *file, const char *key,
                           const struct mill_kept_sound *sound, struct mill_error *err) {
    struct header header = {.of = sound->of};
    char hash[MILL_SHA256_HEX_BYTES];
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.key, key, KEY_DIGITS);
    size_t voice_bytes = sound->of.n_voice * sizeof *sound->voice;
    size_t sample_bytes = (size_t)sound->of.n_samples * sizeof *sound->samples;
    MILL_TRY(
        mill_buffer_reserve(file, sizeof header + voice_bytes + sample_bytes + KEY_DIGITS, err));
    MILL_TRY(mill_buffer_append(file, &header, sizeof header, err));
    MILL_TRY(mill_buffer_append(file, sound->voice, voice_bytes, err));
    MILL_TRY(mill_buffer_append(file, sound->samples, sample_bytes, err));
    MILL_TRY(mill_sha256_bytes(file->data, file->size, hash, err));
    return mill_buffer_append(file, hash, KEY_DIGITS, err);
}

mill_status mill_kept_put(struct mill_kept *kept, const char key[MILL_SHA256_HEX_BYTES],
                          const struct mill_kept_sound *sound, struct mill_error *err) {
    struct mill_buffer file;
    mill_buffer_init(&file, SIZE_MAX / 2);
    char *path = mill_path_join(kept->folder, key);
    mill_status status = path ? compose(&file, key, sound, err)
                              : mill_fail(err, MILL_E_MEMORY, "no memory to keep a segment");
    if (status == MILL_OK)
        status = mill_file_publish(path, file.data, file.size, err);
    mill_buffer_deinit(&file);
    free(path);
    return status;
}
