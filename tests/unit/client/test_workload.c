/* Keys, sizes and mixes as asked for; the same seed, the same requests; one writer per object. */
#include "client/bench/workload.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fh_dist_shape zipf = {.dist = FH_DIST_ZIPF, .theta = 0.99};
static struct fh_bench_options options;
static struct fh_workload work;
static struct fh_draw draw;
static uint8_t room[8192];

TestSuite(keys, .timeout = 20);
TestSuite(workload, .timeout = 20);

Test(keys, zipf_ranks_come_as_often_as_the_law_says)
{
    enum { KEYS = 100, DRAWS = 1000000 };
    static const double thetas[] = {0.5, 0.99, 1.0, 1.5};

    for (size_t t = 0; t < 4; t++) {
        uint32_t seen[KEYS] = {0};
        struct fh_random r = {11 + t};
        struct fh_keys k;
        double sum = 0;

        fh_keys_init(&k, &(struct fh_dist_shape){.dist = FH_DIST_ZIPF, .theta = thetas[t]}, KEYS,
                     1);
        for (int i = 0; i < DRAWS; i++)
            seen[fh_keys_zipf_rank(&k, &r)]++;
        for (int i = 0; i < KEYS; i++)
            sum += pow(i + 1, -thetas[t]);
        for (int i = 0; i < KEYS; i++) {
            double p = pow(i + 1, -thetas[t]) / sum;

            cr_assert_float_eq((double)seen[i], p * DRAWS, 6 * sqrt(DRAWS * p * (1 - p)),
                               "theta %g rank %d: %u, expected %g", thetas[t], i, seen[i],
                               p * DRAWS);
        }
    }
}

Test(keys, zipf_of_one_key_is_that_key)
{
    struct fh_random r = {5};
    struct fh_keys k;

    fh_keys_init(&k, &zipf, 1, 1);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(fh_keys_next(&k, &r, 0), 0);
}

Test(keys, zipf_of_a_billion_stays_in_range_and_favours_the_first)
{
    struct fh_random r = {5};
    struct fh_keys k;
    uint64_t first = 0;

    fh_keys_init(&k, &zipf, 1000000000, 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t rank = fh_keys_zipf_rank(&k, &r);

        cr_assert_lt(rank, 1000000000);
        first += rank == 0;
    }
    /* 1 / H(10^9, 0.99) is 4.3 %. */
    cr_assert_float_eq((double)first / 100000, 0.043, 0.005);
}

Test(keys, the_shuffle_is_one_to_one_for_any_count)
{
    static const uint64_t counts[] = {1, 2, 3, 7, 64, 100, 1000, 4097};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        bool *taken = calloc(counts[i], sizeof(*taken));
        struct fh_keys k;

        fh_keys_init(&k, &zipf, counts[i], 42 + i);
        for (uint64_t rank = 0; rank < counts[i]; rank++) {
            uint64_t key = fh_keys_shuffle(&k, rank);

            cr_assert_lt(key, counts[i]);
            cr_assert(!taken[key]);
            taken[key] = true;
        }
        free(taken);
    }
}

Test(keys, uniform_keys_come_equally_often)
{
    enum { KEYS = 64, DRAWS = 640000 };
    uint32_t seen[KEYS] = {0};
    struct fh_random r = {9};
    struct fh_keys k;

    fh_keys_init(&k, &(struct fh_dist_shape){.dist = FH_DIST_UNIFORM}, KEYS, 1);
    for (int i = 0; i < DRAWS; i++)
        seen[fh_keys_next(&k, &r, 0)]++;
    for (int i = 0; i < KEYS; i++)
        cr_assert_float_eq((double)seen[i], 10000, 600);
}

Test(keys, keys_in_sequence_come_in_turn)
{
    struct fh_random r = {9};
    struct fh_keys k;

    fh_keys_init(&k, &(struct fh_dist_shape){.dist = FH_DIST_SEQ}, 10, 1);
    for (uint64_t i = 0; i < 30; i++)
        cr_assert_eq(fh_keys_next(&k, &r, i), i % 10);
}

static void start(const char *line)
{
    static char copy[512];
    char *argv[32] = {0};
    int argc = 0;

    snprintf(copy, sizeof(copy), "bench %s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    cr_assert_eq(fh_bench_options_parse(&options, argc, argv), 0, "%s", line);
    cr_assert_eq(fh_workload_init(&work, &options), 0);
    cr_assert_eq(fh_draw_open(&draw, 16), 0);
    fh_draw_init(&draw, &options, 0, 0);
}

static void stop(void)
{
    fh_draw_close(&draw);
    fh_workload_fini(&work);
}

Test(workload, the_mix_is_what_was_asked_for, .fini = stop)
{
    enum { DRAWS = 100000 };
    uint32_t seen[FH_OPS] = {0};
    struct fh_request r = {.room = room};

    start("--mix get=70,put=20,read=10 --keys 100 --size 64");
    for (int i = 0; i < DRAWS; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
        seen[r.op]++;
    }
    cr_assert_float_eq((double)seen[FH_OP_GET], 0.7 * DRAWS, 1000);
    cr_assert_float_eq((double)seen[FH_OP_PUT], 0.2 * DRAWS, 1000);
    cr_assert_float_eq((double)seen[FH_OP_READ], 0.1 * DRAWS, 1000);
}

Test(workload, sizes_come_by_weight_and_belong_to_the_object, .fini = stop)
{
    uint32_t small = 0;

    start("--sizes 64:75,4KiB:25 --keys 10000");
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t bytes = fh_sizes_of(&options.sizes, i, 42);

        cr_assert(bytes == 64 || bytes == 4096);
        cr_assert_eq(bytes, fh_sizes_of(&options.sizes, i, 42));
        small += bytes == 64;
    }
    cr_assert_float_eq((double)small, 7500, 300);
}

Test(workload, the_same_seed_gives_the_same_requests, .fini = stop)
{
    struct fh_draw again;
    struct fh_request a = {.room = room};
    struct fh_request b = {.room = room};

    start("-w a --keys 1000 --size 64 --seed 7");
    cr_assert_eq(fh_draw_open(&again, 16), 0);
    fh_draw_init(&again, &options, 0, 0);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &a), FH_NEXT_READY);
        cr_assert_eq(fh_workload_next(&work, &again, FH_PHASE_RUN, &b), FH_NEXT_READY);
        cr_assert_eq(a.op, b.op);
        cr_assert_eq(a.object, b.object);
        cr_assert_str_eq(a.name, b.name);
    }
    fh_draw_close(&again);
}

Test(workload, another_thread_and_another_round_draw_other_requests, .fini = stop)
{
    struct fh_draw other = {0};

    start("-w a --keys 1000 -t 2 --size 64");
    fh_draw_init(&other, &options, 1, 0);
    cr_assert_neq(draw.random.state, other.random.state);
    fh_draw_init(&other, &options, 0, 1);
    cr_assert_neq(draw.random.state, other.random.state);
}

Test(workload, a_touch_reads_a_part_within_the_object, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("-w c --keys 10 --size 10000 --touch 512");
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
        cr_assert_eq(r.size, 512);
        cr_assert_leq(r.offset + r.size, 10000);
    }
}

Test(workload, objects_are_made_whole_though_they_are_read_in_part, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("-w raw-rw --keys 2 --size 8192 --touch 4KiB --verify");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_ALLOC, &r), FH_NEXT_READY);
    cr_assert_eq(r.size, 8192);
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_WRITE, &r), FH_NEXT_READY);
    cr_assert_eq(r.size, 8192);
    cr_assert_eq(r.offset, 0);
}

Test(workload, filling_stores_every_object_once_then_ends, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("--keys 50 --size 64 --verify");
    for (uint64_t i = 0; i < 50; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_NAMES, &r), FH_NEXT_READY);
        cr_assert_eq(r.op, FH_OP_PUT);
        cr_assert_eq(r.object, i);
        cr_assert_eq(r.version, 1);
        r.status = FH_OK;
        fh_workload_done(&work, &draw, FH_PHASE_FILL_NAMES, &r);
    }
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_NAMES, &r), FH_NEXT_END);
}

Test(workload, an_object_has_one_writer_at_a_time, .fini = stop)
{
    struct fh_request a = {.room = room};
    struct fh_request b = {.room = room + 4096};

    start("--mix put=1 --keys 1 --size 64 --verify");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &a), FH_NEXT_READY);
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &b), FH_NEXT_WAIT);
    a.status = FH_OK;
    fh_workload_done(&work, &draw, FH_PHASE_RUN, &a);
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &b), FH_NEXT_READY);
    cr_assert_eq(b.version, 2);
}

Test(workload, a_refused_write_leaves_the_version_as_it_was, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("--mix put=1 --keys 1 --size 64 --verify");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
        cr_assert_eq(r.version, 1);
        r.status = FH_NO_SPACE;
        fh_workload_done(&work, &draw, FH_PHASE_RUN, &r);
    }
}

Test(workload, a_write_of_unknown_outcome_keeps_the_object_from_being_written, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("--mix put=1 --keys 1 --size 64 --verify");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
    r.status = FH_CONNECTION;
    fh_workload_done(&work, &draw, FH_PHASE_RUN, &r);
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_WAIT);
}

/* A get that was sent while version 1 was stored, and what it may bring. */
static bool get_accepts(uint32_t version_in_flight, uint32_t version_found)
{
    static uint8_t other[8192];
    struct fh_request get = {.room = room};
    struct fh_request put = {.room = other};

    start("--mix get=1,put=1 --keys 1 --size 64 --verify");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_NAMES, &put), FH_NEXT_READY);
    put.status = FH_OK;
    fh_workload_done(&work, &draw, FH_PHASE_FILL_NAMES, &put);
    do
        cr_assert_neq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &get), FH_NEXT_END);
    while (get.op != FH_OP_GET);
    atomic_store(&work.version[0], (uint64_t)version_in_flight << 32 | 1);
    fh_verify_fill(room, 64, 0, version_found);
    get.status = FH_OK;
    get.got = 64;
    get.version_min = 1;
    fh_workload_done(&work, &draw, FH_PHASE_RUN, &get);
    return !atomic_load(&work.faulty);
}

Test(workload, a_read_may_show_what_was_stored, .fini = stop)
{
    cr_assert(get_accepts(1, 1));
}

Test(workload, a_read_may_show_what_is_being_stored, .fini = stop)
{
    cr_assert(get_accepts(2, 2));
}

Test(workload, a_read_may_not_show_what_nobody_wrote, .fini = stop)
{
    cr_assert(!get_accepts(2, 3));
    cr_assert_eq(work.fault.found, 3);
    cr_assert_eq(work.fault.expected_max, 2);
    cr_assert(atomic_load(&work.stop));
}

Test(workload, a_read_may_not_show_what_was_overwritten_before_it_was_sent, .fini = stop)
{
    cr_assert(!get_accepts(1, 0));
}

Test(workload, a_short_read_is_a_failure, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("-w c --keys 1 --size 64");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
    r.status = FH_OK;
    r.got = 63;
    fh_workload_done(&work, &draw, FH_PHASE_RUN, &r);
    cr_assert_eq(r.status, FH_PROTOCOL);
}

Test(workload, what_alloc_made_free_takes_back, .fini = stop)
{
    struct fh_request r = {.room = room};
    int64_t live = 0;

    start("--mix alloc=60,free=40 --size 64");
    for (uint64_t i = 0; i < 20000; i++) {
        cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, &r), FH_NEXT_READY);
        live += r.op == FH_OP_ALLOC ? 1 : -1;
        r.status = FH_OK;
        if (r.op == FH_OP_ALLOC)
            r.handle.address = i;
        fh_workload_done(&work, &draw, FH_PHASE_RUN, &r);
        cr_assert_eq(live, draw.pooled);
        cr_assert_leq(live, FH_DRAW_POOL);
    }
    while (fh_workload_next(&work, &draw, FH_PHASE_CLEAN_FREE, &r) == FH_NEXT_READY)
        live--;
    cr_assert_eq(live, 0);
}

/* Takes the next request of the run and ends it as a server would. */
static struct fh_request *step(struct fh_request *r)
{
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_RUN, r), FH_NEXT_READY);
    return r;
}

static bool done(struct fh_request *r, fh_status status)
{
    r->status = status;
    r->got = (size_t)r->size;
    return fh_workload_done(&work, &draw, FH_PHASE_RUN, r);
}

Test(keys, a_hot_part_gets_its_share_of_the_draws)
{
    enum { KEYS = 1000, DRAWS = 100000 };
    struct fh_dist_shape shape = {.dist = FH_DIST_HOTSPOT, .hot_keys = 0.1, .hot_draws = 0.9};
    uint32_t seen[KEYS] = {0};
    uint32_t hot = 0;
    struct fh_random r = {3};
    struct fh_keys k;

    fh_keys_init(&k, &shape, KEYS, 7);
    for (int i = 0; i < DRAWS; i++)
        seen[fh_keys_next(&k, &r, 0)]++;
    for (uint64_t rank = 0; rank < 100; rank++)
        hot += seen[fh_keys_shuffle(&k, rank)];
    cr_assert_float_eq((double)hot / DRAWS, 0.9, 0.01);
    for (int i = 0; i < KEYS; i++)
        cr_assert_gt(seen[i], 0);
}

Test(workload, the_latest_are_asked_for_most_and_only_when_they_are_stored, .fini = stop)
{
    struct fh_request insert = {.room = room};
    struct fh_request get = {.room = room};
    uint32_t newest = 0;

    start("-w d --keys 100 --size 64");
    while (step(&insert)->row != FH_OP_INSERT)
        ;
    cr_assert_eq(insert.op, FH_OP_PUT);
    cr_assert_eq(insert.object, 100);
    for (int i = 0; i < 1000; i++)
        if (step(&get)->row == FH_OP_GET)
            cr_assert_lt(get.object, 100);
    cr_assert(!done(&insert, FH_OK));
    for (int i = 0; i < 1000; i++)
        newest += step(&get)->row == FH_OP_GET && get.object == 100;
    cr_assert_gt(newest, 100);
}

Test(workload, an_insert_that_failed_is_never_asked_for, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("-w d --keys 10 --size 64");
    for (int i = 0; i < 1000; i++) {
        step(&r);
        if (r.row == FH_OP_GET)
            cr_assert_lt(r.object, 10);
        done(&r, r.row == FH_OP_INSERT ? FH_NO_SPACE : FH_OK);
    }
}

Test(workload, a_scan_gets_objects_in_a_row_and_ends_with_the_last_of_them, .fini = stop)
{
    static struct fh_request parts[10];
    struct fh_request r = {.room = room, .parts = parts};
    bool seen[11] = {false};

    start("--mix scan=1 --keys 50 --size 64 --scan-max 10 --dist uniform");
    for (int i = 0; i < 2000; i++) {
        step(&r);
        cr_assert(r.part_count >= 1 && r.part_count <= 10);
        seen[r.part_count] = true;
        for (uint32_t n = 0; n < r.part_count; n++) {
            cr_assert_eq(parts[n].object, r.object + n);
            cr_assert_eq(parts[n].op, FH_OP_GET);
            cr_assert_lt(parts[n].object, 50);
            cr_assert_eq(r.parts_left, r.part_count - n);
            done(&parts[n], n == 1 ? FH_BUSY : FH_OK);
        }
        cr_assert_eq(r.parts_left, 0);
        cr_assert_eq(r.got, r.part_count * 64);
        cr_assert_eq(r.status, r.part_count > 1 ? FH_BUSY : FH_OK);
    }
    for (int n = 1; n <= 10; n++)
        cr_assert(seen[n], "no scan of %d", n);
}

Test(workload, a_read_modify_write_is_a_get_and_a_put_of_one_name, .fini = stop)
{
    struct fh_request r = {.room = room};
    char name[FH_REQUEST_NAME];

    start("--mix rmw=1 --keys 10 --size 64");
    step(&r);
    cr_assert_eq(r.op, FH_OP_GET);
    strcpy(name, r.name);
    cr_assert(done(&r, FH_OK));
    cr_assert_eq(r.op, FH_OP_PUT);
    cr_assert_str_eq(r.name, name);
    cr_assert(!done(&r, FH_OK));
    cr_assert_eq(r.got, 128);
    step(&r);
    cr_assert(!done(&r, FH_NOT_FOUND), "there is nothing to modify");
}

Test(workload, a_read_modify_write_must_see_the_version_before_its_own, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("--mix rmw=1 --keys 1 --size 64 --verify");
    cr_assert_eq(fh_workload_next(&work, &draw, FH_PHASE_FILL_NAMES, &r), FH_NEXT_READY);
    r.status = FH_OK;
    fh_workload_done(&work, &draw, FH_PHASE_FILL_NAMES, &r);
    step(&r);
    fh_verify_fill(room, 64, 0, 1);
    cr_assert(done(&r, FH_OK));
    cr_assert_eq(r.version, 2);
    cr_assert(!done(&r, FH_OK));
    cr_assert(!atomic_load(&work.faulty));
    step(&r);
    fh_verify_fill(room, 64, 0, 3); /* its own put, which was not sent yet */
    (void)done(&r, FH_OK);
    cr_assert(atomic_load(&work.faulty));
}

Test(workload, a_failed_get_gives_back_the_right_to_write, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("--mix rmw=1 --keys 1 --size 64 --verify");
    for (int i = 0; i < 3; i++) {
        step(&r);
        cr_assert_eq(r.version, 1);
        cr_assert(!done(&r, FH_CONNECTION));
    }
}

Test(workload, a_fault_allocates_writes_and_frees_whatever_became_of_the_write, .fini = stop)
{
    struct fh_request r = {.room = room};

    start("-w fault-storm --size 4KiB");
    for (int i = 0; i < 2; i++) {
        step(&r);
        cr_assert_eq(r.op, FH_OP_ALLOC);
        cr_assert(done(&r, FH_OK));
        cr_assert_eq(r.op, FH_OP_WRITE);
        cr_assert(r.size == 4096 && r.offset == 0 && r.body != NULL);
        cr_assert(done(&r, i == 0 ? FH_OK : FH_NO_SPACE));
        cr_assert_eq(r.op, FH_OP_FREE);
        cr_assert(!done(&r, FH_OK));
        cr_assert_eq(r.status, i == 0 ? FH_OK : FH_NO_SPACE);
    }
    step(&r);
    cr_assert(!done(&r, FH_NO_SPACE), "nothing was allocated");
}

Test(workload, sizes_of_a_range_reach_both_ends, .fini = stop)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;

    start("--size-range 10-20 --keys 10000");
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t bytes = fh_sizes_of(&options.sizes, i, 42);

        least = bytes < least ? bytes : least;
        most = bytes > most ? bytes : most;
    }
    cr_assert(least == 10 && most == 20);
}
