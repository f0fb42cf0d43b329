/* script_parts.h - what script.c and speech_markup.c share. Private to runtime/text. */
#ifndef MILL_TEXT_SCRIPT_PARTS_H
#define MILL_TEXT_SCRIPT_PARTS_H

#include "runtime/text/script.h"

/* Empty, with its bounds. */
void mill_script_init(struct mill_script *script);

#endif
