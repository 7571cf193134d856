#include "tests/support/wire/tool_shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

void tool_shell_slurp(const char *path, char *to, size_t cap)
{
    FILE *f = fopen(path, "r");
    size_t size = f != NULL ? fread(to, 1, cap - 1, f) : 0;

    to[size] = '\0';
    if (f != NULL)
        (void)fclose(f);
}

int tool_shell_run(struct tool_shell *s, const char *format, ...)
{
    const char *folder = s->folder != NULL ? s->folder : ".";
    char line[2048];
    char path[512];
    va_list arguments;
    size_t size = (size_t)snprintf(line, sizeof(line), "cd %s; exec >out 2>err; ", folder);
    int status;

    va_start(arguments, format);
    (void)vsnprintf(line + size, sizeof(line) - size, format, arguments);
    va_end(arguments);
    status = system(line);
    (void)snprintf(path, sizeof(path), "%s/out", folder);
    tool_shell_slurp(path, s->out, sizeof(s->out));
    (void)snprintf(path, sizeof(path), "%s/err", folder);
    tool_shell_slurp(path, s->err, sizeof(s->err));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
