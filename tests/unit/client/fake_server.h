/*
 * fake_server: a server of one thread that does what a script says, for the client's tests.
 *
 * Ownership  the test owns the struct; fake_end joins the thread, so the script must come to an
 * end. Threads    `requests` belongs to the script until fake_end. Errors     a script that does
 * not get what it expects aborts.
 */
#ifndef FH_TESTS_FAKE_SERVER_H
#define FH_TESTS_FAKE_SERVER_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/head.h"

struct fake {
    int listener;
    uint16_t port;
    pthread_t thread;
    void (*script)(struct fake *);
    int requests; /* seen by the script, for the test to look at after fake_end */
};

struct asked {
    uint64_t id;
    unsigned op;
    uint32_t body_size;
    uint8_t body[1 << 20];
};

static inline void *fake_run(void *context)
{
    struct fake *f = context;

    f->script(f);
    return NULL;
}

static inline void fake_begin(struct fake *f, void (*script)(struct fake *))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);

    *f = (struct fake){.listener = socket(AF_INET, SOCK_STREAM, 0), .script = script};
    cr_assert_eq(bind(f->listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(f->listener, 8), 0);
    cr_assert_eq(getsockname(f->listener, (struct sockaddr *)&address, &size), 0);
    f->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static inline void fake_end(struct fake *f)
{
    pthread_join(f->thread, NULL);
    close(f->listener);
}

static inline bool read_all(int fd, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)to + done, size - done);

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* The next request of a connection; false when the client hung up. */
static inline bool fake_ask(int fd, struct asked *out)
{
    static struct fh_head_arena arena;
    struct fh_frame_prefix prefix;
    fh_request_head *request;
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];

    if (!read_all(fd, bytes, FH_FRAME_PREFIX_SIZE) ||
        fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix) != 0 ||
        !read_all(fd, bytes, prefix.head_size) ||
        fh_head_unpack_request(&arena, bytes, prefix.head_size, &request) != 0)
        return false;
    out->id = request->id;
    out->op = request->op_case;
    out->body_size = prefix.body_size;
    return prefix.body_size <= sizeof(out->body) && read_all(fd, out->body, prefix.body_size);
}

static inline void fake_send(int fd, const fh_response_head *head, const void *body,
                             uint32_t body_size)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];
    size_t size = fh_head_pack_response(head, body_size, bytes, sizeof(bytes));

    (void)send(fd, bytes, size, MSG_NOSIGNAL);
    for (uint32_t done = 0; done < body_size;) {
        ssize_t n = send(fd, (const char *)body + done, body_size - done, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        done += (uint32_t)n;
    }
}

static inline void fake_answer(int fd, uint64_t id, unsigned status, const char *detail,
                               const void *body, uint32_t body_size)
{
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;

    head.id = id;
    head.status = status;
    if (detail != NULL)
        head.detail = (ProtobufCBinaryData){strlen(detail), (uint8_t *)(uintptr_t)detail};
    fake_send(fd, &head, body, body_size);
}

static inline void fake_answer_object(int fd, uint64_t id, uint64_t bytes, uint64_t version,
                                      const void *body, uint32_t body_size)
{
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ObjectResult object = FARHEAP__V1__OBJECT_RESULT__INIT;
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;

    handle.address = 0x1000;
    handle.key = 7;
    object.handle = &handle;
    object.size = bytes;
    object.version = version;
    head.id = id;
    head.result_case = FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    head.object = &object;
    fake_send(fd, &head, body, body_size);
}

/* Takes a connection and answers its Hello. */
static inline int fake_accept(struct fake *f, uint32_t zones, uint32_t body_max)
{
    static struct asked hello;
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__HelloResult result = FARHEAP__V1__HELLO_RESULT__INIT;
    int fd = accept(f->listener, NULL, NULL);

    if (!fake_ask(fd, &hello) || hello.op != FARHEAP__V1__REQUEST__OP_HELLO)
        abort();
    result.version = 1;
    result.zones = zones;
    result.body_max = body_max;
    result.server = (ProtobufCBinaryData){8, (uint8_t *)(uintptr_t) "fake 1.0"};
    head.id = hello.id;
    head.result_case = FARHEAP__V1__RESPONSE__RESULT_HELLO;
    head.hello = &result;
    fake_send(fd, &head, NULL, 0);
    return fd;
}

#endif
