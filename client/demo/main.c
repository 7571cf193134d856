/*
 * farheap-demo: stores files of this machine in a server whose memory is far too small for them,
 * reads them all back, and says what that proves.
 *
 * Theory.  Four claims, each measured from outside the server: every byte comes back (SHA-256 of
 * what was stored against SHA-256 of what came back, in random order); the server's resident memory
 * stays below region + slack all the while; a few bytes of a cold object cost the pages they lie in
 * and no more (the server's count of pages read from swap, before and after); and the bytes are
 * right there too. The last line names all of them, or one line says which failed and the exit code
 * is 1.
 */
#include "client/bench/info.h"
#include "client/bench/keys.h"
#include "client/bench/proc.h"
#include "client/bench/units.h"
#include "client/demo/crew.h"
#include "client/demo/watch.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A read within one page may cost that page and, now and then, one read ahead; never more. */
static const double COLD_PAGES_MAX = 1.5;
enum { COLD_READS_MAX = 512 };

struct demo {
    const char *url;
    uint64_t bytes, region_bytes, slack_bytes, seed;
    pid_t server_pid;
    char *const *folders;
    struct fh_files files;
    struct fh_crew crew;
    struct fh_watch watch;
    size_t stored_files;
    uint64_t stored_bytes;
    uint64_t cold_reads, cold_pages; /* reads of FH_SAMPLE_BYTES, pages they brought in */
};

static const char usage_text[] =
    "usage: farheap-demo --server-pid PID --region-bytes SIZE [-u URL] [--bytes SIZE]\n"
    "                    [--slack-bytes SIZE] [--seed N] DIR...\n"
    "Stores files below the folders until there are SIZE bytes (512MiB) of them, reads them back,\n"
    "and checks every byte, the server's resident memory (at most region + slack, 64MiB), and "
    "what\n"
    "64-byte reads of cold objects cost.\n";

static bool fail(const char *text)
{
    fprintf(stderr, "farheap-demo: FAILED: %s\n", text);
    return false;
}

static int parse_pid(const char *text, pid_t *pid)
{
    uint64_t number;

    if (fh_units_count(text, &number) != 0 || number == 0 || number > 1u << 30)
        return -1;
    *pid = (pid_t)number;
    return 0;
}

static int parse_option(struct demo *d, int option, const char *text)
{
    switch (option) {
    case 'u':
        d->url = text;
        return 0;
    case 'b':
        return fh_units_size(text, &d->bytes);
    case 'p':
        return parse_pid(text, &d->server_pid);
    case 'r':
        return fh_units_size(text, &d->region_bytes);
    case 's':
        return fh_units_size(text, &d->slack_bytes);
    case 'S':
        return fh_units_count(text, &d->seed);
    default:
        return -1;
    }
}

static bool parse(struct demo *d, int argc, char **argv)
{
    static const struct option options[] = {{"bytes", required_argument, NULL, 'b'},
                                            {"server-pid", required_argument, NULL, 'p'},
                                            {"region-bytes", required_argument, NULL, 'r'},
                                            {"slack-bytes", required_argument, NULL, 's'},
                                            {"seed", required_argument, NULL, 'S'},
                                            {NULL, 0, NULL, 0}};
    const char *url = getenv("FARHEAP_URL");
    int option;

    d->url = url != NULL ? url : "farheap://127.0.0.1:7420";
    d->bytes = UINT64_C(512) << 20;
    d->slack_bytes = UINT64_C(64) << 20;
    d->seed = fh_proc_now() % 1000000;
    while ((option = getopt_long(argc, argv, "u:", options, NULL)) != -1)
        if (parse_option(d, option, optarg) != 0)
            return false;
    d->folders = argv + optind;
    return optind < argc && d->server_pid != 0 && d->region_bytes > 0;
}

static bool step_walk(struct demo *d)
{
    char size[FH_UNITS_TEXT];
    char seen[FH_UNITS_TEXT];
    char chosen[FH_UNITS_TEXT];

    if (fh_files_walk(&d->files, d->folders) != 0)
        return fail("a folder cannot be read");
    if (fh_files_choose(&d->files, d->bytes, d->seed) != 0)
        return fail("no memory for the list of files");
    if (d->files.count == 0)
        return fail("no file to store");
    printf("1  choose   %s of %s files, %s",
           fh_units_show_count(chosen, d->files.count - d->files.again),
           fh_units_show_count(seen, d->files.seen), fh_units_show_size(size, d->files.bytes));
    if (d->files.again > 0)
        printf(" with %s of them stored again under other names",
               fh_units_show_count(chosen, d->files.again));
    printf(", the largest %s   seed %" PRIu64 "\n", fh_units_show_size(size, d->files.bytes_max),
           d->seed);
    return true;
}

static void print_speed(uint64_t bytes, uint64_t ns)
{
    printf("%.1f s, %.0f MiB/s", (double)ns / 1e9,
           ns == 0 ? 0.0 : (double)bytes / 1048576.0 * 1e9 / (double)ns);
}

static bool step_store(struct demo *d)
{
    uint64_t began = fh_proc_now();
    char count[FH_UNITS_TEXT];
    char size[FH_UNITS_TEXT];

    if (!fh_crew_store(&d->crew))
        return fail(d->crew.why);
    for (size_t i = 0; i < d->files.count; i++) {
        d->stored_files += d->files.files[i].stored;
        d->stored_bytes += d->files.files[i].stored ? d->files.files[i].bytes : 0;
    }
    if (d->stored_files == 0)
        return fail("every chosen file vanished before it could be stored");
    printf("2  store    %s objects, %s over %d connections (",
           fh_units_show_count(count, d->stored_files), fh_units_show_size(size, d->stored_bytes),
           FH_CREW_THREADS);
    print_speed(d->stored_bytes, fh_proc_now() - began);
    puts(")");
    return true;
}

static bool step_verify(struct demo *d)
{
    uint64_t seed = d->seed + 1;
    uint64_t wrong;
    uint64_t began;
    char count[FH_UNITS_TEXT];

    fh_files_shuffle(&d->files, seed);
    began = fh_proc_now();
    if (!fh_crew_verify(&d->crew))
        return fail(d->crew.why);
    printf("3  verify   %s objects read back in random order (seed %" PRIu64 "; ",
           fh_units_show_count(count, d->stored_files), seed);
    print_speed(d->stored_bytes, fh_proc_now() - began);
    if ((wrong = atomic_load(&d->crew.wrong)) == 0) {
        puts("): every SHA-256 right");
        return true;
    }
    printf("): %" PRIu64 " WRONG\n", wrong);
    return fail("what came back is not what was stored");
}

/* Reads the samples of one object; false when they are not what was stored. */
static bool cold_read(struct demo *d, fh_client *client, const struct fh_file *file)
{
    uint8_t bytes[FH_SAMPLE_BYTES];

    for (uint32_t i = 0; i < file->sample_count && d->cold_reads < COLD_READS_MAX; i++) {
        const struct fh_sample *s = &file->samples[i];
        size_t got = 0;
        fh_status status = fh_get(client, file->name, strlen(file->name), s->offset, bytes,
                                  sizeof(bytes), &got, NULL);

        if (status != FH_OK)
            return fail(fh_errmsg(client));
        if (got != sizeof(bytes) || memcmp(bytes, s->bytes, sizeof(bytes)) != 0)
            return fail("64 bytes of a cold object are not those that were stored");
        d->cold_reads++;
    }
    return true;
}

/* Is nothing of it in memory? */
static bool file_is_cold(fh_client *client, const struct fh_file *file)
{
    fh_info info;

    return file->stored && file->sample_count > 0 &&
           fh_stat_name(client, file->name, strlen(file->name), &info) == FH_OK &&
           info.pages_frame == 0;
}

static bool step_cold_reads(struct demo *d, fh_client *client)
{
    struct fh_server_info before;
    struct fh_server_info after;
    uint64_t objects = 0;
    uint64_t began;

    if (!fh_server_info_read(d->url, NULL, &before))
        return fail("the server does not answer `info`");
    began = fh_proc_now();
    for (size_t i = 0; i < d->files.count && d->cold_reads < COLD_READS_MAX; i++) {
        if (!file_is_cold(client, &d->files.files[i]))
            continue;
        objects++;
        if (!cold_read(d, client, &d->files.files[i]))
            return false;
    }
    began = fh_proc_now() - began;
    if (!fh_server_info_read(d->url, NULL, &after))
        return fail("the server does not answer `info`");
    d->cold_pages = after.faults_swap - before.faults_swap;
    if (d->cold_reads == 0)
        return fail("no large object was wholly out of memory, so nothing cold could be read");
    printf("4  cold     %" PRIu64 " reads of %d bytes in %" PRIu64
           " objects of 1 MiB and more, none in memory: %" PRIu64
           " pages from swap, %.2f a read, %.2f ms each\n",
           d->cold_reads, FH_SAMPLE_BYTES, objects, d->cold_pages,
           (double)d->cold_pages / (double)d->cold_reads,
           (double)began / 1e6 / (double)d->cold_reads);
    if (d->cold_pages == 0)
        return fail("cold reads cost no page: the server's count of faults cannot be right");
    if ((double)d->cold_pages > COLD_PAGES_MAX * (double)d->cold_reads)
        return fail("cold reads of 64 bytes cost more than the page they lie in");
    return true;
}

static bool step_cold(struct demo *d)
{
    fh_client *client;
    bool right = false;

    if (fh_open(d->url, NULL, &client) == FH_OK)
        right = step_cold_reads(d, client);
    else
        fail(client != NULL ? fh_errmsg(client) : "out of memory");
    fh_close(client);
    return right;
}

static bool step_memory(struct demo *d)
{
    uint64_t bound = d->region_bytes + d->slack_bytes;
    char peak[FH_UNITS_TEXT];
    char most[FH_UNITS_TEXT];
    char region[FH_UNITS_TEXT];

    printf("5  memory   VmRSS of the server at most %s in %" PRIu64
           " looks; bound %s (region %s)\n",
           fh_units_show_size(peak, d->watch.peak_bytes), d->watch.looks,
           fh_units_show_size(most, bound), fh_units_show_size(region, d->region_bytes));
    if (d->watch.gone)
        return fail("the server's process ended");
    if (d->watch.peak_bytes > bound)
        return fail("the server's resident memory went above region + slack");
    return true;
}

static void print_proof(const struct demo *d)
{
    char files[FH_UNITS_TEXT];
    char size[FH_UNITS_TEXT];
    char region[FH_UNITS_TEXT];
    char peak[FH_UNITS_TEXT];
    char most[FH_UNITS_TEXT];

    printf("proven: %s files, %s in %s of memory, every byte right; 64-byte cold reads cost %.1f "
           "pages each; RSS peak %s <= %s\n",
           fh_units_show_count(files, d->stored_files), fh_units_show_size(size, d->stored_bytes),
           fh_units_show_size(region, d->region_bytes),
           (double)d->cold_pages / (double)d->cold_reads,
           fh_units_show_size(peak, d->watch.peak_bytes),
           fh_units_show_size(most, d->region_bytes + d->slack_bytes));
}

static bool demo_run(struct demo *d)
{
    bool right;

    if (!step_walk(d))
        return false;
    d->crew = (struct fh_crew){.url = d->url, .files = &d->files, .seed = d->seed};
    if (fh_watch_start(&d->watch, d->server_pid) != 0)
        return fail("--server-pid is no process that can be watched");
    right = step_store(d) && step_verify(d) && step_cold(d);
    fh_watch_stop(&d->watch);
    right = step_memory(d) && right;
    if (right)
        print_proof(d);
    return right;
}

int main(int argc, char **argv)
{
    struct demo *d = calloc(1, sizeof(*d));
    bool right;

    if (d == NULL)
        return 1;
    if (!parse(d, argc, argv)) {
        fputs(usage_text, stderr);
        free(d);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    right = demo_run(d);
    fh_files_fini(&d->files);
    free(d);
    return right ? 0 : 1;
}
