/* status.h - how a call says what happened, everywhere in Sparkmill.
 *
 * A call returns a mill_status: negative = it failed and nothing observable changed, 0 = done,
 * positive = not a failure, but not simply done either. Calls that a person may read about take a
 * struct mill_error last; the innermost call writes the cause, callers put their context in front
 * while unwinding, so that a message reads from the outside in: "checkpoint 'x.safetensors': tensor
 * 'a.b': ends 12 bytes past the file". A NULL error is allowed everywhere: the caller then wants
 * only the code. */
#ifndef MILL_BASE_STATUS_H
#define MILL_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* name, value, text, HTTP status a server answers with */
#define MILL_STATUS_MAP(X)                                                                         \
    X(OK, 0, "done", 200)                                                                          \
    X(AGAIN, 1, "not now, try again", 503)                                                         \
    X(DONE, 2, "nothing is left", 200)                                                             \
    X(E_INPUT, -1, "bad input", 400)                                                               \
    X(E_NOT_FOUND, -2, "not found", 404)                                                           \
    X(E_MEMORY, -3, "out of memory", 503)                                                          \
    X(E_IO, -4, "input or output failed", 500)                                                     \
    X(E_UNSUPPORTED, -5, "not supported", 501)                                                     \
    X(E_DEVICE, -6, "the device failed", 503)                                                      \
    X(E_CANCELLED, -7, "cancelled", 499)                                                           \
    X(E_NUMERIC, -8, "a result is not a finite number", 500)                                       \
    X(E_FULL, -9, "no space is left", 507)

enum mill_status_code {
#define X(name, value, text, http) MILL_##name = value,
    MILL_STATUS_MAP(X)
#undef X
};
typedef int mill_status;

struct mill_error {
    char text[512]; /* empty, or one line without a line break */
};

/* Write the cause and return `code`, so that a call site is one statement. */
mill_status mill_fail(struct mill_error *err, mill_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put context in front of what `err` says ("context: cause"); returns `code`. */
mill_status mill_context(struct mill_error *err, mill_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The map's text for a code; never NULL. Part of the public interface. */
const char *mill_status_text(mill_status code) __attribute__((visibility("default")));

/* Leave the calling function with the status of `call` if that is a failure. */
#define MILL_TRY(call)                                                                             \
    do {                                                                                           \
        mill_status mill_try_status_ = (call);                                                     \
        if (mill_try_status_ < 0)                                                                  \
            return mill_try_status_;                                                               \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
