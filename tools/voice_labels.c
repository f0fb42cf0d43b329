/* voice_labels.c - see voice_labels.h. */
#include "tools/voice_labels.h"

#include <string.h>

static int find(const char *name, const char *const *labels, int n_labels, int otherwise) {
    if (!name)
        return otherwise;
    for (int i = 0; i < n_labels; i++)
        if (strcmp(name, labels[i]) == 0)
            return i;
    return -1;
}

int mill_gender_find(const char *name) {
    static const char *const labels[] = {"female", "male"};
    return find(name, labels, 2, 0);
}

int mill_level_find(const char *name) {
    static const char *const labels[] = {"very_low", "low", "moderate", "high", "very_high"};
    return find(name, labels, 5, 2);
}
