/* What is written for HdrHistogram's tools, read by HdrHistogram itself. */
#include "client/bench/hdr.h"
#include "client/bench/strip.h"

#include "tests/support/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JAR "/usr/share/java/hdrhistogram.jar"

static struct fh_hist hist;

static void setup(void)
{
    cr_assert_eq(fh_hist_init(&hist), 0);
}

static void teardown(void)
{
    fh_hist_fini(&hist);
}

TestSuite(hdr, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(strip, .timeout = 60);

/* Latencies as they are: most near one value, some far above, a few of any size. */
static void hist_fill(size_t count)
{
    struct rng rng = rng_from_env("hdr");

    for (size_t i = 0; i < count; i++) {
        uint64_t ns = 20000 + rng_below(&rng, 50000);

        if (rng_below(&rng, 20) == 0)
            ns *= 1 + rng_below(&rng, 200);
        if (rng_below(&rng, 500) == 0)
            ns = rng_below(&rng, FH_HIST_MAX_NS);
        fh_hist_record(&hist, ns);
    }
}

/* Both begin a line of a row with three numbers; a last digit may be rounded another way. */
static bool lines_agree(const char *a, const char *b)
{
    double x[4] = {0};
    double y[4] = {0};
    int n = sscanf(a, "%lf %lf %lf %lf", &x[0], &x[1], &x[2], &x[3]);

    if (sscanf(b, "%lf %lf %lf %lf", &y[0], &y[1], &y[2], &y[3]) != n)
        return false;
    if (n <= 0)
        return strcmp(a, b) == 0;
    return fabs(x[0] - y[0]) < 0.0011 && fabs(x[1] - y[1]) < 1.1e-12 &&
           !(x[2] < y[2] || x[2] > y[2]) && fabs(x[3] - y[3]) <= 0.011 + x[3] * 1e-9;
}

/* The next row or line of the foot, not what a virtual machine has to say; NULL at the end. */
static char *line_next(FILE *f, char *line, size_t room)
{
    while (fgets(line, (int)room, f) != NULL)
        if (strchr(" 0123456789#", line[0]) != NULL && strncmp(line, "#[StartTime", 11) != 0)
            return line;
    return NULL;
}

/* Its reader sums up the log's lines and writes the text that we write ourselves. */
static void compare_with_java(void)
{
    char log_path[] = "/tmp/farheap-hdr-XXXXXX";
    char command[512];
    char line[256];
    char other[256];
    FILE *text = tmpfile();
    FILE *log = fdopen(mkstemp(log_path), "w");
    FILE *java;
    int rows = 0;

    fh_hdr_write_text(&hist, text);
    rewind(text);
    fh_hdr_write_log_head(log, 1700000000);
    cr_assert_eq(fh_hdr_write_log_line(&hist, "get", 1.5, log), 0);
    cr_assert_eq(fclose(log), 0);
    snprintf(command, sizeof(command),
             "java -Xmx64m -XX:+UseSerialGC -cp " JAR
             " org.HdrHistogram.HistogramLogProcessor -i %s -tag get 2>/dev/null",
             log_path);
    java = popen(command, "r");
    cr_assert_not_null(java);
    while (line_next(java, line, sizeof(line)) != NULL) {
        char *ours = line_next(text, other, sizeof(other));

        cr_assert(ours != NULL && lines_agree(line, ours), "row %d: theirs %sours %s", rows, line,
                  ours != NULL ? ours : "none\n");
        rows++;
    }
    unlink(log_path);
    cr_assert_null(line_next(text, other, sizeof(other)));
    cr_assert_eq(pclose(java), 0);
    cr_assert_gt(rows, 4);
    fclose(text);
}

Test(hdr, an_independent_reader_finds_the_same_percentiles)
{
    if (access(JAR, R_OK) != 0 || system("command -v java >/dev/null 2>&1") != 0)
        cr_skip_test("needs java and libhdrhistogram-java");
    hist_fill(1);
    compare_with_java();
    hist_fill(50000);
    compare_with_java();
}

Test(hdr, the_text_of_nothing_has_no_rows)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    fh_hdr_write_text(&hist, f);
    fclose(f);
    cr_assert_not_null(strstr(text, "Total count    =            0]"));
    cr_assert_null(strstr(text, "1.000000000000"));
    free(text);
}

/* Percentiles of the text are those of the report. */
Test(hdr, the_text_says_what_the_histogram_says)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    char *half;

    for (uint64_t us = 1; us <= 1000; us++)
        fh_hist_record(&hist, us * 1000);
    fh_hdr_write_text(&hist, f);
    fclose(f);
    half = strstr(text, " 0.500000000000");
    cr_assert_not_null(half);
    while (half > text && half[-1] != '\n')
        half--;
    cr_assert_float_eq(strtod(half, NULL), (double)fh_hist_percentile(&hist, 50) / 1e6, 0.002);
    free(text);
}

Test(strip, percentiles_are_right_to_a_32nd)
{
    static struct fh_strip whole, part;
    static const double percents[] = {1, 50, 90, 99, 99.9, 100};
    struct rng rng = rng_from_env("strip");

    for (uint64_t i = 1; i <= 100000; i++)
        fh_strip_record(rng_below(&rng, 2) == 0 ? &whole : &part, i * 777);
    fh_strip_merge(&whole, &part);
    cr_assert_eq(whole.count, 100000);
    cr_assert_eq(whole.max_ns, 100000 * 777);
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        double exact = percents[i] * 1000 * 777;
        double found = (double)fh_strip_percentile(&whole, percents[i]);

        cr_expect(found >= exact - 1 && found <= exact * (1 + 1.0 / 32) + 1, "p%g: %g of %g",
                  percents[i], found, exact);
    }
}

Test(strip, the_ends_have_their_buckets)
{
    static struct fh_strip strip;

    cr_assert_eq(fh_strip_percentile(&strip, 99), 0);
    fh_strip_record(&strip, 0);
    cr_assert_eq(fh_strip_percentile(&strip, 99), 0);
    fh_strip_record(&strip, UINT64_MAX);
    cr_assert_eq(fh_strip_percentile(&strip, 100), FH_HIST_MAX_NS);
}
