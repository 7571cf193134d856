/* The library as others meet it: installed into a prefix, found by pkg-config and by CMake. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/wire/server_process.h"

static struct server_process server;

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

/* A program must be built as its library is: same compiler, same sanitizers. */
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define EXAMPLE_FLAGS "-fsanitize=address,undefined"
#else
#define EXAMPLE_FLAGS ""
#endif

#if defined(__clang__)
#define EXAMPLE_CC "clang"
#else
#define EXAMPLE_CC "gcc"
#endif

static int shell(const char *format, ...)
{
    char line[2048];
    va_list arguments;
    int status;
    size_t size = (size_t)snprintf(line, sizeof(line), "{ ");

    va_start(arguments, format);
    size += (size_t)vsnprintf(line + size, sizeof(line) - size, format, arguments);
    va_end(arguments);
    (void)snprintf(line + size, sizeof(line) - size, "; } >log 2>&1");
    status = system(line);
    if (status != 0)
        status |= system("cat log >&2");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Installs what is built into prefix/ of the server's folder. */
static void setup(void)
{
    char build[512], url[64];

    (void)snprintf(build, sizeof(build), "%s", FARHEAPD);
    *strrchr(build, '/') = '\0'; /* .../server */
    *strrchr(build, '/') = '\0';
    cr_assert_eq(server_process_start(&server, FARHEAPD, NULL), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    (void)setenv("URL", url, 1);
    (void)setenv("CC", EXAMPLE_CC, 1);
    (void)setenv("CFLAGS", EXAMPLE_FLAGS, 1);
    (void)setenv("EXAMPLE", FARHEAP_SOURCE_DIR "/client/examples/hello.c", 1);
    cr_assert_eq(chdir(server.folder), 0);
    cr_assert_eq(shell("cmake --install %s --prefix \"$PWD/prefix\"", build), 0);
    cr_assert_eq(shell("find \"$PWD/prefix\" -name farheap.pc -printf %%h > pc &&"
                       " find \"$PWD/prefix\" -name 'libfarheap.so.0' -printf %%h > lib"),
                 0);
}

static void teardown(void)
{
    if (chdir("/") != 0) /* out of the folder that is removed next */
        perror("/");
    server_process_fini(&server);
}

TestSuite(install, .init = setup, .fini = teardown, .timeout = 300);

static void expect_hello(const char *command)
{
    cr_assert_eq(shell("%s \"$URL\" > said && printf 'hello, far memory\\nin the middle\\n' |"
                       " cmp - said",
                       command),
                 0, "%s", command);
}

Test(install, pkg_config_builds_the_example_against_the_shared_library)
{
    cr_assert_eq(shell("export PKG_CONFIG_PATH=$(cat pc) && $CC $CFLAGS -Wall -Werror -std=c11"
                       " $(pkg-config --cflags farheap) $EXAMPLE -o hello"
                       " $(pkg-config --libs farheap)"),
                 0);
    expect_hello("LD_LIBRARY_PATH=$(cat lib) ./hello");
}

Test(install, pkg_config_builds_the_example_against_the_archive)
{
    cr_assert_eq(shell("export PKG_CONFIG_PATH=$(cat pc) && rm $(cat lib)/libfarheap.so* &&"
                       " $CC $CFLAGS -Wall -Werror -std=c11 $(pkg-config --cflags farheap)"
                       " $EXAMPLE -o hello $(pkg-config --static --libs farheap)"),
                 0);
    expect_hello("./hello");
}

Test(install, one_thread_keeps_many_requests_in_flight)
{
    cr_assert_eq(shell("export PKG_CONFIG_PATH=$(cat pc) && $CC $CFLAGS -Wall -Werror -std=c11"
                       " $(pkg-config --cflags farheap) %s/client/examples/async.c -o async"
                       " $(pkg-config --libs farheap)",
                       FARHEAP_SOURCE_DIR),
                 0);
    cr_assert_eq(shell("LD_LIBRARY_PATH=$(cat lib) ./async \"$URL\" 32 0.3 5000 > said &&"
                       " grep 'gets of 5000 bytes, 32 in flight: [1-9]' said"),
                 0);
}

Test(install, the_client_runs_in_a_libevent_loop)
{
    cr_assert_eq(shell("export PKG_CONFIG_PATH=$(cat pc)${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} &&"
                       " $CC $CFLAGS -Wall -Werror -std=c11"
                       " $(pkg-config --cflags farheap libevent_core)"
                       " $(dirname $EXAMPLE)/libevent.c -o loop"
                       " $(pkg-config --libs farheap libevent_core) &&"
                       " LD_LIBRARY_PATH=$(cat lib) ./loop \"$URL\" > said &&"
                       " echo '100 objects put and got, 0 failures' | cmp - said"),
                 0);
}

Test(install, cmake_builds_the_example_from_a_moved_prefix)
{
    cr_assert_eq(
        shell("mv prefix moved && mkdir project && cp $EXAMPLE project/hello.c &&"
              " printf '%%s\\n' 'cmake_minimum_required(VERSION 3.25)'"
              " 'project(hello LANGUAGES C)' 'find_package(farheap 0.1 REQUIRED)'"
              " 'add_executable(hello hello.c)'"
              " 'target_link_libraries(hello farheap::farheap)'"
              " 'add_executable(hello-static hello.c)'"
              " 'target_link_libraries(hello-static farheap::farheap_static)'"
              " > project/CMakeLists.txt &&"
              " cmake -G Ninja -S project -B project/build -DCMAKE_PREFIX_PATH=\"$PWD/moved\" &&"
              " cmake --build project/build"),
        0);
    expect_hello("project/build/hello");
    expect_hello("project/build/hello-static");
}

Test(install, the_installed_tool_finds_its_library)
{
    cr_assert_eq(shell("prefix/bin/farheap -u \"$URL\" ping"), 0);
}

Test(install, the_header_is_c_and_cpp)
{
    cr_assert_eq(shell("echo '#include <farheap.h>' > h.c && cp h.c h.cpp &&"
                       " $CC -std=c99 -Wall -Wextra -pedantic -Werror -Iprefix/include"
                       " -fsyntax-only h.c &&"
                       " $CC -x c++ -std=c++11 -Wall -Wextra -pedantic -Werror -Iprefix/include"
                       " -fsyntax-only h.cpp"),
                 0);
}

Test(install, only_the_functions_of_the_header_are_exported)
{
    cr_assert_eq(shell("nm -D --defined-only $(cat lib)/libfarheap.so.0 | sed 's/@.*//' |"
                       " awk '$2 == \"T\" { print $3 }' | sort > exported &&"
                       " tr '\\n' ' ' < prefix/include/farheap.h | grep -o 'FH_API [^;(]*(' |"
                       " grep -o 'fh_[a-z0-9_]*($' | tr -d '(' | sort > promised &&"
                       " test $(wc -l < promised) -gt 40 && diff exported promised &&"
                       " ! nm -D --defined-only $(cat lib)/libfarheap.so.0 | sed 's/@.*//' |"
                       " awk '$2 != \"T\" && $2 != \"A\"' | grep ."),
                 0);
}
