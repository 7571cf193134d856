/* Stores a few bytes under a name, reads them back, and leaves nothing behind. */
#include <farheap.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what, const fh_client *client)
{
    fprintf(stderr, "%s: %s\n", what, fh_errmsg(client));
    return 1;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "farheap://127.0.0.1:7420";
    const char *name = "hello";
    char text[64] = "";
    size_t got;
    fh_client *client;
    fh_handle handle;

    if (fh_open(url, NULL, &client) != FH_OK)
        return fail("open", client);

    /* By name: put replaces what had the name, get reads it. */
    if (fh_put(client, name, strlen(name), "hello, far memory", 17, NULL, NULL) != FH_OK)
        return fail("put", client);
    if (fh_get(client, name, strlen(name), 0, text, sizeof(text) - 1, &got, NULL) != FH_OK)
        return fail("get", client);
    printf("%s\n", text);

    /* By handle: a gigabyte of addresses; only what is written costs memory. */
    if (fh_alloc(client, 1 << 30, NULL, &handle) != FH_OK ||
        fh_write(client, handle, 1 << 29, "in the middle", 13, NULL) != FH_OK ||
        fh_read(client, handle, 1 << 29, text, 13) != FH_OK || fh_free(client, handle) != FH_OK)
        return fail("memory", client);
    printf("%.13s\n", text);

    if (fh_delete(client, name, strlen(name), NULL) != FH_OK)
        return fail("delete", client);
    fh_close(client);
    return 0;
}
