#!/usr/bin/env bash
# Memory that was of one size becomes memory of another: farheapd without and with swap beside memcached as it comes,
# the same memory for each. Usage: phases.sh [MEBIBYTES] [OPTION of farheap-bench-phases...]
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh
. tests/support/rivals.sh

memory=128
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    memory=$1
    shift
fi
first_pid='' first_dir=''

cleanup() {
    rivals_stop
    [[ -z $first_pid ]] || kill -KILL "$first_pid" 2>/dev/null || true
    [[ -z $first_dir ]] || rm -rf "$first_dir"
    server_cleanup
}

server_start "$FARHEAP_BUILD" --memory="${memory}MiB" --swap-size=0
first_pid=$server_pid first_dir=$server_dir first_url=$server_url
server_start "$FARHEAP_BUILD" --memory="${memory}MiB" --swap-size="$((4 * memory))MiB"
trap cleanup EXIT
rivals_start "$memory" 1
printf '%d MiB of memory each; farheapd: one zone; %s: one worker, its defaults otherwise\n' "$memory" "$(memcached -V)"
"$FARHEAP_BUILD/tests/farheap-bench-phases" --memory "$memory" "$@" "farheap without swap=$first_url" \
    "farheap with swap=$server_url" "memcached=127.0.0.1:$memcached_port"
