/* log.h - what the server tells its operator: one line of key=value pairs an event, never a text
 * that was to be spoken, never audio, never a key. The program that runs the server writes it. */
#ifndef MILL_SERVER_LOG_H
#define MILL_SERVER_LOG_H

struct mill_log {
    /* One line without its line break; on any thread. */
    void (*write)(void *context, const char *line);
    void *context;
};

/* Values with spaces are the caller's to quote: %s within "...". */
void mill_log_event(const struct mill_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
