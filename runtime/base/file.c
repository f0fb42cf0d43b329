/* file.c - see file.h. No state; every function may run on any thread. */
#include "runtime/base/file.h"

#include "runtime/base/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file is written as "NAME.<12 digits>.unfinished". */
#define TEMPORARY_ENDING ".unfinished"
enum { TEMPORARY_DIGITS = 12 };

mill_status mill_open_failure(int cause) {
    bool is_short = cause == EMFILE || cause == ENFILE || cause == ENOMEM;
    return cause == ENOENT ? MILL_E_NOT_FOUND : is_short ? MILL_E_MEMORY : MILL_E_IO;
}

mill_status mill_mapping_open(struct mill_mapping *mapping, const char *path,
                              struct mill_error *err) {
    *mapping = (struct mill_mapping){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (fd < 0)
        return mill_fail(err, mill_open_failure(errno), "'%s': %s", path, strerror(errno));
    struct stat info;
    mill_status status = MILL_OK;
    if (fstat(fd, &info) != 0)
        status = mill_fail(err, MILL_E_IO, "'%s': %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = mill_fail(err, MILL_E_INPUT, "'%s': not a regular file", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status =
                mill_fail(err, MILL_E_MEMORY, "'%s': cannot be mapped: %s", path, strerror(errno));
        else
            *mapping = (struct mill_mapping){.data = data, .size = (size_t)info.st_size};
    }
    close(fd);
    return status;
}

void mill_mapping_close(struct mill_mapping *mapping) {
    if (mapping->data)
        munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (struct mill_mapping){0};
}

void mill_mapping_forget(const struct mill_mapping *mapping, size_t offset, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = (offset + page - 1) / page * page, end = (offset + size) / page * page;
    if (first < end && end <= mapping->size)
        madvise((void *)(uintptr_t)(mapping->data + first), end - first, MADV_DONTNEED);
}

mill_status mill_file_read(const char *path, struct mill_buffer *out, struct mill_error *err) {
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mill_fail(err, mill_open_failure(errno), "'%s': %s", path, strerror(errno));
    mill_status status = MILL_OK;
    for (;;) {
        char piece[1 << 14];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = mill_fail(err, errno == EISDIR ? MILL_E_INPUT : MILL_E_IO, "'%s': %s", path,
                               strerror(errno));
        else if (n > 0 && (status = mill_buffer_append(out, piece, (size_t)n, err)) < 0)
            status = mill_context(err, status, "'%s'", path);
        if (n <= 0 || status < 0)
            break;
    }
    close(fd);
    return status;
}

mill_status mill_write_failure(int cause) {
    return cause == ENOSPC || cause == EDQUOT ? MILL_E_FULL : MILL_E_IO;
}

int mill_write_all(int fd, const void *data, size_t size) {
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Whether the rename of the end may replace what is there; the access bits of a file that is. */
static mill_status check_replaceable(const char *path, mode_t *mode, struct mill_error *err) {
    struct stat info;
    bool is_there = stat(path, &info) == 0;
    *mode = is_there ? info.st_mode & 0777 : 0;
    if (!is_there || S_ISREG(info.st_mode))
        return MILL_OK;
    return mill_fail(err, MILL_E_INPUT,
                     S_ISDIR(info.st_mode)
                         ? "'%s': is a folder: the name of a file is wanted"
                         : "'%s': not a regular file, and only such a one is replaced",
                     path);
}

/* Where the link of that name leads, one step; in new memory, NULL with errno. */
static char *follow(const char *path) {
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    const char *slash = strrchr(path, '/');
    char *full = NULL;
    int length = target[0] == '/' || !slash
                     ? asprintf(&full, "%s", target)
                     : asprintf(&full, "%.*s/%s", (int)(slash - path), path, target);
    return length < 0 ? NULL : full;
}

/* The name that the file gets: of a link its target's, whether it is there or not. In new memory,
 * NULL with errno. */
static char *final_name(const char *path) {
    enum { MAX_LINKS = 40 };
    struct stat info;
    char *name = strdup(path);
    for (int i = 0; name && lstat(name, &info) == 0 && S_ISLNK(info.st_mode); i++) {
        char *next = i < MAX_LINKS ? follow(name) : NULL;
        if (i == MAX_LINKS)
            errno = ELOOP;
        free(name);
        name = next;
    }
    return name;
}

static const char *name_in(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int open_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    return fd;
}

/* A new file under the temporary name, locked while it is open: the lock tells mill_output_sweep
 * that somebody is at work. An errno; EAGAIN when a sweep came between the two. Not mkostemp: it
 * makes private files, and to make them the user's own one would need the umask, which is the whole
 * process's and cannot be read without being changed under other threads. */
static int create_temporary(struct mill_output *output, mode_t mode) {
    struct stat info;
    output->fd = open(output->temporary_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (output->fd < 0) {
        int cause = errno;
        free(output->temporary_path); /* nothing to unlink */
        output->temporary_path = NULL;
        return cause;
    }
    (void)mill_lock_wait(output->fd, LOCK_EX); /* without locks nothing is swept */
    if (fstat(output->fd, &info) != 0 || (mode && fchmod(output->fd, mode) != 0))
        return errno;
    return info.st_nlink > 0 ? 0 : EAGAIN;
}

static int open_temporary(struct mill_output *output, const char *path, mode_t mode) {
    char digits[TEMPORARY_DIGITS + 1] = "";
    output->path = final_name(path);
    if (!output->path || !mill_hex_random(digits, TEMPORARY_DIGITS / 2))
        return errno;
    if (asprintf(&output->temporary_path, "%s.%s" TEMPORARY_ENDING, output->path, digits) < 0) {
        output->temporary_path = NULL;
        return ENOMEM;
    }
    return create_temporary(output, mode);
}

mill_status mill_output_open(struct mill_output *output, const char *path, struct mill_error *err) {
    *output = (struct mill_output){.fd = -1};
    mode_t mode;
    MILL_TRY(check_replaceable(path, &mode, err));
    int cause;
    while ((cause = open_temporary(output, path, mode)) != 0) {
        mill_output_close(output);
        if (cause != EAGAIN)
            return mill_fail(err, cause == ENOMEM ? MILL_E_MEMORY : mill_write_failure(cause),
                             "'%s': cannot be written: %s", path, strerror(cause));
    }
    return MILL_OK;
}

bool mill_output_is_temporary(const char *name, size_t n) {
    const char *digits = name + n + 1;
    return strnlen(name, n) == n && name[n] == '.' &&
           strspn(digits, "0123456789abcdef") == TEMPORARY_DIGITS &&
           strcmp(digits + TEMPORARY_DIGITS, TEMPORARY_ENDING) == 0;
}

/* One that nobody holds was left by a process that is no more. */
static void remove_abandoned(int folder, const char *name) {
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, name, 0);
    if (fd >= 0)
        close(fd);
}

/* Of outputs of that name; NULL = of any. The descriptor is closed. */
static void sweep(int fd, const char *name) {
    enum { ENDING_BYTES = 1 + TEMPORARY_DIGITS + sizeof TEMPORARY_ENDING - 1 };
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !folder)
        close(fd);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        size_t size = strlen(entry->d_name), n = size > ENDING_BYTES ? size - ENDING_BYTES : size;
        bool wanted = !name || (strlen(name) == n && strncmp(entry->d_name, name, n) == 0);
        if (wanted && mill_output_is_temporary(entry->d_name, n))
            remove_abandoned(fd, entry->d_name);
    }
    if (folder)
        closedir(folder);
}

void mill_output_sweep(const char *path) {
    char *final = final_name(path);
    if (final)
        sweep(open_folder_of(final), name_in(final));
    free(final);
}

void mill_output_sweep_folder(const char *folder) {
    sweep(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), NULL);
}

mill_status mill_output_write(struct mill_output *output, const void *data, size_t size,
                              struct mill_error *err) {
    off_t end = lseek(output->fd, 0, SEEK_END);
    if (end < 0)
        return mill_fail(err, MILL_E_IO, "'%s': %s", output->path, strerror(errno));
    return mill_output_write_at(output, (uint64_t)end, data, size, err);
}

mill_status mill_output_write_at(struct mill_output *output, uint64_t offset, const void *data,
                                 size_t size, struct mill_error *err) {
    const char *p = data;
    while (size > 0) {
        ssize_t n = pwrite(output->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mill_fail(err, mill_write_failure(errno), "'%s': writing failed: %s",
                             output->path, strerror(errno));
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return MILL_OK;
}

/* A rename is durable only once the folder that holds the name is. */
static int sync_folder_of(const char *path) {
    int fd = open_folder_of(path);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return result;
}

static mill_status replace(struct mill_output *output, bool durably, struct mill_error *err) {
    mill_status status = MILL_OK;
    if ((durably && fsync(output->fd) != 0) || rename(output->temporary_path, output->path) != 0) {
        status =
            mill_fail(err, mill_write_failure(errno), "'%s': %s", output->path, strerror(errno));
    } else {
        free(output->temporary_path); /* the name is gone: nothing to unlink */
        output->temporary_path = NULL;
        if (durably && sync_folder_of(output->path) != 0)
            status = mill_fail(err, MILL_E_IO, "'%s': its folder cannot be synced: %s",
                               output->path, strerror(errno));
    }
    mill_output_close(output);
    return status;
}

mill_status mill_output_commit(struct mill_output *output, struct mill_error *err) {
    return replace(output, true, err);
}

void mill_output_close(struct mill_output *output) {
    if (output->fd >= 0)
        close(output->fd);
    if (output->temporary_path)
        unlink(output->temporary_path);
    free(output->temporary_path);
    free(output->path);
    *output = (struct mill_output){.fd = -1};
}

static mill_status write_whole(const char *path, const void *data, size_t size, bool durably,
                               struct mill_error *err) {
    struct mill_output output;
    MILL_TRY(mill_output_open(&output, path, err));
    mill_status status = mill_output_write(&output, data, size, err);
    if (status == MILL_OK)
        status = replace(&output, durably, err);
    mill_output_close(&output);
    return status;
}

mill_status mill_file_write(const char *path, const void *data, size_t size,
                            struct mill_error *err) {
    return write_whole(path, data, size, true, err);
}

mill_status mill_file_publish(const char *path, const void *data, size_t size,
                              struct mill_error *err) {
    return write_whole(path, data, size, false, err);
}

int mill_lock_wait(int fd, int operation) {
    while (flock(fd, operation) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

mill_status mill_lock_try(int fd, const char *path, struct mill_error *err) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return MILL_OK;
    return errno == EWOULDBLOCK
               ? mill_fail(err, MILL_E_IO, "'%s': another process is at work there", path)
               : mill_fail(err, MILL_E_IO, "'%s': cannot be locked: %s", path, strerror(errno));
}

mill_status mill_lock_take(int *lock, const char *path, unsigned mode, struct mill_error *err) {
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, (mode_t)mode);
    int cause = *lock < 0 ? errno : mill_lock_wait(*lock, LOCK_EX);
    if (cause == 0)
        return MILL_OK;
    if (*lock >= 0)
        close(*lock);
    return mill_fail(err, MILL_E_IO, "'%s': cannot be locked: %s", path, strerror(cause));
}

/* The folder that the path's file is in. */
static bool stat_folder_of(const char *path, struct stat *info) {
    int fd = open_folder_of(path);
    bool found = fd >= 0 && fstat(fd, info) == 0;
    if (fd >= 0)
        close(fd);
    return found;
}

static bool is_one(const struct stat *x, const struct stat *y) {
    return x->st_dev == y->st_dev && x->st_ino == y->st_ino;
}

bool mill_file_same(const char *a, const char *b) {
    struct stat x, y;
    bool has_a = stat(a, &x) == 0, has_b = stat(b, &y) == 0;
    if (has_a || has_b)
        return has_a && has_b && is_one(&x, &y);
    char *name_a = final_name(a), *name_b = final_name(b);
    bool same = name_a && name_b && strcmp(name_in(name_a), name_in(name_b)) == 0 &&
                stat_folder_of(name_a, &x) && stat_folder_of(name_b, &y) && is_one(&x, &y);
    free(name_a);
    free(name_b);
    return same;
}

bool mill_path_beside_program(char *path, size_t size, const char *name) {
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    char *end = strrchr(path, '/');
    size_t left = end ? size - (size_t)(end + 1 - path) : 0;
    return end && (size_t)snprintf(end + 1, left, "%s", name) < left;
}

char *mill_path_join(const char *folder, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

mill_status mill_folder_make(const char *path, struct mill_error *err) {
    char *copy = strdup(path);
    if (!copy)
        return mill_fail(err, MILL_E_MEMORY, "'%s': no memory", path);
    mill_status status = MILL_OK;
    for (char *p = copy + 1; status == MILL_OK; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = mill_fail(err, mill_write_failure(errno), "'%s': cannot be made: %s", path,
                               strerror(errno));
        *p = kept;
        if (kept == '\0')
            break;
    }
    struct stat info;
    if (status == MILL_OK && stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        status = mill_fail(err, MILL_E_IO, "'%s': there is a file of that name, no folder", path);
    free(copy);
    return status;
}
