/* A bug on purpose, in a child process as a server under test is one, and nobody asks how it ended.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char *volatile bytes;

Test(planted, a_read_after_free_in_a_child_is_caught, .timeout = 10)
{
    pid_t child = fork();

    cr_assert(child >= 0);
    if (child == 0) {
        bytes = malloc(64);
        if (bytes == NULL)
            _exit(1);
        free(bytes);
        _exit(bytes[1]);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
}
