/* voice_labels.h - the names of what a created voice is asked for: a gender, and a level of pitch
 * and of speed. Numbers as in struct mill_engine_request. */
#ifndef MILL_VOICE_VOICE_LABELS_H
#define MILL_VOICE_VOICE_LABELS_H

enum { MILL_GENDERS = 2, MILL_LEVELS = 5 };
extern const char *const mill_gender_names[MILL_GENDERS], *const mill_level_names[MILL_LEVELS];

/* The same to be read. */
#define MILL_GENDER_LABELS "female and male"
#define MILL_LEVEL_LABELS "very_low, low, moderate, high and very_high"

/* The number of a name, that of the usual one for NULL, -1 where there is none of that name. */
int mill_gender_find(const char *name);
int mill_level_find(const char *name);

#endif
