/* devices.c - see devices.h. */
#include "runtime/engine/devices.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NUMBER = 1024 };

/* A list being read. */
struct list {
    struct mill_engine_device *devices;
    int32_t capacity, n;
    struct mill_error *note, *err;
};

static mill_status add(struct list *list, const struct mill_engine_device *device) {
    if (list->n == list->capacity)
        return mill_fail(list->err, MILL_E_INPUT, "more than %d devices", list->capacity);
    list->devices[list->n++] = *device;
    return MILL_OK;
}

/* Every device of a backend that has some. */
static mill_status add_all(struct list *list, const char *name, bool may_be_left,
                           struct mill_error *why) {
    const struct mill_backend_ops *ops = mill_backend_find(name, why);
    int32_t n = ops ? ops->n_devices(why) : 0;
    if (n < 0)
        return n;
    for (int32_t i = 0; i < n; i++) {
        struct mill_engine_device device = {
            .number = i, .may_be_left = may_be_left, .is_gpu = true};
        snprintf(device.name, sizeof device.name, "%s", name);
        MILL_TRY(add(list, &device));
    }
    return n > 0 ? MILL_OK : MILL_E_NOT_FOUND;
}

static mill_status add_auto(struct list *list) {
    struct mill_error why = {""};
    int32_t n_before = list->n;
    mill_status status = add_all(list, "cuda", true, &why);
    if (status == MILL_OK || list->n > n_before)
        return status;
    if (status != MILL_E_NOT_FOUND)
        *list->note = why;
    return add(list, &(struct mill_engine_device){.name = "cpu"});
}

/* A whole number of at most four digits; -1 for anything else. */
static int32_t number_of(const char *text, size_t size) {
    int32_t number = 0;
    if (size < 1 || size > 4)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = 10 * number + (text[i] - '0');
    }
    return number <= MAX_NUMBER ? number : -1;
}

/* A device of the backend `name`; `number` as in NAME:NUMBER, or -1. */
static mill_status add_named(struct list *list, const char *name, int32_t number) {
    const struct mill_backend_ops *ops = mill_backend_find(name, list->err);
    struct mill_engine_device device = {0};
    if (!ops)
        return MILL_E_INPUT;
    if (ops->n_devices && number < 0)
        return add_all(list, name, false, list->err);
    if (!ops->n_devices && number == 0)
        return mill_fail(list->err, MILL_E_INPUT, "device '%s:0': at least one thread is wanted",
                         name);
    snprintf(device.name, sizeof device.name, "%s", name);
    device.is_gpu = ops->n_devices != NULL;
    if (number > 0)
        *(device.is_gpu ? &device.number : &device.n_threads) = number;
    return add(list, &device);
}

/* One item of the list. */
static mill_status add_item(struct list *list, const char *text, size_t size) {
    const char *colon = memchr(text, ':', size);
    size_t name_size = colon ? (size_t)(colon - text) : size;
    int32_t number = number_of(text, size);
    char name[32] = "";
    if (number >= 0)
        return add_named(list, "cuda", number);
    if (colon)
        number = number_of(colon + 1, size - name_size - 1);
    if (name_size == 0 || name_size >= sizeof name || (colon && number < 0))
        return mill_fail(list->err, MILL_E_INPUT,
                         "device '%.*s': auto, cuda, a GPU's number, or cpu:THREADS is wanted",
                         (int)(size < 40 ? size : 40), text);
    memcpy(name, text, name_size);
    return strcmp(name, "auto") == 0 && !colon ? add_auto(list) : add_named(list, name, number);
}

mill_status mill_devices_parse(struct mill_engine_device *devices, int32_t capacity, int32_t *n,
                               const char *text, struct mill_error *note, struct mill_error *err) {
    struct list list = {.devices = devices, .capacity = capacity, .note = note, .err = err};
    note->text[0] = '\0';
    for (;; text++) {
        size_t size = strcspn(text, ",");
        MILL_TRY(add_item(&list, text, size));
        *n = list.n;
        text += size;
        if (*text == '\0')
            return MILL_OK;
    }
}
