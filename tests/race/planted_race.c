/* A bug on purpose: two threads count without a lock. The race detector must say so. */
#include <pthread.h>
#include <stdio.h>

static int count;

static void *count_up(void *arg)
{
    for (int i = 0; i < 1000; i++)
        count++;
    return arg;
}

int main(void)
{
    pthread_t other;

    if (pthread_create(&other, NULL, count_up, NULL) != 0)
        return 2;
    count_up(NULL);
    pthread_join(other, NULL);
    printf("%d\n", count);
    return 0;
}
