/*
 * Theory.  A process may use what each of its control groups allows, and each group above those. Both versions name
 * the group in /proc/self/cgroup: version 2 in the line "0::PATH", version 1 in the line whose list of controllers has
 * "memory". Inside a container the path may be that of the host and lead nowhere here; then the group's own files
 * lie at the top of the mount, which is where the walk upwards ends. Version 1 writes "no limit" as a number near 2^63.
 *
 * PSI (Documentation/accounting/psi.rst) tells in memory.pressure which share of the time processes waited for memory.
 * The machine's file is asked first: what presses from outside shows there.
 */
#include "cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NO_LIMIT_V1 (UINT64_C(1) << 62)

enum { PATH_SIZE = 512, NAME_SIZE = PATH_SIZE + 256 };

/* A number in a file; UINT64_MAX for "max", or when there is none. */
static uint64_t file_number(const char *path)
{
    uint64_t value = UINT64_MAX;
    FILE *file = fopen(path, "re");

    if (!file)
        return value;
    if (fscanf(file, "%" SCNu64, &value) != 1 || value >= NO_LIMIT_V1)
        value = UINT64_MAX;
    fclose(file);
    return value;
}

/* The least number in the files `leaf` of the group at `path` and of those above it. */
static uint64_t group_least(const char *root, const char *mount, const char *path, const char *leaf)
{
    uint64_t least = UINT64_MAX;
    char group[PATH_SIZE], name[NAME_SIZE];

    snprintf(group, sizeof group, "%s", strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        snprintf(name, sizeof name, "%.100s%s%s/%s", root, mount, group, leaf);
        uint64_t here = file_number(name);
        least = here < least ? here : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Whether the comma separated list, which ends at a ':', names the controller. */
static bool list_has(const char *list, const char *controller)
{
    size_t size = strlen(controller);

    for (;;) {
        size_t part = strcspn(list, ",:");
        if (part == size && memcmp(list, controller, size) == 0)
            return true;
        if (list[part] != ',')
            return false;
        list += part + 1;
    }
}

/* "ID:CONTROLLERS:PATH"; version 2 has no controllers. False: it says nothing about memory. */
static bool line_path(char *line, const char **path, bool *is_v2)
{
    char *list = strchr(line, ':');
    char *end = list ? strchr(list + 1, ':') : NULL;

    if (!end)
        return false;
    line[strcspn(line, "\n")] = 0;
    *path = end + 1;
    *is_v2 = end == list + 1;
    return *is_v2 || list_has(list + 1, "memory");
}

static uint64_t line_limit(const char *root, char *line)
{
    const char *path;
    bool is_v2;

    if (!line_path(line, &path, &is_v2))
        return UINT64_MAX;
    if (!is_v2)
        return group_least(root, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
    uint64_t most = group_least(root, "/sys/fs/cgroup", path, "memory.max");
    uint64_t high = group_least(root, "/sys/fs/cgroup", path, "memory.high");
    return most < high ? most : high;
}

uint64_t fh_cgroup_limit_bytes(const char *root)
{
    uint64_t limit = UINT64_MAX;
    char line[PATH_SIZE];

    snprintf(line, sizeof line, "%.100s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t here = line_limit(root, line);
        limit = here < limit ? here : limit;
    }
    if (file)
        fclose(file);
    return limit;
}

/* The line "some avg10=1.25 ..." of a file, as permille. */
static bool file_pressure(const char *path, uint32_t *permille)
{
    FILE *file = fopen(path, "re");
    double percent = 0;
    bool good = file && fscanf(file, "some avg10=%lf", &percent) == 1;

    if (file)
        fclose(file);
    if (!good || !(percent >= 0 && percent <= 100))
        return false;
    *permille = (uint32_t)(percent * 10 + 0.5);
    return true;
}

bool fh_cgroup_pressure(const char *root, uint32_t *permille)
{
    char line[PATH_SIZE], name[NAME_SIZE];
    bool found = false;
    const char *path;
    bool is_v2;

    snprintf(name, sizeof name, "%.100s/proc/pressure/memory", root);
    if (file_pressure(name, permille))
        return true;
    snprintf(line, sizeof line, "%.100s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        if (!line_path(line, &path, &is_v2) || !is_v2)
            continue;
        snprintf(name, sizeof name, "%.100s/sys/fs/cgroup%s/memory.pressure", root,
                 strcmp(path, "/") == 0 ? "" : path);
        found = file_pressure(name, permille);
    }
    if (file)
        fclose(file);
    return found;
}
