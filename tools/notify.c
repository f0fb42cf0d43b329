/* notify.c - see notify.h. */
#include "tools/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 }; /* of those that systemd hands down */

int mill_notify_open(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof address.sun_path || !strchr("/@", path[0]))
        return -1;
    memcpy(address.sun_path, path, n);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void mill_notify_send(int fd, const char *message) {
    if (fd >= 0)
        (void)!send(fd, message, strlen(message), MSG_NOSIGNAL);
}

void mill_notify_close(int fd) {
    if (fd >= 0)
        close(fd);
}

/* A variable's whole number, where the variable of that process is ours; -1 otherwise. */
static long long number_for_us(const char *name, const char *process) {
    const char *value = getenv(name), *wanted = getenv(process);
    if (!value || (wanted && strtoll(wanted, NULL, 10) != getpid()))
        return -1;
    return strtoll(value, NULL, 10);
}

double mill_notify_watchdog_s(void) {
    long long us = number_for_us("WATCHDOG_USEC", "WATCHDOG_PID");
    return us > 0 ? 0.5e-6 * (double)us : 0;
}

int mill_notify_listener(void) {
    return getenv("LISTEN_PID") && number_for_us("LISTEN_FDS", "LISTEN_PID") >= 1 ? FIRST_FD : -1;
}
