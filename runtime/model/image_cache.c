/* image_cache.c - see image_cache.h.
 *
 * The content's hash is XXH3 over the XXH3 values of its pieces (256 KiB: they stay in a core's
 * cache), so two threads can check a file. It is read with pread, not through the mapping: pages
 * that were only hashed then do not count as this process's memory. */
#include "runtime/model/image_cache.h"

#include "runtime/base/memory.h"
#include "runtime/base/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Raise FORMAT_VERSION whenever folding, order or meaning of an entry changes. */
enum {
    FORMAT_VERSION = 3,
    IMAGE_OFFSET = 4096,
    HASH_PIECE = 1 << 18,
    HASH_WORKERS = 2,
    SAMPLES = 256,
    SAMPLE_BYTES = 4096
};

struct header {
    char magic[8];
    uint64_t version, key_low, key_high, image_bytes, image_hash;
    uint64_t header_hash; /* of what stands before it */
};

/* ------------------------------------------------------------------ key */

static void key_add(XXH3_state_t *state, const void *data, size_t bytes) {
    XXH3_128bits_update(state, data, bytes);
}

static void key_add_number(XXH3_state_t *state, uint64_t number) {
    key_add(state, &number, sizeof number);
}

static void key_add_text(XXH3_state_t *state, const char *text) {
    key_add(state, text, strlen(text) + 1);
}

static void key_add_entry(XXH3_state_t *state, const struct mill_image_entry *entry) {
    const struct mill_row_source *source = &entry->source;
    key_add_text(state, entry->name);
    const uint64_t numbers[] = {(uint64_t)entry->form,
                                (uint64_t)entry->shape.n_out,
                                (uint64_t)entry->shape.n_taps,
                                (uint64_t)entry->shape.n_in,
                                (uint64_t)entry->shape.dtype,
                                entry->offset,
                                entry->bytes};
    key_add(state, numbers, sizeof numbers);
    key_add(state, &source->scale, sizeof source->scale);
    if (source->ids)
        key_add(state, source->ids, (size_t)source->n_rows * sizeof *source->ids);
}

/* A MiB of it, from places all over it: a model that was trained further has the same header and
 * size, and where files come out of an archive that makes all times alike, the same time. */
static void key_add_samples(XXH3_state_t *state, const uint8_t *data, size_t bytes) {
    if (bytes <= (size_t)SAMPLES * SAMPLE_BYTES) {
        key_add(state, data, bytes);
        return;
    }
    size_t step = (bytes - SAMPLE_BYTES) / (SAMPLES - 1);
    for (size_t i = 0; i < SAMPLES; i++)
        key_add(state, data + i * step, SAMPLE_BYTES);
}

static mill_status key_add_file(XXH3_state_t *state, const struct mill_tensors *file,
                                struct mill_error *err) {
    struct stat info;
    if (stat(file->path, &info) != 0)
        return mill_fail(err, MILL_E_IO, "'%s': %s", file->path, strerror(errno));
    char *path = realpath(file->path, NULL);
    if (!path)
        return mill_fail(err, errno == ENOMEM ? MILL_E_MEMORY : MILL_E_IO, "'%s': %s", file->path,
                         strerror(errno));
    key_add_text(state, path);
    free(path);
    key_add_number(state, file->mapping.size);
    key_add_number(state, (uint64_t)info.st_mtim.tv_sec);
    key_add_number(state, (uint64_t)info.st_mtim.tv_nsec);
    size_t head = file->mapping.size;
    for (size_t i = 0; i < file->n_entries; i++)
        if (file->entries[i].offset < head)
            head = file->entries[i].offset;
    key_add(state, file->mapping.data, head);
    key_add_samples(state, file->mapping.data + head, file->mapping.size - head);
    mill_mapping_forget(&file->mapping, 0, file->mapping.size);
    return MILL_OK;
}

mill_status mill_image_key_make(struct mill_image_key *out, const struct mill_image_plan *plan,
                                const struct mill_tensors *const *files, int n_files,
                                struct mill_error *err) {
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return mill_fail(err, MILL_E_MEMORY, "no memory to hash the weights");
    XXH3_128bits_reset(state);
    key_add_number(state, FORMAT_VERSION);
    key_add_text(state, plan->ops->weight_layout);
    for (size_t i = 0; i < plan->n_entries; i++)
        key_add_entry(state, &plan->entries[i]);
    mill_status status = MILL_OK;
    for (int i = 0; status == MILL_OK && i < n_files; i++)
        status = key_add_file(state, files[i], err);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    *out = (struct mill_image_key){hash.low64, hash.high64};
    return status;
}

char *mill_image_cache_path(const char *cache, const char *folder,
                            const struct mill_image_key *key) {
    char *real = realpath(folder, NULL), *path = NULL;
    char name[65];
    const char *slash = real ? strrchr(real, '/') : NULL;
    snprintf(name, sizeof name, "%s", slash && slash[1] ? slash + 1 : "model");
    free(real);
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
            *p = '_';
    return asprintf(&path, "%s/%s-%016" PRIx64 ".mill", cache, name, key->high) < 0 ? NULL : path;
}

/* ------------------------------------------------------------------ memory */

void mill_image_memory_close(struct mill_image_memory *memory) {
    if (memory->mapping)
        munmap(memory->mapping, memory->mapping_bytes);
    *memory = (struct mill_image_memory){0};
}

static bool map(struct mill_image_memory *memory, int fd, size_t offset, size_t image_bytes) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    int protection = fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
    void *mapping = mmap(NULL, offset + image_bytes, protection, flags, fd, 0);
    *memory = (struct mill_image_memory){0};
    if (mapping == MAP_FAILED)
        return false;
    *memory =
        (struct mill_image_memory){mapping, offset + image_bytes, (uint8_t *)mapping + offset};
    return true;
}

mill_status mill_image_memory_open(struct mill_image_memory *memory, size_t image_bytes,
                                   struct mill_error *err) {
    if (!map(memory, -1, 0, image_bytes))
        return mill_fail(err, MILL_E_MEMORY, "no memory for %zu bytes of weights", image_bytes);
    return MILL_OK;
}

/* ------------------------------------------------------------------ content */

struct hashing {
    int fd;
    size_t image_bytes;
    uint8_t *buffers; /* [HASH_WORKERS][HASH_PIECE] */
    uint64_t *hashes; /* of every piece */
    atomic_bool failed;
};

static bool read_whole(int fd, void *to, size_t bytes, uint64_t offset) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void hash_piece(void *context, int task, int worker) {
    struct hashing *hashing = context;
    size_t at = (size_t)task * HASH_PIECE, left = hashing->image_bytes - at;
    size_t bytes = left < HASH_PIECE ? left : HASH_PIECE;
    uint8_t *buffer = hashing->buffers + (size_t)worker * HASH_PIECE;
    if (read_whole(hashing->fd, buffer, bytes, IMAGE_OFFSET + at))
        hashing->hashes[task] = XXH3_64bits(buffer, bytes);
    else
        hashing->failed = true;
}

static mill_status hash_image(int fd, size_t image_bytes, uint64_t *out, struct mill_error *err) {
    size_t n_pieces = (image_bytes + HASH_PIECE - 1) / HASH_PIECE;
    struct hashing hashing = {.fd = fd, .image_bytes = image_bytes};
    struct mill_pool *pool = NULL;
    mill_status status = mill_pool_open(&pool, HASH_WORKERS, err);
    hashing.buffers = mill_alloc_array(HASH_WORKERS, HASH_PIECE);
    hashing.hashes = mill_alloc_array(n_pieces, sizeof *hashing.hashes);
    if (status == MILL_OK && (!hashing.buffers || !hashing.hashes))
        status = mill_fail(err, MILL_E_MEMORY, "no memory to hash the weights");
    if (status == MILL_OK) {
        mill_pool_run(pool, hash_piece, &hashing, (int)n_pieces);
        *out = XXH3_64bits(hashing.hashes, n_pieces * sizeof *hashing.hashes);
        if (hashing.failed)
            status = mill_fail(err, MILL_E_IO, "the converted weights cannot be read back");
    }
    mill_pool_close(pool);
    free(hashing.buffers);
    free(hashing.hashes);
    return status;
}

static struct header make_header(const struct mill_image_key *key, size_t image_bytes,
                                 uint64_t image_hash) {
    struct header header = {.magic = "MILLIMG",
                            .version = FORMAT_VERSION,
                            .key_low = key->low,
                            .key_high = key->high,
                            .image_bytes = image_bytes,
                            .image_hash = image_hash};
    header.header_hash = XXH3_64bits(&header, offsetof(struct header, header_hash));
    return header;
}

/* ------------------------------------------------------------------ the file */

static bool content_is_right(int fd, const struct mill_image_key *key, size_t image_bytes) {
    struct stat info;
    struct header found;
    uint64_t image_hash;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size != IMAGE_OFFSET + image_bytes ||
        !read_whole(fd, &found, sizeof found, 0))
        return false;
    struct header expected = make_header(key, image_bytes, found.image_hash);
    return memcmp(&found, &expected, sizeof found) == 0 &&
           hash_image(fd, image_bytes, &image_hash, NULL) == MILL_OK &&
           image_hash == found.image_hash;
}

mill_status mill_image_cache_open(struct mill_image_memory *memory, const char *path,
                                  const struct mill_image_key *key, size_t image_bytes) {
    *memory = (struct mill_image_memory){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return MILL_E_NOT_FOUND;
    bool usable =
        content_is_right(fd, key, image_bytes) && map(memory, fd, IMAGE_OFFSET, image_bytes);
    close(fd);
    return usable ? MILL_OK : MILL_E_NOT_FOUND;
}

/* Its full size, with blocks reserved where the file system can, so that a full disk shows now and
 * not after the conversion. */
static mill_status reserve(const struct mill_output *output, size_t bytes, struct mill_error *err) {
    if (ftruncate(output->fd, (off_t)bytes) == 0 &&
        (fallocate(output->fd, 0, 0, (off_t)bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS ||
         errno == EINTR))
        return MILL_OK;
    return mill_fail(err, MILL_E_IO, "'%s': %s", output->path, strerror(errno));
}

/* Everything between the open and the commit; a failure here that is not the checkpoint's or
 * memory's is the file's. */
static mill_status write_image(struct mill_image_memory *memory, struct mill_output *output,
                               const struct mill_image_key *key, struct mill_image_plan *plan,
                               struct mill_image_target *target, struct mill_error *err) {
    uint64_t image_hash;
    target->write_failed = true;
    MILL_TRY(reserve(output, IMAGE_OFFSET + plan->bytes, err));
    target->output = output;
    target->file_offset = IMAGE_OFFSET;
    target->write_failed = false;
    MILL_TRY(mill_image_fill(plan, target, err));
    target->write_failed = true;
    MILL_TRY(hash_image(output->fd, plan->bytes, &image_hash, err));
    struct header header = make_header(key, plan->bytes, image_hash);
    MILL_TRY(mill_output_write_at(output, 0, &header, sizeof header, err));
    if (!map(memory, output->fd, IMAGE_OFFSET, plan->bytes))
        return mill_fail(err, MILL_E_IO, "'%s': cannot be mapped", output->path);
    return MILL_OK;
}

mill_status mill_image_cache_make(struct mill_image_memory *memory, const char *path,
                                  const struct mill_image_key *key, struct mill_image_plan *plan,
                                  struct mill_image_target *target, struct mill_error *err) {
    struct mill_output output;
    *memory = (struct mill_image_memory){0};
    target->write_failed = true;
    mill_output_sweep(path); /* of a killed process, as large as the image */
    MILL_TRY(mill_output_open(&output, path, err));
    mill_status status = write_image(memory, &output, key, plan, target, err);
    if (status == MILL_OK)
        status = mill_output_commit(&output, err);
    mill_output_close(&output);
    if (status < 0)
        mill_image_memory_close(memory);
    return status;
}
