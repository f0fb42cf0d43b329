/* listener.c - see listener.h. No state. */
#include "runtime/server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Closes the descriptor on failure. */
static mill_status bind_and_listen(int fd, const void *address, socklen_t size, const char *name,
                                   struct mill_error *err) {
    if (fd >= 0 && bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
        return MILL_OK;
    mill_fail(err, MILL_E_IO, "listening on '%s': %s%s", name, strerror(errno),
              errno == EADDRINUSE ? ": is another server running? --port takes another one" : "");
    if (fd >= 0)
        close(fd);
    return MILL_E_IO;
}

/* A server that was killed leaves its socket behind; one that answers keeps it, and a file is none.
 */
static mill_status remove_old_socket(const struct sockaddr_un *address, const char *path,
                                     struct mill_error *err) {
    struct stat info;
    if (lstat(path, &info) != 0)
        return MILL_OK; /* binding says what is wrong, if something is */
    if (!S_ISSOCK(info.st_mode))
        return mill_fail(err, MILL_E_INPUT, "'%s': is there, and no socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers =
        fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
                    errno != ECONNREFUSED);
    if (fd >= 0)
        close(fd);
    if (answers)
        return mill_fail(err, MILL_E_IO, "'%s': another server listens there", path);
    unlink(path);
    return MILL_OK;
}

static mill_status open_unix(int *fd, const char *host, const char *path, struct mill_error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) == 0 || strlen(path) >= sizeof address.sun_path)
        return mill_fail(err, MILL_E_INPUT, "host '%s': a path of 1 to %zu bytes is wanted", host,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    MILL_TRY(remove_old_socket(&address, path, err));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return bind_and_listen(*fd, &address, sizeof address, host, err);
}

mill_status mill_listener_open(int *fd, const char *host, int port, struct mill_error *err) {
    if (strncmp(host, "unix:", 5) == 0)
        return open_unix(fd, host, host + 5, err);
    char service[16];
    struct addrinfo *found, wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(service, sizeof service, "%d", port);
    int result = getaddrinfo(host, service, &wanted, &found);
    if (result != 0)
        return mill_fail(err, MILL_E_INPUT, "host '%s': %s", host, gai_strerror(result));
    int on = 1;
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd >= 0)
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    char name[300];
    snprintf(name, sizeof name, "%s:%d", host, port);
    mill_status status = bind_and_listen(*fd, found->ai_addr, found->ai_addrlen, name, err);
    freeaddrinfo(found);
    return status;
}

mill_status mill_listener_take(int fd, struct mill_error *err) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens)
        return mill_fail(err, MILL_E_INPUT, "descriptor %d is no listening socket", fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return MILL_OK;
}

void mill_listener_print(int fd, char text[MILL_ADDRESS_BYTES]) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[64], service[16];
    snprintf(text, MILL_ADDRESS_BYTES, "unix");
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 || address.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(text, MILL_ADDRESS_BYTES, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             service);
}
