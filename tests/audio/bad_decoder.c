/* bad_decoder.c - stands in for sparkmill-decode and misbehaves: the recording that it is given
 * holds a word that says how. What hostile bytes could make of a decoder, for test_recording.c. */
#include "runtime/audio/recording_wire.h"
#include "runtime/audio/sandbox.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void say(const void *data, size_t size) {
    if (write(STDOUT_FILENO, data, size) != (ssize_t)size)
        _exit(9);
}

static void say_head(uint32_t format, int32_t rate, int32_t channels) {
    struct mill_wire_head head = {MILL_WIRE_HEAD, format, rate, channels};
    say(&head, sizeof head);
}

static void say_tail(uint32_t verdict, uint64_t n_samples, const char *detail, size_t size) {
    struct mill_wire_tail tail = {.magic = MILL_WIRE_TAIL, .verdict = verdict};
    tail.n_samples = n_samples;
    memcpy(tail.detail, detail, size);
    say(&tail, sizeof tail);
}

/* Attempts that the lock must end. Each returns only if it was let through. */
static void escape(const char *word) {
    if (mill_sandbox_enter(MILL_WIRE_MEMORY_BYTES, 1) != NULL)
        _exit(8);
    if (strcmp(word, "write") == 0)
        (void)!open("/dev/null", O_WRONLY);
    else if (strcmp(word, "read") == 0)
        _exit(open("/dev/null", O_RDONLY) < 0 ? 5 : 7);
    else if (strcmp(word, "socket") == 0)
        (void)!socket(AF_INET, SOCK_STREAM, 0);
    else if (strcmp(word, "fork") == 0)
        (void)!fork();
    else if (strcmp(word, "signal") == 0)
        kill(getppid(), 0);
    else if (strcmp(word, "execute") == 0)
        execl("/bin/true", "true", NULL);
    else if (strcmp(word, "code") == 0)
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else if (strcmp(word, "map") == 0)
        mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    else if (strcmp(word, "other") == 0)
        (void)!write(5, "x", 1);
    else if (strcmp(word, "processor") == 0)
        for (;;)
            __asm__ volatile("");
    _exit(7);
}

/* Takes all memory that it can get, and says how much. */
static void take_memory(void) {
    char text[64] = {0};
    int n = 0;
    if (mill_sandbox_enter(MILL_WIRE_MEMORY_BYTES, 5) != NULL)
        _exit(8);
    for (char *p = malloc(1 << 20); p && n < 4096; p = malloc(1 << 20), n++)
        memset(p, 1, 1 << 20);
    snprintf(text, sizeof text, "memory %d MiB", n);
    say_tail(MILL_WIRE_NOT_AUDIO, 0, text, sizeof text);
}

static void show_inheritance(void) {
    char text[64] = {0};
    int n = 0, variables = 0;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int fd = 3; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    while (environ[variables])
        variables++;
    snprintf(text, sizeof text, "files %d variables %d blocked %d", n, variables,
             sigismember(&blocked, SIGTERM));
    say_tail(MILL_WIRE_NOT_AUDIO, 0, text, sizeof text);
}

static void lie(const char *word) {
    static const float samples[4] = {0, NAN, 0, 0};
    static const char zeros[1 << 16];
    char noise[104];
    memset(noise, '\x1b', sizeof noise);
    if (strcmp(word, "nan") == 0) {
        say_head(0, 16000, 1);
        say(samples, sizeof samples);
        say_tail(MILL_WIRE_COMPLETE, 4, "", 0);
    } else if (strcmp(word, "count") == 0) {
        say_head(0, 16000, 1);
        say(zeros, 16);
        say_tail(MILL_WIRE_COMPLETE, UINT64_MAX / 4 + 5, "", 0);
    } else if (strcmp(word, "fewer") == 0) {
        say_head(0, 16000, 1);
        say(zeros, 16);
        say_tail(MILL_WIRE_COMPLETE, 3, "", 0);
    } else if (strcmp(word, "odd") == 0) {
        say_head(0, 16000, 1);
        say(zeros, 15);
        say_tail(MILL_WIRE_COMPLETE, 3, "", 0);
    } else if (strcmp(word, "nothing") == 0) {
        say_tail(MILL_WIRE_COMPLETE, 0, "", 0);
    } else if (strcmp(word, "format") == 0) {
        say_head(77, 16000, 1);
    } else if (strcmp(word, "rate") == 0) {
        say_head(0, 0, 1);
    } else if (strcmp(word, "channels") == 0) {
        say_head(0, 16000, 0);
    } else if (strcmp(word, "verdict") == 0) {
        say_tail(MILL_WIRE_VERDICTS, 0, "", 0);
    } else if (strcmp(word, "detail") == 0) {
        say_tail(MILL_WIRE_NOT_AUDIO, 0, noise, sizeof noise);
    } else if (strcmp(word, "flood") == 0) {
        say_head(0, 4000, 1);
        for (;;)
            say(zeros, sizeof zeros);
    }
}

int main(void) {
    char word[32] = {0};
    if (read(STDIN_FILENO, word, sizeof word - 1) <= 0)
        _exit(6);
    if (strncmp(word, "escape ", 7) == 0)
        escape(word + 7);
    else if (strcmp(word, "memory") == 0)
        take_memory();
    else if (strcmp(word, "inheritance") == 0)
        show_inheritance();
    else if (strcmp(word, "crash") == 0)
        raise(SIGSEGV);
    else if (strcmp(word, "give up") == 0)
        _exit(3);
    else if (strcmp(word, "hang") == 0)
        pause();
    else if (strcmp(word, "half") == 0) {
        say_head(0, 16000, 1);
        pause();
    } else if (strcmp(word, "close") == 0) {
        close(STDOUT_FILENO);
        pause();
    } else
        lie(word);
    _exit(0);
}
