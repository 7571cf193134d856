/*
 * units: sizes, times and shares as people write them: "64KiB", "2g", "500ms", "5m", "80%".
 *
 * Threads    pure functions; any thread.
 * Errors     false, *out untouched: not such a value, or too large for 64 bits.
 */
#ifndef FH_SERVER_UNITS_H
#define FH_SERVER_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FH_UNITS_TEXT_SIZE = 32 };

bool fh_units_scan_count(const char *text, uint64_t *out);
/* Bytes: KiB MiB GiB TiB and kb mb gb tb are powers of 1024, k M g t powers of 1000. */
bool fh_units_scan_size(const char *text, uint64_t *out);
/* Milliseconds: ms s m h d; a bare number is refused except 0. */
bool fh_units_scan_time(const char *text, uint64_t *out_ms);
/* "4%" or "0.5%": thousandths, at most 1000. */
bool fh_units_scan_share(const char *text, uint64_t *out_permille);

void fh_units_print_size(char text[FH_UNITS_TEXT_SIZE], uint64_t bytes);
void fh_units_print_time(char text[FH_UNITS_TEXT_SIZE], uint64_t ms);
void fh_units_print_share(char text[FH_UNITS_TEXT_SIZE], uint64_t permille);

#endif
