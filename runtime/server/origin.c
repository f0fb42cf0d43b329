/* origin.c - see origin.h. */
#include "runtime/server/origin.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const char *name, size_t size) {
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (size == 9 && strncasecmp(name, "localhost", 9) == 0)
        return true;
    if (size >= sizeof text)
        return false;
    memcpy(text, name, size);
    text[size] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* NAME or NAME:PORT. */
static bool names_this_machine(const char *authority) {
    bool is_ipv6 = strncmp(authority, "[::1]", 5) == 0;
    size_t size = is_ipv6 ? 5 : strcspn(authority, ":");
    const char *port = authority + size;
    bool ends =
        *port == '\0' || (*port == ':' && strspn(port + 1, "0123456789") == strlen(port + 1));
    return ends && (is_ipv6 || is_loopback(authority, size));
}

bool mill_origin_is_local(const char *host, const char *origin) {
    if (host && !names_this_machine(host))
        return false;
    if (!origin)
        return true;
    size_t scheme = strncmp(origin, "http://", 7) == 0    ? 7
                    : strncmp(origin, "https://", 8) == 0 ? 8
                                                          : 0;
    return scheme > 0 && names_this_machine(origin + scheme);
}
