#!/usr/bin/env bash
# farheapd beside memcached and Redis on this machine: server CPU per operation and operations per second, for small
# and large objects, one at a time and 32 in flight. The three take turns within each run, same keys, sizes and seed.
# Usage: compare.sh [SECONDS per measurement]
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh
. tests/support/rivals.sh

seconds=${1:-3}
threads=2 # zones of farheapd, workers of memcached; Redis has one thread for commands by design
json=$(mktemp)

cleanup() {
    rm -f "$json"
    rivals_stop
    server_cleanup
}

# The document's numbers, a line for each target: label, server CPU in us per operation, operations per second.
numbers() {
    awk -F'[:,]' '
        /"label"/ { gsub(/[" ]/, "", $2); label = $2 }
        /"ops_per_second"/ { rate = $2 }
        /"server_cpu_ns_per_op"/ { printf "%s %.2f %.0f\n", label, $2 / 1000, rate }' "$json"
}

measure() { # SIZE KEYS PIPELINE OP
    "$FARHEAP_BUILD/client/farheap" bench --mix "$4=1" --size "$1" --keys "$2" --dist uniform -P "$3" -c 4 -t 1 \
        -d "${seconds}s" --warmup 200ms -q --assert errors==0 --json "$json" \
        --target "farheap=$server_url" --target "memcached=127.0.0.1:$memcached_port" \
        --target "redis=127.0.0.1:$redis_port" --server-pid "farheap=$server_pid" \
        --server-pid "memcached=$memcached_pid" --server-pid "redis=$redis_pid"
    # shellcheck disable=SC2046,SC2183 # words on purpose
    printf '%-7s %-4s %8s   %11s %11s %11s   %9s %9s %9s\n' "$1" "$4" "$3" \
        $(numbers | awk '{ cpu[NR] = $2; rate[NR] = $3 } END { print cpu[1], cpu[2], cpu[3], rate[1], rate[2], rate[3] }')
}

server_start "$FARHEAP_BUILD" --memory=512MiB --swap-size=512MiB --zones=$threads
trap cleanup EXIT
rivals_start 512 $threads
printf 'server CPU per operation and operations per second; 4 connections, closed loop, loopback, %d CPUs shared with the client\n' "$(nproc)"
printf 'farheapd: %d zones; %s: %d workers; %s: no persistence\n' $threads "$(memcached -V)" $threads \
    "$(redis-server --version | cut -d' ' -f1-3)"
printf '%-7s %-4s %8s   %11s %11s %11s   %9s %9s %9s\n' OBJECT OP PIPELINE 'farheap us' 'memcached us' 'redis us' \
    'farheap/s' 'memcached/s' 'redis/s'
for size in 64 64KiB; do
    keys=10000
    [[ $size = 64 ]] || keys=1000
    for pipeline in 1 32; do
        for op in get put; do
            measure $size $keys $pipeline $op
        done
    done
done
