#!/usr/bin/env bash
# What a small object costs: the memory that farheapd, memcached and Redis gain by a million objects of 100 bytes under
# names of 20, in one run. Usage: memory.sh [OBJECTS]
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh
. tests/support/rivals.sh

objects=${1:-1000000}

cleanup() {
    rivals_stop
    server_cleanup
}

status() { awk -v key="$1:" '$1 == key { print $2 * 1024 }' "/proc/$2/status"; }

# Loads one server and prints what it cost: LABEL TARGET PID. The load tester deletes its objects at the end, so the
# peak is what counts.
load() {
    local before
    before=$(status VmRSS "$3")
    "$FARHEAP_BUILD/client/farheap" bench --mix get=1 --dist uniform --size 100 --keys "$objects" -P 64 -c 4 -t 1 \
        -n 10000 -q --assert errors==0 --target "$1=$2"
    awk -v label="$1" -v before="$before" -v peak="$(status VmHWM "$3")" -v n="$objects" 'BEGIN {
        printf "%-10s %7.1f bytes per object   %7.1f MiB in all\n", label, (peak - before) / n, peak / 1048576 }'
}

server_start "$FARHEAP_BUILD" --memory=1GiB --swap-size=0
trap cleanup EXIT
rivals_start 2048 1
printf '%d objects of 100 bytes under names of 20 bytes: memory gained at the peak\n' "$objects"
load farheap "$server_url" "$server_pid"
load memcached "127.0.0.1:$memcached_port" "$memcached_pid"
load redis "127.0.0.1:$redis_port" "$redis_pid"
