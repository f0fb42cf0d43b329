/* fuzz_recording.c - the bytes as a recording, decoded in this process and without the lock; what
 * the decoder writes is then read as its parent reads it, and must make sense. libsndfile itself is
 * not instrumented: what is exercised is our use of it, and our reader. */
#include "runtime/audio/recording_check.h"
#include "runtime/audio/recording_decode.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const double max_seconds = 0.5;

/* libsndfile 1.2.0 loses a vorbis_info with every ogg file that it refuses. The decoding process
 * ends after one file, so that harms nobody; our part allocates nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

/* A file in memory that holds these bytes, ready to be read. */
static int file_of(const uint8_t *data, size_t size) {
    int fd = memfd_create("recording", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int in = file_of(data, size), out = file_of(data, 0);
    require(mill_recording_decode(in, (int64_t)size, out, max_seconds) == 0);
    off_t bytes = lseek(out, 0, SEEK_END);
    uint8_t *answer = malloc((size_t)bytes);
    require(answer && pread(out, answer, (size_t)bytes, 0) == bytes);

    struct mill_recording recording;
    struct mill_error err;
    mill_status status = mill_wire_parse(&recording, answer, (size_t)bytes, max_seconds, &err);
    require_message(status, &err);
    require(status == MILL_OK || strstr(err.text, "makes no sense") == NULL);
    float sum = 0;
    for (size_t i = 0; i < recording.n_samples; i++)
        sum += fabsf(recording.samples[i]);
    require(sum >= 0);
    if (status == MILL_OK) {
        struct mill_recording_report report;
        require(mill_recording_check(&recording, 0.25, &report, NULL) == MILL_OK);
        require(report.use_first_s >= 0 && report.use_end_s >= report.use_first_s);
    }
    free(answer);
    close(in);
    close(out);
    return 0;
}
