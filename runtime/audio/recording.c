/* recording.c - see recording.h: starts the decoder, takes what it writes, up to a bound and a
 * deadline, and says why it ended.
 *
 * posix_spawn and not fork: a server has many threads, and between fork and exec little is safe.
 * The child gets the file as descriptor 0, the pipe as 1, /dev/null as 2, no other descriptor, no
 * environment, no blocked or ignored signal. When the pipe ends, the child is ending too (it cannot
 * close a descriptor otherwise: the lock), so killing it then changes nothing, and waiting for it
 * cannot block. */
#include "runtime/audio/recording.h"

#include "runtime/audio/recording_wire.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SHOWN = 200, ABOVE_STANDARD = 3 };

struct decoding {
    const char *decoder;
    double max_seconds, timeout_seconds;
    int file, pipe; /* -1 when closed; pipe is the end to read */
    pid_t child;    /* 0 when there is none to wait for */
    struct mill_buffer bytes;
};

const char *mill_recording_format_name(enum mill_recording_format format) {
    static const char *const names[] = {
#define X(name, text) text,
        MILL_RECORDING_FORMAT_MAP(X)
#undef X
    };
    return (unsigned)format < MILL_RECORDING_FORMAT_COUNT ? names[format] : "unknown";
}

void mill_recording_close(struct mill_recording *recording) {
    free(recording->memory);
    *recording = (struct mill_recording){0};
}

/* The same file under a number that is no standard descriptor's, so that putting it in place as 0
 * or 1 cannot overwrite another one that is still to be put in place. */
static int above_standard(int fd) {
    if (fd < 0 || fd >= ABOVE_STANDARD)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_STANDARD), cause = errno;
    close(fd);
    errno = cause;
    return higher;
}

/* O_NONBLOCK: opening a pipe that nobody writes to would wait for ever. */
static mill_status open_file(struct decoding *d, const char *path, struct mill_error *err) {
    struct stat info;
    d->file = above_standard(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (d->file < 0)
        return mill_fail(err, mill_open_failure(errno), "cannot be opened: %s", strerror(errno));
    if (fstat(d->file, &info) != 0)
        return mill_fail(err, MILL_E_IO, "%s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return mill_fail(err, MILL_E_INPUT, "not a regular file; give a sound file");
    if (info.st_size == 0)
        return mill_fail(err, MILL_E_INPUT, "empty; record it again");
    return MILL_OK;
}

/* What the child begins with: two objects that are initialised already. An errno. */
static int plan_child(const struct decoding *d, int pipe_in, posix_spawnattr_t *attributes,
                      posix_spawn_file_actions_t *actions) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int cause = posix_spawnattr_setsigmask(attributes, &none);
    if (!cause)
        cause = posix_spawnattr_setsigdefault(attributes, &all);
    if (!cause)
        cause =
            posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!cause)
        cause = posix_spawn_file_actions_adddup2(actions, d->file, STDIN_FILENO);
    if (!cause)
        cause = posix_spawn_file_actions_adddup2(actions, pipe_in, STDOUT_FILENO);
    if (!cause)
        cause = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!cause)
        cause = posix_spawn_file_actions_addclosefrom_np(actions, ABOVE_STANDARD);
    return cause;
}

/* An errno; on 0 there is a child. */
static int spawn(struct decoding *d, const char *decoder, int pipe_in) {
    char seconds[64]; /* hexadecimal: both ends must reckon with the same number */
    snprintf(seconds, sizeof seconds, "%a", d->max_seconds);
    char name[] = "sparkmill-decode", *arguments[] = {name, seconds, NULL}, *nothing[] = {NULL};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int cause = posix_spawnattr_init(&attributes);
    if (cause)
        return cause;
    cause = posix_spawn_file_actions_init(&actions);
    if (!cause) {
        cause = plan_child(d, pipe_in, &attributes, &actions);
        if (!cause)
            cause = posix_spawn(&d->child, decoder, &actions, &attributes, arguments, nothing);
        if (cause)
            d->child = 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return cause;
}

static mill_status start(struct decoding *d, struct mill_error *err) {
    char beside[PATH_MAX];
    const char *decoder = d->decoder;
    if (!decoder && !mill_path_beside_program(beside, sizeof beside, "sparkmill-decode"))
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "not opened: the running program's folder is unknown, so the decoder "
                         "cannot be found");
    if (!decoder)
        decoder = beside;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return mill_fail(err, MILL_E_IO, "no pipe to the decoder: %s", strerror(errno));
    d->pipe = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    int cause = d->pipe < 0 || ends[1] < 0 ? EMFILE : spawn(d, decoder, ends[1]);
    if (ends[1] >= 0)
        close(ends[1]);
    if (cause)
        return mill_fail(err, MILL_E_UNSUPPORTED,
                         "not opened: the decoder '%.200s' cannot be started: %s", decoder,
                         strerror(cause));
    return MILL_OK;
}

/* Everything until the pipe's end, or less when more comes than may come: the parser refuses it. */
static mill_status take_bytes(struct decoding *d, struct mill_error *err) {
    double deadline = mill_clock_seconds() + d->timeout_seconds;
    for (;;) {
        double left = deadline - mill_clock_seconds();
        struct pollfd ready = {.fd = d->pipe, .events = POLLIN};
        int n_ready = left > 0 ? poll(&ready, 1, (int)fmin(ceil(left * 1e3), INT_MAX)) : 0;
        if (n_ready < 0 && errno == EINTR)
            continue;
        if (n_ready < 0)
            return mill_fail(err, MILL_E_IO, "waiting for the decoder failed: %s", strerror(errno));
        if (n_ready == 0)
            return mill_fail(err, MILL_E_INPUT,
                             "not decoded within %g s; convert it to wav, or cut out 3 to 30 s",
                             d->timeout_seconds);
        char piece[1 << 16];
        ssize_t n = read(d->pipe, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mill_fail(err, MILL_E_IO, "reading from the decoder failed: %s",
                             strerror(errno));
        if (n == 0)
            return MILL_OK;
        MILL_TRY(mill_buffer_append(&d->bytes, piece, (size_t)n, err));
        if (d->bytes.size >
            mill_wire_bytes_max((uint8_t *)d->bytes.data, d->bytes.size, d->max_seconds))
            return MILL_OK;
    }
}

/* How the decoder ended; MILL_OK when it left of its own will and in order. */
static mill_status wait_for_child(struct decoding *d, struct mill_error *err) {
    int how = 0;
    pid_t ended;
    kill(d->child, SIGKILL);
    while ((ended = waitpid(d->child, &how, 0)) < 0 && errno == EINTR)
        ;
    d->child = 0;
    if (ended < 0)
        return mill_fail(err, MILL_E_IO, "the decoder's end was not seen: %s", strerror(errno));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return MILL_OK;
    if (WIFEXITED(how))
        return mill_fail(err, MILL_E_IO, "the decoder gave up with exit status %d",
                         WEXITSTATUS(how));
    int number = WTERMSIG(how);
    if (number == SIGSYS)
        return mill_fail(
            err, MILL_E_INPUT,
            "the decoder was stopped, because it tried something forbidden (SIGSYS); the "
            "file may be an attack: do not use it");
    if (number == SIGXCPU || number == SIGKILL)
        return mill_fail(
            err, MILL_E_INPUT,
            "the decoder was stopped, because it took more than %d s of processor time; "
            "convert it to wav",
            MILL_WIRE_PROCESSOR_SECONDS);
    return mill_fail(err, MILL_E_INPUT,
                     "the decoder crashed (%s); the file is damaged or an attack: do not use it",
                     strsignal(number));
}

static mill_status decode(struct decoding *d, const char *path, struct mill_recording *out,
                          struct mill_error *err) {
    MILL_TRY(open_file(d, path, err));
    MILL_TRY(start(d, err));
    MILL_TRY(take_bytes(d, err));
    bool too_many = d->bytes.size >
                    mill_wire_bytes_max((uint8_t *)d->bytes.data, d->bytes.size, d->max_seconds);
    if (!too_many) /* else it is killed in the middle of its sentence, which says nothing */
        MILL_TRY(wait_for_child(d, err));
    MILL_TRY(mill_wire_parse(out, (uint8_t *)d->bytes.data, d->bytes.size, d->max_seconds, err));
    out->memory = d->bytes.data;
    d->bytes.data = NULL;
    return MILL_OK;
}

static mill_status read_path(struct mill_recording *out, const char *path,
                             const struct mill_recording_options *options, struct mill_error *err) {
    static const struct mill_recording_options defaults = {0};
    const struct mill_recording_options *o = options ? options : &defaults;
    struct decoding d = {.decoder = o->decoder,
                         .max_seconds = o->max_seconds > 0 ? o->max_seconds : 600,
                         .timeout_seconds = o->timeout_seconds > 0 ? o->timeout_seconds : 30,
                         .file = -1,
                         .pipe = -1};
    *out = (struct mill_recording){0};
    mill_buffer_init(&d.bytes, sizeof(struct mill_wire_head) + sizeof(struct mill_wire_tail) +
                                   sizeof(float) * (size_t)MILL_WIRE_SAMPLES_MAX + (1 << 16));
    mill_status status = decode(&d, path, out, err);
    if (d.pipe >= 0)
        close(d.pipe);
    if (d.child > 0)
        wait_for_child(&d, NULL);
    if (d.file >= 0)
        close(d.file);
    mill_buffer_deinit(&d.bytes);
    return status;
}

mill_status mill_recording_read(struct mill_recording *out, const char *path,
                                const struct mill_recording_options *options,
                                struct mill_error *err) {
    mill_status status = read_path(out, path, options, err);
    return status < 0 ? mill_context(err, status, "recording '%.*s'", PATH_SHOWN, path) : status;
}

mill_status mill_recording_read_bytes(struct mill_recording *out, const void *bytes, size_t size,
                                      const struct mill_recording_options *options,
                                      struct mill_error *err) {
    char path[32];
    int fd = memfd_create("recording", MFD_CLOEXEC);
    int cause = fd < 0 ? errno : mill_write_all(fd, bytes, size);
    *out = (struct mill_recording){0};
    /* Opened by its path, so that the decoder may only read it. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    mill_status status =
        cause ? mill_fail(err, MILL_E_MEMORY, "a file in memory: %s", strerror(cause))
              : read_path(out, path, options, err);
    if (fd >= 0)
        close(fd);
    return status < 0 ? mill_context(err, status, "recording") : status;
}
