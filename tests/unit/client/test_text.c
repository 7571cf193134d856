/* Words that need no server: handles, statuses, version. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/farheap.h"

TestSuite(text, .timeout = 10);

Test(text, a_handle_survives_its_text)
{
    const fh_handle handles[] = {
        {0, 1}, {UINT64_C(3) << 48 | 0x1a2b3000, 0x9f8e7d6c5b4a3921}, {UINT64_MAX, UINT64_MAX}};

    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        char text[FH_HANDLE_TEXT];
        fh_handle back;

        fh_handle_format(handles[i], text);
        cr_assert_eq(fh_handle_parse(text, &back), FH_OK, "%s", text);
        cr_assert_eq(back.address, handles[i].address);
        cr_assert_eq(back.key, handles[i].key);
    }
}

Test(text, only_the_canonical_form_of_a_handle_is_taken)
{
    static const char *const wrong[] = {"",
                                        "fh:",
                                        "fh:0:0",
                                        "fh:0:0.1",
                                        "fh:00:0.0000000000000001",
                                        "FH:0:0.0000000000000001",
                                        "fh:0:0.000000000000000A",
                                        "fh:0:0.0000000000000001 "};
    fh_handle back;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_eq(fh_handle_parse(wrong[i], &back), FH_INVALID, "%s was taken", wrong[i]);
}

Test(text, every_status_has_a_word_and_a_sentence)
{
    cr_assert_str_eq(fh_strstatus(FH_NO_SPACE), "NO_SPACE");
    cr_assert_str_eq(fh_strstatus(FH_CONNECTION), "CONNECTION");
    cr_assert_str_eq(fh_strstatus((fh_status)77), "UNKNOWN");
    for (int i = 0; i <= FH_NO_MEMORY; i++) {
        cr_assert_gt(strlen(fh_strstatus((fh_status)i)), 0);
        cr_assert_gt(strlen(fh_hint((fh_status)i)), 0);
    }
}

Test(text, the_version_is_three_numbers)
{
    int a, b, c;

    cr_assert_eq(sscanf(fh_version(), "%d.%d.%d", &a, &b, &c), 3);
}

Test(text, a_client_that_could_not_be_opened_still_says_why)
{
    fh_client *client;

    cr_assert_eq(fh_open("http://nowhere", NULL, &client), FH_INVALID);
    cr_assert_not_null(strstr(fh_errmsg(client), "farheap://"));
    fh_close(client);
    cr_assert_eq(fh_open("farheap://127.0.0.1:1", NULL, &client), FH_CONNECTION);
    cr_assert_not_null(strstr(fh_errmsg(client), "refused"), "%s", fh_errmsg(client));
    fh_close(client);
}
