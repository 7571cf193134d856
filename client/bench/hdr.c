/*
 * Theory.  Buckets are those of an HdrHistogram of three digits from 1 ns to 1 h, index for index,
 * so both formats can be written from the counters as they are. Text: percentiles in steps that get
 * finer towards 100, five to each halving of what is left, as HdrHistogram's own iterator takes
 * them; mean and deviation are those of the buckets' middles. Log: the second version of its
 * encoding, counters as zigzag LEB128 and a run of n zeros as -n, deflated, in base 64.
 *
 *   0        4              8       12       16       24        32      40
 *   cookie | payload size | shift | digits | lowest | highest | ratio | counters     big endian
 *
 *   0        4                 8
 *   cookie | compressed size | zlib of all of that
 */
#include "client/bench/hdr.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICKS_PER_HALF = 5,
    SUB_BUCKETS = 2048,
    BUCKETS = 32, /* powers of two until an hour is reached */
    HEAD = 40,
    COUNTER_MAX = 9, /* bytes of the longest counter */
    COOKIE = 0x1c849313,
    COOKIE_COMPRESSED = 0x1c849314,
};

static const double MS = 1e6;

/* --- text */

static double hist_middle(uint32_t bucket)
{
    uint64_t low = bucket == 0 ? 0 : fh_hist_highest(bucket - 1) + 1;

    return (double)(low + (fh_hist_highest(bucket) - low + 1) / 2);
}

static void hist_moments(const struct fh_hist *h, double *mean, double *deviation)
{
    double sum = 0;
    double squares = 0;

    for (uint32_t i = 0; i < FH_HIST_BUCKETS; i++)
        sum += hist_middle(i) * (double)h->counts[i];
    *mean = h->count > 0 ? sum / (double)h->count : 0;
    for (uint32_t i = 0; i < FH_HIST_BUCKETS; i++)
        squares += pow(hist_middle(i) - *mean, 2) * (double)h->counts[i];
    *deviation = h->count > 0 ? sqrt(squares / (double)h->count) : 0;
}

static double next_level(double level)
{
    double halvings = floor(log(100.0 / (100.0 - level)) / log(2)) + 1;

    return level + 100.0 / (TICKS_PER_HALF * pow(2, halvings));
}

static void write_row(FILE *out, double value, double level, uint64_t seen)
{
    fprintf(out, "%12.3f %2.12f %10llu", value / MS, level / 100, (unsigned long long)seen);
    if (level < 100.0)
        fprintf(out, " %14.2f", 1 / (1 - level / 100));
    fputc('\n', out);
}

static void write_rows(const struct fh_hist *h, FILE *out)
{
    double level = 0;
    double value = 0;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < FH_HIST_BUCKETS && seen < h->count; i++) {
        if (h->counts[i] == 0)
            continue;
        seen += h->counts[i];
        value = (double)fh_hist_highest(i);
        /* The last bucket ends every level; one row of it is enough, and one for 100 %. */
        while (100.0 * (double)seen / (double)h->count >= level) {
            write_row(out, value, level, seen);
            level = next_level(level);
            if (seen == h->count)
                break;
        }
    }
    if (h->count > 0)
        write_row(out, value, 100.0, seen);
}

void fh_hdr_write_text(const struct fh_hist *h, FILE *out)
{
    double mean;
    double deviation;
    uint64_t max = h->count > 0 ? fh_hist_highest(fh_hist_index(h->max_ns)) : 0;

    hist_moments(h, &mean, &deviation);
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_rows(h, out);
    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / MS, deviation / MS);
    fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", (double)max / MS,
            (unsigned long long)h->count);
    fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", BUCKETS, SUB_BUCKETS);
}

/* --- log */

static uint8_t *put_number(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

/* Seven bits a byte, the lowest first; the ninth byte takes all that is left. */
static uint8_t *put_counter(uint8_t *at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    int bytes = 1;

    for (; zigzag >= 128 && bytes < COUNTER_MAX; bytes++, zigzag >>= 7)
        *at++ = (uint8_t)(zigzag | 128);
    *at++ = (uint8_t)zigzag;
    return at;
}

static uint8_t *put_counters(uint8_t *at, const struct fh_hist *h)
{
    uint32_t end = h->count > 0 ? fh_hist_index(h->max_ns) + 1 : 1;

    for (uint32_t i = 0; i < end;) {
        int64_t zeros = 0;

        while (i < end && h->counts[i] == 0) {
            zeros++;
            i++;
        }
        if (zeros > 0)
            at = put_counter(at, zeros > 1 ? -zeros : 0);
        else
            at = put_counter(at, (int64_t)h->counts[i++]);
    }
    return at;
}

static size_t hist_encode(const struct fh_hist *h, uint8_t *out)
{
    double ratio = 1.0;
    uint64_t bits;
    uint8_t *end = put_counters(out + HEAD, h);
    uint8_t *at = put_number(out, COOKIE, 4);

    memcpy(&bits, &ratio, sizeof(bits));
    at = put_number(at, (uint64_t)(end - out) - HEAD, 4);
    at = put_number(at, 0, 4);
    at = put_number(at, 3, 4);
    at = put_number(at, 1, 8);
    at = put_number(at, FH_HIST_MAX_NS, 8);
    (void)put_number(at, bits, 8);
    return (size_t)(end - out);
}

/* Deflates in[0 .. size) behind a head of its own; 0 when there is no room. */
static size_t bytes_compress(uint8_t *in, size_t size, uint8_t *out, size_t room)
{
    struct isal_zstream stream;

    isal_deflate_stateless_init(&stream);
    stream.gzip_flag = IGZIP_ZLIB;
    stream.end_of_stream = 1;
    stream.next_in = in;
    stream.avail_in = (uint32_t)size;
    stream.next_out = out + 8;
    stream.avail_out = (uint32_t)room - 8;
    if (isal_deflate_stateless(&stream) != COMP_OK)
        return 0;
    (void)put_number(put_number(out, COOKIE_COMPRESSED, 4), stream.total_out, 4);
    return stream.total_out + 8;
}

static void write_base64(const uint8_t *in, size_t size, FILE *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)in[i] << 16;

        three |= i + 1 < size ? (uint32_t)in[i + 1] << 8 : 0;
        three |= i + 2 < size ? in[i + 2] : 0;
        fputc(digits[three >> 18], out);
        fputc(digits[three >> 12 & 63], out);
        fputc(i + 1 < size ? digits[three >> 6 & 63] : '=', out);
        fputc(i + 2 < size ? digits[three & 63] : '=', out);
    }
}

void fh_hdr_write_log_head(FILE *out, double started)
{
    fputs("#[Histogram log format version 1.3]\n", out);
    fprintf(out, "#[StartTime: %.3f (seconds since epoch)]\n", started);
    fputs("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
          "\"Interval_Compressed_Histogram\"\n",
          out);
}

int fh_hdr_write_log_line(const struct fh_hist *h, const char *tag, double seconds, FILE *out)
{
    size_t most = HEAD + (size_t)FH_HIST_BUCKETS * COUNTER_MAX;
    uint8_t *plain = malloc(2 * most + 1024);
    size_t size;

    if (plain == NULL)
        return -ENOMEM;
    size = hist_encode(h, plain);
    size = bytes_compress(plain, size, plain + most, most + 1024);
    if (size == 0) {
        free(plain);
        return -ENOMEM;
    }
    fprintf(out, "Tag=%s,0.000,%.3f,%.3f,", tag, seconds, (double)h->max_ns / MS);
    write_base64(plain + most, size, out);
    fputc('\n', out);
    free(plain);
    return 0;
}
