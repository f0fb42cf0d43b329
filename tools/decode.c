/* decode.c - the program sparkmill-decode: decodes one hostile sound file, locked in.
 *
 *     sparkmill-decode MAX_SECONDS <FILE >PIPE     what runtime/audio/recording.c runs
 *     sparkmill-decode --self-test                 lock in, then break out: SIGSYS if all is well
 *
 * Small on purpose, and never built with sanitizers, whose runtimes need more than the lock
 * allows. Exit status 0: an answer was written (recording_wire.h); 1: it could not be. */
#include "runtime/audio/recording_decode.h"
#include "runtime/audio/sandbox.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct stat info;
    if (argc != 2)
        return 1;
    bool self_test = strcmp(argv[1], "--self-test") == 0;
    if (!self_test && (fstat(STDIN_FILENO, &info) != 0 || !S_ISREG(info.st_mode)))
        return 1;
    const char *failure = mill_sandbox_enter(MILL_WIRE_MEMORY_BYTES, MILL_WIRE_PROCESSOR_SECONDS);
    if (self_test) {
        (void)!open("/dev/null", O_WRONLY);
        _exit(1); /* still here: the lock does not hold */
    }
    int result = failure
                     ? mill_recording_decode_refuse(STDOUT_FILENO, MILL_WIRE_NOT_LOCKED, 0, failure)
                     : mill_recording_decode(STDIN_FILENO, info.st_size, STDOUT_FILENO,
                                             strtod(argv[1], NULL));
    _exit(result == 0 ? 0 : 1); /* no handlers of libraries: they may need what is locked */
}
