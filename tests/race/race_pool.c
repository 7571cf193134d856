/*
 * Many threads share a pool with fewer clients than there are threads: no client has two owners at
 * once, each comes back, and calls through it find their answers. A plain program, since
 * ThreadSanitizer does not start under Criterion. The server is `farheap bench null`, in a process
 * of its own.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/bench/null.h"
#include "client/farheap.h"

enum { THREADS = 8, CLIENTS = 3, TURNS = 300 };

static fh_pool *pool;
static fh_client *known[CLIENTS];
static unsigned uses[CLIENTS]; /* not atomic: a client's owner alone counts */
static atomic_uint owners[CLIENTS];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "race_pool: %s\n", what);
    exit(1);
}

static int number_of(const fh_client *client)
{
    for (int i = 0; i < CLIENTS; i++)
        if (known[i] == client)
            return i;
    fail("a client that the pool never had");
}

static void use(fh_client *client, int turn)
{
    int i = number_of(client);
    char buf[4096];
    size_t got;

    if (atomic_fetch_add(&owners[i], 1) != 0)
        fail("two owners of one client");
    uses[i]++;
    if (turn % 3 == 0 && fh_put(client, "name", 4, buf, 100, NULL, NULL) != FH_OK)
        fail(fh_errmsg(client));
    if (fh_get(client, "name", 4, 0, buf, sizeof(buf), &got, NULL) != FH_OK || got != sizeof(buf))
        fail(fh_errmsg(client));
    atomic_fetch_sub(&owners[i], 1);
}

static void *work(void *arg)
{
    (void)arg;
    for (int turn = 0; turn < TURNS; turn++) {
        fh_client *client;
        fh_status status = fh_pool_get(pool, turn % 2 == 0 ? -1 : turn % 5, &client);

        if (status == FH_TIMEOUT && turn % 2 == 1)
            continue;
        if (status != FH_OK)
            fail("no client though waiting for ever");
        use(client, turn);
        fh_pool_put(pool, client);
    }
    return NULL;
}

/* The null server, and where it listens. */
static pid_t server_start(char *url, size_t room)
{
    char *argv[] = {(char[]){"null"}, (char[]){"0"}, NULL};
    FILE *said;
    pid_t pid;
    int out[2];

    if (pipe(out) != 0 || (pid = fork()) < 0)
        fail("no process for the server");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        _exit(fh_null_main(2, argv));
    }
    close(out[1]);
    if ((said = fdopen(out[0], "r")) == NULL || fgets(url, (int)room, said) == NULL)
        fail("the server does not say where it listens");
    fclose(said);
    strcpy(url + strcspn(url, "\n"), "/?timeout=100s");
    return pid;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned sum = 0;
    char url[128];
    pid_t server = server_start(url, sizeof(url) - 32);

    if (fh_pool_open(url, NULL, CLIENTS, &pool) != FH_OK)
        fail(fh_pool_errmsg(pool));
    for (int i = 0; i < CLIENTS; i++)
        if (fh_pool_get(pool, 0, &known[i]) != FH_OK)
            fail("a pool with too few clients");
    for (int i = 0; i < CLIENTS; i++)
        fh_pool_put(pool, known[i]);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            fail("no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        sum += uses[i];
    fh_pool_close(pool);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    printf("%u turns with %d clients\n", sum, CLIENTS);
    return sum >= THREADS * TURNS / 2 ? 0 : 1;
}
