#include "random.h"

#include <openssl/rand.h>
#include <stdint.h>
#include <sys/random.h>

static void random_of_kernel(uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t got = getrandom(to, size, 0);
        if (got > 0) {
            to += got;
            size -= (size_t)got;
        }
    }
}

void fh_random_bytes(void *ctx, void *buf, size_t size)
{
    (void)ctx;
    if (size > INT32_MAX || RAND_priv_bytes(buf, (int)size) != 1)
        random_of_kernel(buf, size);
}
