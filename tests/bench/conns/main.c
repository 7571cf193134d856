/*
 * Theory.  What many connections cost and what they do to each other, on a real server of one zone,
 * pinned to the first CPU; the load is pinned to the second. Sides take turns, round by round, and
 * medians are told, so that a machine that gets busy treats them alike. Targets are printed beside
 * what was measured; a miss is no error.
 *
 *   idle       memory of a connection that did something once and is silent now
 *   active     64 B gets at one total rate over few and over many connections
 *   isolation  64 B gets at a fixed rate, alone and beside a peer that moves 1 MiB objects
 *   tls        1 MiB gets over TLS beside a bare SSL_write loop
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"
#include "stream.h"
#include "tests/support/wire/certificates.h"
#include "tests/support/wire/server_process.h"

enum { ROUNDS_MAX = 15, MIB = 1 << 20 };

struct options {
    uint32_t connections, few, rounds;
    double rate, seconds, most;
    bool urgent;
};

static struct options o = {.rounds = 5, .seconds = 2};
static struct server_process server;
static char folder[] = "/tmp/farheap-conns-XXXXXX";
static SSL_CTX *tls;
static struct peer *peers;
static uint32_t opened;

static void clean_up(void)
{
    for (uint32_t i = 0; i < opened; i++)
        peer_close(&peers[i]);
    opened = 0;
    server_process_fini(&server);
    if (tls) {
        char command[64];
        snprintf(command, sizeof command, "rm -rf %s", folder);
        if (system(command) != 0)
            perror("rm");
        SSL_CTX_free(tls);
        tls = NULL;
    }
}

_Noreturn static void die(const char *what, int rc)
{
    fprintf(stderr, "bench conns: %s: %s\n", what, strerror(-rc));
    clean_up();
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "bench conns: not pinned: %s\n", strerror(errno));
}

/* The weight of our session among others, where the kernel shares the CPU between sessions first. */
static void urge_session(int nice_value)
{
    FILE *f = o.urgent ? fopen("/proc/self/autogroup", "w") : NULL;

    if (f) {
        fprintf(f, "%d", nice_value);
        fclose(f);
    }
}

static void urgency(int nice_value)
{
    if (o.urgent && setpriority(PRIO_PROCESS, 0, nice_value) != 0)
        die("--urgent", -errno);
}

/* The probe does little, and goes before the load that shares its CPU, which we fork later. */
static void probe_first(void)
{
    const struct sched_param p = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) != 0)
        fprintf(stderr,
                "bench conns: the probe has no priority over the load (%s): expect "
                "latencies of its own CPU\n",
                strerror(errno));
}

/* A server, plain or TLS, on the first CPU; we go to the second. */
static void serve(bool with_tls)
{
    char cert[96], key[96], most[48];
    const char *flags[] = {with_tls ? "--listen=127.0.0.1:0" : "--listen=127.0.0.1:0,plain",
                           "--memory=256MiB",
                           "--swap-size=0",
                           "--io=threads",
                           "--idle-timeout=1h",
                           most,
                           with_tls ? cert : NULL,
                           with_tls ? key : NULL,
                           NULL};

    if (with_tls) {
        if (!mkdtemp(folder) || certificates_make(folder) != 0 || !(tls = peer_tls()))
            die("making certificates", -EIO);
        snprintf(cert, sizeof cert, "--tls-cert=%s/server.pem", folder);
        snprintf(key, sizeof key, "--tls-key=%s/server.key", folder);
    }
    snprintf(most, sizeof most, "--max-connections=%u", o.connections + o.few + 16);
    pin(0);
    urgency(-20);
    int rc = server_process_start(&server, FARHEAPD, flags);
    if (rc != 0)
        die("starting the server", rc);
    urgency(-10);
    pin(1);
}

static void store(const char *name, uint32_t size)
{
    uint8_t *bytes = calloc(1, PEER_REQUEST_MAX + size);
    struct peer p;
    int rc = peer_open(&p, server.ports[0], tls);

    if (rc != 0 || !bytes)
        die("connecting", rc);
    rc = peer_call(&p, bytes, peer_put_request(bytes, 1, name, size) + size);
    if (rc != 0)
        die("storing an object", rc < 0 ? rc : -EPROTO);
    peer_close(&p);
    free(bytes);
}

static void open_peers(uint32_t count)
{
    for (; opened < count; opened++) {
        int rc = peer_open(&peers[opened], server.ports[0], tls);
        if (rc != 0)
            die("connecting", rc);
    }
}

static double median(double *of, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && of[j] < of[j - 1]; j--) {
            double t = of[j];
            of[j] = of[j - 1];
            of[j - 1] = t;
        }
    return count % 2 ? of[count / 2] : (of[count / 2 - 1] + of[count / 2]) / 2;
}

static const char *verdict(bool met)
{
    return met ? "PASS" : "miss";
}

/* --- idle --- */

/* A line of /proc/meminfo in bytes. */
static double meminfo(const char *key)
{
    char line[128];
    double kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = atof(line + strlen(key));
    if (f)
        fclose(f);
    return kib * 1024;
}

static void rest(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&t, NULL);
}

/* Each says Hello, gets a small object and one of 1 MiB, so that it has used every buffer there is. */
static void idle_use(uint32_t from, uint32_t to, bool large)
{
    uint8_t bytes[PEER_REQUEST_MAX];

    for (uint32_t i = from; i < to; i++) {
        int rc = peer_call(&peers[i], bytes, peer_get_request(bytes, 2, "small"));
        if (rc == 0 && large)
            rc = peer_call(&peers[i], bytes, peer_get_request(bytes, 3, "large"));
        if (rc != 0)
            die("getting an object", rc);
    }
}

static int idle(bool with_tls)
{
    serve(with_tls);
    store("small", 64);
    store("large", MIB);
    open_peers(64);
    idle_use(0, 64, true);
    rest(1);
    double user = (double)server_process_rss(&server), kernel = meminfo("Slab:");
    open_peers(o.connections + 64);
    idle_use(64, o.connections + 64, !with_tls || o.connections <= 2000);
    rest(2);
    user = ((double)server_process_rss(&server) - user) / o.connections;
    kernel = (meminfo("Slab:") - kernel) / o.connections;
    printf("idle       %-5s  %6u connections  %8.0f bytes each", with_tls ? "TLS" : "plain",
           o.connections, user);
    if (with_tls)
        printf("  (most of it OpenSSL's)");
    else
        printf("  at most 2048: %s", verdict(user <= 2048));
    printf("; kernel, both ends of each: %.0f bytes of slab\n", kernel);
    if (o.most > 0 && user > o.most) {
        printf("idle       more than %.0f bytes each\n", o.most);
        return 1;
    }
    return 0;
}

/* --- active --- */

static void probe(uint32_t count, double *p50, double *p99)
{
    struct probe_result r;
    int rc = probe_run(peers, count, "small", o.rate, o.seconds, &r);

    if (rc != 0)
        die("getting small objects", rc);
    *p50 = r.p50_us;
    *p99 = r.p99_us;
}

static int active(void)
{
    double few50[ROUNDS_MAX], few99[ROUNDS_MAX], many50[ROUNDS_MAX], many99[ROUNDS_MAX];

    serve(false);
    probe_first();
    store("small", 64);
    open_peers(o.connections);
    for (uint32_t i = 0; i < o.rounds; i++) {
        probe(o.few, &few50[i], &few99[i]);
        probe(o.connections, &many50[i], &many99[i]);
    }
    double few = median(few99, o.rounds), many = median(many99, o.rounds);
    printf("active     %6.0f gets/s over %5u connections: p50 %6.0f us, p99 %6.0f us (best round "
           "%.0f)\n",
           o.rate, o.few, median(few50, o.rounds), few, few99[0]);
    printf("active     %6.0f gets/s over %5u connections: p50 %6.0f us, p99 %6.0f us (best round "
           "%.0f); %.2f times, at most 2: %s\n",
           o.rate, o.connections, median(many50, o.rounds), many, many99[0], many / few,
           verdict(many <= 2 * few));
    return 0;
}

/* --- isolation --- */

struct beside {
    const char *label;
    bool gets, puts;
    double p50[ROUNDS_MAX], p99[ROUNDS_MAX], mib[ROUNDS_MAX];
};

/* A round of the probe beside a stream, or alone. */
static void isolation_round(struct beside *b, uint32_t round)
{
    struct stream_how how = {.port = server.ports[0], .tls = tls, .size = MIB, .deep = 4};
    struct stream s = {0};
    double began = probe_now();
    int rc = 0;

    how.gets = b->gets;
    how.puts = b->puts;
    if (b->gets || b->puts)
        rc = stream_start(&s, &how);
    if (rc != 0)
        die("starting a stream", rc);
    probe(1, &b->p50[round], &b->p99[round]);
    b->mib[round] = 0;
    if (s.pid > 0) {
        b->mib[round] = (double)(s.counts->got + s.counts->put) / (probe_now() - began);
        if ((rc = stream_stop(&s)) != 0)
            die("streaming", rc);
    }
}

static int isolation(bool with_tls)
{
    static struct beside sides[] = {{.label = "alone"},
                                    {.label = "gets of 1 MiB", .gets = true},
                                    {.label = "puts of 1 MiB", .puts = true},
                                    {.label = "both by turns", .gets = true, .puts = true}};
    double quiet = 0;

    serve(with_tls);
    probe_first();
    store("small", 64);
    store("large", MIB);
    open_peers(1);
    for (uint32_t round = 0; round < o.rounds; round++)
        for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
            isolation_round(&sides[i], round);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct beside *b = &sides[i];
        double p99 = median(b->p99, o.rounds);
        printf("isolation  %-5s  beside %-14s p50 %6.0f us, p99 %6.0f us",
               with_tls ? "TLS" : "plain", b->label, median(b->p50, o.rounds), p99);
        printf(" (best round %.0f)", b->p99[0]);
        if (i == 0)
            quiet = p99;
        else
            printf("; %.2f times, at most 2: %s; the stream moves %.0f MiB/s", p99 / quiet,
                   verdict(p99 <= 2 * quiet), median(b->mib, o.rounds));
        printf("\n");
    }
    return 0;
}

/* --- TLS --- */

/* CPU time of a process in ns, as the scheduler counts it. */
static double cpu_ns(pid_t pid)
{
    char path[64];
    double ns = 0;

    /* Of all threads: the first line of each. The server has few and they stay. */
    snprintf(path, sizeof path, "cat /proc/%d/task/*/schedstat", (int)pid);
    FILE *f = popen(path, "r");
    for (double run, wait, slices; f && fscanf(f, "%lf %lf %lf", &run, &wait, &slices) == 3;)
        ns += run;
    if (f)
        pclose(f);
    return ns;
}

static void tls_bare_round(double *rate, double *cpu)
{
    char cert[96], key[96];
    uint16_t port;
    pid_t pid;
    int status;

    snprintf(cert, sizeof cert, "%s/server.pem", folder);
    snprintf(key, sizeof key, "%s/server.key", folder);
    int rc = stream_bare_tls(cert, key, MIB, 0, &port, &pid);
    if (rc != 0)
        die("serving bare TLS", rc);
    double before = cpu_ns(pid);
    *rate = stream_read_bare(port, tls, o.seconds) / MIB;
    *cpu = (cpu_ns(pid) - before) / (*rate * o.seconds) / 1e3;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (*rate == 0)
        die("reading bare TLS", -EPROTO);
}

static void tls_our_round(double *rate, double *cpu, bool puts)
{
    struct stream_how how = {.port = server.ports[0], .tls = tls, .size = MIB, .deep = 4};
    struct stream s;
    int rc;

    how.gets = !puts;
    how.puts = puts;
    if ((rc = stream_start(&s, &how)) != 0)
        die("starting a stream", rc);
    rest(0.2);
    double before = cpu_ns(server.pid), began = probe_now();
    uint64_t done = s.counts->got + s.counts->put;
    rest(o.seconds);
    double moved = (double)(s.counts->got + s.counts->put - done);
    *rate = moved / (probe_now() - began);
    *cpu = (cpu_ns(server.pid) - before) / moved / 1e3;
    if ((rc = stream_stop(&s)) != 0)
        die("streaming", rc);
}

static int tls_rate(void)
{
    double bare[ROUNDS_MAX], ours[ROUNDS_MAX], put[ROUNDS_MAX];
    double bare_cpu[ROUNDS_MAX], our_cpu[ROUNDS_MAX], put_cpu[ROUNDS_MAX];

    serve(true);
    store("large", MIB);
    for (uint32_t i = 0; i < o.rounds; i++) {
        tls_bare_round(&bare[i], &bare_cpu[i]);
        tls_our_round(&ours[i], &our_cpu[i], false);
        tls_our_round(&put[i], &put_cpu[i], true);
    }
    double limit = median(bare, o.rounds), rate = median(ours, o.rounds);
    printf("tls        bare SSL_write   %6.0f MiB/s, %6.0f us of CPU per MiB\n", limit,
           median(bare_cpu, o.rounds));
    printf("tls        gets of 1 MiB    %6.0f MiB/s, %6.0f us of CPU per MiB; %.2f of it, at least "
           "0.6: %s\n",
           rate, median(our_cpu, o.rounds), rate / limit, verdict(rate >= 0.6 * limit));
    printf("tls        puts of 1 MiB    %6.0f MiB/s, %6.0f us of CPU per MiB\n",
           median(put, o.rounds), median(put_cpu, o.rounds));
    return 0;
}

/* --- what was asked for --- */

static int usage(FILE *out)
{
    fprintf(out,
            "./dev bench conns [idle|idle-tls|active|isolation|isolation-tls|tls] [OPTIONS]\n"
            "  --connections N  (10000 idle, 2000 otherwise)   --few N     compared with (64)\n"
            "  --rate R         gets per second (20000 active, 2000 isolation)\n"
            "  --seconds S      of a round (2)                 --rounds N  (5)\n"
            "  --urgent         higher priority than other work of the machine; as root\n");
    return out == stderr ? 2 : 0;
}

static bool options_parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"connections", required_argument, NULL, 'c'}, {"few", required_argument, NULL, 'f'},
        {"rate", required_argument, NULL, 'r'},        {"seconds", required_argument, NULL, 's'},
        {"rounds", required_argument, NULL, 'n'},      {"urgent", no_argument, NULL, 'u'},
        {"most", required_argument, NULL, 'm'},        {NULL, 0, NULL, 0}};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'c')
            o.connections = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'f')
            o.few = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            o.rate = atof(optarg);
        else if (c == 's')
            o.seconds = atof(optarg);
        else if (c == 'm')
            o.most = atof(optarg);
        else if (c == 'n')
            o.rounds = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'u')
            o.urgent = true;
        else
            return false;
    }
    return o.rounds >= 1 && o.rounds <= ROUNDS_MAX && o.seconds > 0;
}

static int run(const char *verb)
{
    bool many = strncmp(verb, "idle", 4) == 0;
    struct rlimit files;

    if (o.connections == 0)
        o.connections = strcmp(verb, "idle") == 0 ? 10000 : 2000;
    if (o.few == 0)
        o.few = 64;
    if (o.rate <= 0)
        o.rate = strncmp(verb, "isolation", 9) == 0 ? 2000 : 20000;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (many && files.rlim_max < o.connections + 128)
            die("too few descriptors (ulimit -Hn)", -EMFILE);
    }
    if (!(peers = calloc(o.connections + o.few + 64, sizeof *peers)))
        die("starting", -ENOMEM);
    if (strcmp(verb, "idle") == 0)
        return idle(false);
    if (strcmp(verb, "idle-tls") == 0)
        return idle(true);
    if (strcmp(verb, "active") == 0)
        return active();
    if (strcmp(verb, "isolation") == 0)
        return isolation(false);
    if (strcmp(verb, "isolation-tls") == 0)
        return isolation(true);
    if (strcmp(verb, "tls") == 0)
        return tls_rate();
    return usage(stderr);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(verb, "-h") == 0 || strcmp(verb, "--help") == 0)
        return usage(stdout);
    if (argc < 2 || !options_parse(argc - 1, argv + 1))
        return usage(stderr);
    urge_session(-20);
    int rc = run(verb);
    urge_session(0);
    clean_up();
    free(peers);
    return rc;
}
