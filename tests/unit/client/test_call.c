/* Questions packed into heads as the protocol wants them, and answers believed only if they fit. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "proto/frame.h"
#include "proto/status.h"

TestSuite(call, .timeout = 10);

static struct fh_head_arena arena;

static const fh_request_head *packed(const struct fh_call *call)
{
    static uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];
    size_t size = fh_call_pack(call, 42, 1500, bytes, sizeof(bytes));
    struct fh_frame_prefix prefix;
    fh_request_head *head;

    cr_assert_gt(size, FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix), 0);
    cr_assert_eq(prefix.head_size, size - FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(prefix.body_size, call->body_size);
    cr_assert_eq(
        fh_head_unpack_request(&arena, bytes + FH_FRAME_PREFIX_SIZE, prefix.head_size, &head), 0);
    cr_assert_eq(head->id, 42);
    cr_assert_eq(head->deadline_ms, 1500);
    return head;
}

Test(call, every_kind_is_packed_as_its_operation)
{
    static const unsigned ops[FH_CALL_KINDS] = {
        [FH_CALL_PING] = FARHEAP__V1__REQUEST__OP_PING,
        [FH_CALL_INFO] = FARHEAP__V1__REQUEST__OP_INFO,
        [FH_CALL_ALLOC] = FARHEAP__V1__REQUEST__OP_ALLOC,
        [FH_CALL_FREE] = FARHEAP__V1__REQUEST__OP_FREE,
        [FH_CALL_RESIZE] = FARHEAP__V1__REQUEST__OP_RESIZE,
        [FH_CALL_READ] = FARHEAP__V1__REQUEST__OP_READ,
        [FH_CALL_WRITE] = FARHEAP__V1__REQUEST__OP_WRITE,
        [FH_CALL_READ_RANGES] = FARHEAP__V1__REQUEST__OP_READ_RANGES,
        [FH_CALL_WRITE_RANGES] = FARHEAP__V1__REQUEST__OP_WRITE_RANGES,
        [FH_CALL_ZERO] = FARHEAP__V1__REQUEST__OP_ZERO,
        [FH_CALL_CAS] = FARHEAP__V1__REQUEST__OP_COMPARE_SWAP,
        [FH_CALL_ADD] = FARHEAP__V1__REQUEST__OP_FETCH_ADD,
        [FH_CALL_STAT] = FARHEAP__V1__REQUEST__OP_STAT,
        [FH_CALL_PUT] = FARHEAP__V1__REQUEST__OP_PUT,
        [FH_CALL_PUBLISH] = FARHEAP__V1__REQUEST__OP_PUT,
        [FH_CALL_GET] = FARHEAP__V1__REQUEST__OP_GET,
        [FH_CALL_LOOKUP] = FARHEAP__V1__REQUEST__OP_LOOKUP,
        [FH_CALL_DELETE] = FARHEAP__V1__REQUEST__OP_DELETE,
        [FH_CALL_LIST] = FARHEAP__V1__REQUEST__OP_LIST,
        [FH_CALL_CACHE_CREATE] = FARHEAP__V1__REQUEST__OP_CACHE_CREATE,
        [FH_CALL_CACHE_DESTROY] = FARHEAP__V1__REQUEST__OP_CACHE_DESTROY,
        [FH_CALL_FILE_OPEN] = FARHEAP__V1__REQUEST__OP_OPEN_FILE,
        [FH_CALL_FILE_LIST] = FARHEAP__V1__REQUEST__OP_LIST_FILES,
        [FH_CALL_SYNC] = FARHEAP__V1__REQUEST__OP_SYNC,
        [FH_CALL_ADVISE] = FARHEAP__V1__REQUEST__OP_ADVISE,
    };

    for (int kind = 0; kind < FH_CALL_KINDS; kind++) {
        const struct fh_call call = {
            .kind = (enum fh_call_kind)kind, .handle = {0x1000, 7}, .name = "name", .name_size = 4};

        cr_assert_eq(packed(&call)->op_case, ops[kind]);
    }
}

Test(call, a_path_is_cut_at_its_first_slash)
{
    const struct fh_call open = {.kind = FH_CALL_FILE_OPEN,
                                 .name = "data/a/b",
                                 .name_size = 8,
                                 .file_write = true,
                                 .size = 77};
    const fh_request_head *head = packed(&open);

    cr_assert_eq(head->open_file->export.len, 4u);
    cr_assert_eq(memcmp(head->open_file->export.data, "data", 4), 0);
    cr_assert_eq(head->open_file->path.len, 3u);
    cr_assert_eq(memcmp(head->open_file->path.data, "a/b", 3), 0);
    cr_assert(head->open_file->write);
    cr_assert_not(head->open_file->create);
    cr_assert_eq(head->open_file->size, 77u);
}

Test(call, the_fields_about_caches_arrive)
{
    const struct fh_call create = {.kind = FH_CALL_CACHE_CREATE,
                                   .name = "c\0c",
                                   .name_size = 3,
                                   .size = 100,
                                   .value = 64,
                                   .body = "start",
                                   .body_size = 5};
    const struct fh_call alloc = {.kind = FH_CALL_ALLOC, .size = 7, .name = "c", .name_size = 1};
    const fh_request_head *head = packed(&create);

    cr_assert_eq(head->cache_create->name.len, 3u);
    cr_assert_eq(memcmp(head->cache_create->name.data, "c\0c", 3), 0);
    cr_assert_eq(head->cache_create->object_size, 100u);
    cr_assert_eq(head->cache_create->alignment, 64u);
    head = packed(&alloc);
    cr_assert_eq(head->alloc->size, 7u);
    cr_assert_eq(head->alloc->cache.len, 1u);
    cr_assert_eq(head->alloc->cache.data[0], 'c');
}

Test(call, the_fields_of_a_call_arrive)
{
    const struct fh_call put = {.kind = FH_CALL_PUT,
                                .name = "n\0n",
                                .name_size = 3,
                                .ttl_ms = 9,
                                .if_absent = true,
                                .body_size = 77};
    const struct fh_call cas = {.kind = FH_CALL_CAS,
                                .handle = {0x2000, UINT64_MAX},
                                .offset = UINT64_C(1) << 40,
                                .expected = UINT64_MAX,
                                .value = 3};
    const fh_request_head *head = packed(&put);

    cr_assert_eq(head->put->name.len, 3);
    cr_assert_eq(memcmp(head->put->name.data, "n\0n", 3), 0);
    cr_assert_eq(head->put->ttl_ms, 9);
    cr_assert_eq(head->put->condition->if_absent, 1);
    cr_assert_null(head->put->handle);
    head = packed(&cas);
    cr_assert_eq(head->compare_swap->handle->key, UINT64_MAX);
    cr_assert_eq(head->compare_swap->offset, UINT64_C(1) << 40);
    cr_assert_eq(head->compare_swap->expected, UINT64_MAX);
    cr_assert_eq(head->compare_swap->desired, 3);
}

Test(call, a_condition_of_nothing_is_not_sent)
{
    const struct fh_call call = {.kind = FH_CALL_DELETE, .name = "n", .name_size = 1};

    cr_assert_null(packed(&call)->delete_->condition);
}

Test(call, a_stat_is_by_name_or_by_handle)
{
    const struct fh_call by_name = {.kind = FH_CALL_STAT, .name = "n", .name_size = 1};
    const struct fh_call by_handle = {.kind = FH_CALL_STAT, .handle = {1, 2}};

    cr_assert_null(packed(&by_name)->stat->handle);
    cr_assert_eq(packed(&by_handle)->stat->name.len, 0);
    cr_assert_eq(packed(&by_handle)->stat->handle->key, 2);
}

Test(call, a_head_that_does_not_fit_is_not_packed)
{
    const struct fh_call call = {.kind = FH_CALL_PING};
    uint8_t bytes[8];

    cr_assert_eq(fh_call_pack(&call, 1, 0, bytes, sizeof(bytes)), 0);
}

Test(call, only_reads_may_be_sent_twice)
{
    static const bool read_only[FH_CALL_KINDS] = {
        [FH_CALL_PING] = true, [FH_CALL_INFO] = true,      [FH_CALL_READ] = true,
        [FH_CALL_STAT] = true, [FH_CALL_GET] = true,       [FH_CALL_LOOKUP] = true,
        [FH_CALL_LIST] = true, [FH_CALL_FILE_LIST] = true, [FH_CALL_READ_RANGES] = true};

    for (int kind = 0; kind < FH_CALL_KINDS; kind++) {
        const struct fh_call call = {.kind = (enum fh_call_kind)kind};

        cr_assert_eq(fh_call_is_read_only(&call), read_only[kind], "kind %d", kind);
    }
}

/* --- answers */

static int answered(const struct fh_call *call, fh_response_head *head, uint32_t body_size,
                    struct fh_answer *answer)
{
    uint8_t *body = NULL;

    return fh_call_answer(call, head, body_size, answer, &body);
}

Test(call, a_body_must_fit_the_question)
{
    char buf[16];
    const struct fh_call get = {.kind = FH_CALL_GET, .into = buf, .into_size = sizeof(buf)};
    const struct fh_call read = {
        .kind = FH_CALL_READ, .size = 16, .into = buf, .into_size = sizeof(buf)};
    const struct fh_call free_ = {.kind = FH_CALL_FREE};
    Farheap__V1__ObjectResult object = FARHEAP__V1__OBJECT_RESULT__INIT;
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    struct fh_answer answer;

    cr_assert_eq(answered(&read, &head, 16, &answer), 0);
    cr_assert_eq(answered(&read, &head, 15, &answer), -EPROTO, "a read is never short");
    cr_assert_eq(answered(&free_, &head, 1, &answer), -EPROTO);
    cr_assert_eq(answered(&get, &head, 5, &answer), -EPROTO, "a get tells the object");
    head.result_case = FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    head.object = &object;
    cr_assert_eq(answered(&get, &head, 5, &answer), 0);
    cr_assert_eq(answer.body_size, 5);
    cr_assert_eq(answered(&get, &head, 17, &answer), -EPROTO);
    head.status = FH_STATUS_BUSY;
    cr_assert_eq(answered(&get, &head, 5, &answer), -EPROTO, "a failure has no body");
    cr_assert_eq(answered(&get, &head, 0, &answer), 0);
    cr_assert_eq(answer.status, FH_BUSY);
    head.status = FH_STATUS_COUNT;
    cr_assert_eq(answered(&get, &head, 0, &answer), -EPROTO);
}

Test(call, a_document_gets_memory_of_its_own_and_an_end)
{
    const struct fh_call call = {.kind = FH_CALL_INFO, .name = "info", .name_size = 4};
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    struct fh_answer answer;
    uint8_t *body = NULL;

    cr_assert_eq(fh_call_answer(&call, &head, 3, &answer, &body), 0);
    cr_assert_eq((char *)body, answer.text);
    memcpy(body, "{ }", 3);
    cr_assert_str_eq(answer.text, "{ }");
    free(answer.text);
}

Test(call, words_tell_no_key_and_no_control_bytes)
{
    const struct fh_call read = {.kind = FH_CALL_READ, .handle = {0x1000, 0x1234567890abcdef}};
    const struct fh_call get = {.kind = FH_CALL_GET, .name = "a\x1b[31m", .name_size = 6};
    char text[64], tiny[4];

    (void)fh_call_print(&read, text, sizeof(text));
    cr_assert_str_eq(text, "read fh:0:1000");
    (void)fh_call_print(&get, text, sizeof(text));
    cr_assert_str_eq(text, "get a?[31m");
    cr_assert_eq(fh_call_print(&get, tiny, sizeof(tiny)), 3);
    cr_assert_eq(fh_text_clean("abcdef", 6, tiny, sizeof(tiny)), 3);
    cr_assert_str_eq(tiny, "abc");
}
