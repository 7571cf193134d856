#!/usr/bin/env bash
# Memory of one size becomes memory of another, on a small scale: nothing is lost and every value is right, with swap
# and without.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh

for swap in 0 64MiB; do
    server_start "$FARHEAP_BUILD" --memory=16MiB --swap-size=$swap
    "$FARHEAP_BUILD/tests/farheap-bench-phases" --memory 16 --settle 0 "farheap=$server_url"
    server_stop
    server_cleanup
done
