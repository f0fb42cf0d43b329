/* voice_labels.h - the names by which options and files call the labels of a created voice. */
#ifndef MILL_TOOLS_VOICE_LABELS_H
#define MILL_TOOLS_VOICE_LABELS_H

#define MILL_GENDER_LABELS "female and male"
#define MILL_LEVEL_LABELS "very_low, low, moderate, high and very_high"

/* The number of a label, that of the usual one for NULL, -1 where there is none of that name:
 * genders 0 and 1, usually 0; levels of pitch and speed 0 to 4, usually 2. */
int mill_gender_find(const char *name);
int mill_level_find(const char *name);

#endif
