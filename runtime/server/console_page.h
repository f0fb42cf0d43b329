/* console_page.h - the bytes of console/index.html; the build makes console_page.c of them. */
#ifndef MILL_SERVER_CONSOLE_PAGE_H
#define MILL_SERVER_CONSOLE_PAGE_H

#include <stddef.h>

extern const unsigned char mill_console_page[];
extern const size_t mill_console_page_bytes;

#endif
