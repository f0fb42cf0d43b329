/* voice_labels.c - see voice_labels.h. */
#include "runtime/voice/voice_labels.h"

#include <string.h>

const char *const mill_gender_names[MILL_GENDERS] = {"female", "male"};
const char *const mill_level_names[MILL_LEVELS] = {"very_low", "low", "moderate", "high",
                                                   "very_high"};

static int find(const char *name, const char *const *names, int n, int usual) {
    if (!name)
        return usual;
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

int mill_gender_find(const char *name) {
    return find(name, mill_gender_names, MILL_GENDERS, 0);
}

int mill_level_find(const char *name) {
    return find(name, mill_level_names, MILL_LEVELS, 2);
}
