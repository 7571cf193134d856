/*
 * console_files: the files of the web console, made part of the program when it is built.
 */
#ifndef FH_SERVER_CONSOLE_FILES_H
#define FH_SERVER_CONSOLE_FILES_H

#include <stddef.h>

struct fh_console_file {
    const char *path; /* as a browser asks for it */
    const char *type;
    const unsigned char *bytes;
    size_t size;
};

extern const struct fh_console_file fh_console_files[];
extern const size_t fh_console_file_count;

#endif
