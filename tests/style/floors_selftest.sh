#!/usr/bin/env bash
# Tries floors.sh on small trees with one planted violation each, and on one without.
# Last line: "N passed, N failed, N skipped".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

put() { # FILE INCLUDE...
    local file=$tree/$1
    mkdir -p "${file%/*}"
    printf '#include %s\n' "${@:2}" >"$file"
}

clean_tree() {
    rm -rf "${tree:?}"/*
    put alloc/ids.h '<stdint.h>'
    put alloc/buddy.h '"ids.h"'
    put alloc/buddy.c '"buddy.h"'
    put alloc/pager.h '"ids.h"'
    put alloc/pager_private.h '"pager.h"'
    put alloc/pager.c '"pager.h"' '"pager_private.h"'
    put alloc/io_uring.c '"io.h"' '<liburing.h>'
    put alloc/io.h '<stddef.h>'
    put proto/frame.h '<stddef.h>'
    put proto/status.h '<stddef.h>'
    put client/farheap.h '<stddef.h>'
    put server/ops.c '"alloc/pager.h"' '"proto/frame.h"'
    put server/outq.c '"proto/frame.h"' '"alloc/ids.h"'
    put tests/unit/alloc/test_buddy.c '"alloc/buddy.h"' '<criterion/criterion.h>'
}

# expect STATUS WORDS WHAT: the verdict of floors.sh and what it names.
expect() {
    local status=0 out
    out=$("$here/floors.sh" "$tree" 2>&1) || status=$?
    if [[ $status = "$1" && $out == *"$2"* ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'floors: %s: exit %s, said: %s\n' "$3" "$status" "$out"
    fi
    clean_tree
}

clean_tree
expect 0 "" "a clean tree passes"
put alloc/buddy.c '"pager.h"'
expect 1 "alloc/buddy.c: floor 3 includes alloc/pager.h of floor 6" "an include upwards"
put alloc/buddy.c '"alloc/pager.h"'
expect 1 "alloc/buddy.c: floor 3" "an include upwards, from the root"
put alloc/buddy.c '  "slots.h"' && put alloc/slots.h '<stddef.h>'
expect 1 "alloc/buddy.c: floor 3 includes alloc/slots.h" "an include sideways"
put alloc/buddy.c '"proto/status.h"'
expect 1 "alloc/buddy.c: may not see proto/status.h" "the engine seeing the wire"
put client/url.c '"alloc/ids.h"'
expect 1 "client/url.c: may not see" "the client seeing the engine"
put server/conn.c '"alloc/pager.h"'
expect 1 "server/conn.c: is no file of the engine" "a connection seeing the pager"
put server/metrics.c '"alloc/pager.h"' '"proto/frame.h"'
expect 1 "server/metrics.c: joins" "wire and engine joined beside the border"
put alloc/buddy.c '<event2/event.h>'
expect 1 "alloc/buddy.c: may not include <event2/event.h>" "a library out of place"
put alloc/io_threads.c '<liburing.h>'
expect 1 "alloc/io_threads.c: may not include <liburing.h>" "io_uring beside its file"
put server/outq.c '"farheap.pb-c.h"'
expect 1 "server/outq.c: may not include farheap.pb-c.h" "generated messages out of place"
put alloc/tower.c '<stdio.h>'
expect 1 "alloc/tower.c: has no floor" "a file without a floor"
put tests/e2e/test_all.c '"alloc/ids.h"'
expect 1 "tests/e2e/test_all.c: may not see" "an end-to-end test seeing the engine"
echo "$passed passed, $failed failed, 0 skipped"
[[ $failed = 0 ]]
