/* pages.h - files that the build puts into the program, as arrays: the console and the description
 * of the routes for programs. */
#ifndef MILL_SERVER_PAGES_H
#define MILL_SERVER_PAGES_H

#include <stddef.h>

extern const unsigned char mill_page_console[], mill_page_openapi[];
extern const size_t mill_page_console_bytes, mill_page_openapi_bytes;

#endif
