/*
 * wire_fixture: a real server and a well-behaved connection to it, which has to stay unharmed
 * whatever other connections do.
 *
 * Ownership  the caller owns the struct; fini from the suite's .fini ends server and connection.
 * Threads    one owner.
 */
#ifndef FH_TESTS_WIRE_FIXTURE_H
#define FH_TESTS_WIRE_FIXTURE_H

#include "server_process.h"
#include "wire_client.h"

struct wire_fixture {
    struct server_process server;
    struct wire_client good; /* said Hello at the start, stored an object */
};

/* 0 or a negative errno; flags as in server_process_start. */
int wire_fixture_start(struct wire_fixture *, const char *program, const char *const *flags);
void wire_fixture_fini(struct wire_fixture *);

/* Connects `c` to the server and says Hello: the status or a negative errno. */
int wire_fixture_join(struct wire_fixture *, struct wire_client *c);

/*
 * NULL when the server still serves the good connection and a new one, and, asked to end, ends
 * with exit code 0. Otherwise a sentence that says what does not work. The server is gone after it.
 */
const char *wire_fixture_harm(struct wire_fixture *);

#endif
