/* notify.h - telling a service manager how the server is: systemd's sd_notify protocol, one
 * datagram a message to the socket that NOTIFY_SOCKET names. */
#ifndef MILL_TOOLS_NOTIFY_H
#define MILL_TOOLS_NOTIFY_H

/* The socket; -1 when nobody wants to know. */
int mill_notify_open(void);
/* "READY=1", "STOPPING=1", ...; harmless on -1. */
void mill_notify_send(int fd, const char *message);
void mill_notify_close(int fd);

/* Seconds between the signs of life that the manager wants; 0 = none. */
double mill_notify_watchdog_s(void);
/* The listening socket that the manager handed down; -1 = none. */
int mill_notify_listener(void);

#endif
