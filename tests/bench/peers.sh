#!/usr/bin/env bash
# farheapd beside memcached, Redis and the bare machine: server CPU per operation, rate, latency, for each cell of
# {get, put} x sizes x pipelines x connections. Servers are pinned to one CPU, the load to another; the four take turns
# within each cell, round by round, with the same keys, sizes and seed, and medians over the rounds are told. "raw" is
# a bare epoll loop that answers the same requests and stores nothing (tests/bench/bench_wire.c).
# shellcheck disable=SC2030,SC2031 # the server under callgrind lives in a subshell
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh
. tests/support/rivals.sh

ops='get put' sizes='64 4KiB 64KiB 1MiB' pipelines='1 32' connections='16 256'
rounds=5 seconds=1 zones=1 json='' instructions=yes syscalls='' server_cpu=0 load_cpu=1

usage() {
    cat <<'TEXT'
./dev bench peers [OPTIONS]   one row per cell: server CPU in us per operation, farheap's ratio to the best peer, ...
  --ops LIST            of: get put               --sizes LIST        (64,4KiB,64KiB,1MiB)
  --pipelines LIST      (1,32)                    --connections LIST  (16,256)
  --rounds N            of each server per cell (5)    --seconds S    of each round (1)
  --zones N             of farheapd (1); with more than one nothing is pinned, and peers get as many workers
  --no-instructions     leave out the separate runs under callgrind
  --syscalls            count system calls per operation too, with strace (slow; not while CPU is measured)
  --json FILE           all of it as JSON lines, one per cell
TEXT
}

list() { tr ',' ' ' <<<"$1"; }

while [[ $# -gt 0 ]]; do
    case $1 in
    --ops) ops=$(list "$2") && shift ;;
    --sizes) sizes=$(list "$2") && shift ;;
    --pipelines) pipelines=$(list "$2") && shift ;;
    --connections) connections=$(list "$2") && shift ;;
    --rounds) rounds=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    --zones) zones=$2 && shift ;;
    --json) json=$2 && shift ;;
    --no-instructions) instructions='' ;;
    --syscalls) syscalls=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done

work=$(mktemp -d)
raw_pid='' raw_port=''
cleanup() {
    rivals_stop
    [[ -z $raw_pid ]] || kill "$raw_pid" 2>/dev/null || true
    server_cleanup
    rm -rf "$work"
}
trap cleanup EXIT

pin() { [[ $zones != 1 ]] || taskset -acp "$server_cpu" "$1" >/dev/null; }
loaded() { if [[ $zones = 1 ]]; then taskset -c "$load_cpu" "$@"; else "$@"; fi; }
keys_of() { # so that every server holds all of them, and the caches of the machine do not
    case $1 in *MiB) echo 100 ;; *KiB) [[ ${1%KiB} -gt 16 ]] && echo 1000 || echo 10000 ;; *) echo 10000 ;; esac
}

start_all() {
    server_start "$FARHEAP_BUILD" --memory=768MiB --swap-size=512MiB --zones="$zones" --max-connections=2000
    trap cleanup EXIT
    rivals_start 768 "$zones" -I 2m -c 2000 # objects of 1 MiB with their heads
    raw_port=$(free_port)
    "$FARHEAP_BUILD/tests/farheap-bench-wire" serve "$raw_port" &
    raw_pid=$!
    wait_for_port "$raw_port"
    local pid
    for pid in "$server_pid" "$memcached_pid" "$redis_pid" "$raw_pid"; do pin "$pid"; done
}

run() { # FILE OP SIZE PIPELINE CONNECTIONS ARGUMENT...
    loaded "$FARHEAP_BUILD/client/farheap" bench --mix "$2=1" --size "$3" --keys "$(keys_of "$3")" --dist uniform \
        -P "$4" -c "$5" -t 1 --percentiles 50,99 -q --no-server-stats --timeout 60s --json "$1" "${@:6}"
}

# A line for each target of the document: label, CPU us per operation, operations per second, p50 and p99 in us.
numbers() {
    awk -F'[:,]' '
        /"label"/ { gsub(/[" ]/, "", $2); label = $2; p50 = p99 = "" }
        /"50"/ && p50 == "" { p50 = $2 / 1000 }
        /"99"/ && p99 == "" { p99 = $2 / 1000 }
        /"median_ops_per_second"/ { rate = $2 }
        /"median_server_cpu_ns_per_op"/ { printf "%s %.3f %.0f %.0f %.0f\n", label, $2 / 1000, rate, p50, p99 }' "$1"
}

# Instructions of farheapd per operation: the difference of two runs, so that start, fill and end cancel out.
callgrind() { # OP SIZE PIPELINE CONNECTIONS REQUESTS
    local file=$work/callgrind.$5
    (
        server_pid='' server_dir=''
        mkdir -p "$work/valgrind/server"
        printf '#!/bin/sh\nexec valgrind -q --tool=callgrind --callgrind-out-file=%s %s "$@"\n' "$file" \
            "$FARHEAP_BUILD/server/farheapd" >"$work/valgrind/server/farheapd"
        chmod +x "$work/valgrind/server/farheapd"
        server_start "$work/valgrind" --memory=768MiB --swap-size=64MiB --zones=1
        run /dev/null "$1" "$2" "$3" "$4" -n "$5" --target "farheap=$server_url"
        server_stop
        rm -rf "$server_dir"
    ) || return 1
    awk '/^(summary|totals):/ { print $2; exit }' "$file"
}

instructions_of() { # OP SIZE PIPELINE CONNECTIONS
    local few=4000 many=14000 a b
    case $2 in 64KiB | 1MiB) few=200 many=700 ;; esac
    a=$(callgrind "$@" $few) || { echo -; return; }
    b=$(callgrind "$@" $many) || { echo -; return; }
    echo $(((b - a) / (many - few)))
}

# System calls of a server per operation while it is loaded.
syscalls_of() { # PID TARGET OP SIZE PIPELINE CONNECTIONS
    local before=$work/calls calls done_
    timeout -s INT 2.5 strace -c -f -q -p "$1" 2>"$before" >/dev/null &
    local tracer=$!
    sleep 0.3
    run "$work/calls.json" "$3" "$4" "$5" "$6" -d 1s --warmup 0s --target "$2"
    wait $tracer || true
    calls=$(awk '$NF == "total" { print $(NF - 1) == "total" ? $3 : $4; exit }' "$before")
    done_=$(awk -F'[:,]' '/"count"/ { print $2; exit }' "$work/calls.json")
    awk -v c="$calls" -v d="$done_" -v k="$(keys_of "$4")" 'BEGIN { if (d > 0) printf "%.2f", c / (d + 2 * k); else print "-" }'
}

mebibytes_in_flight() { # OP SIZE PIPELINE CONNECTIONS
    local bytes=$2
    case $2 in *MiB) bytes=$((${2%MiB} << 20)) ;; *KiB) bytes=$((${2%KiB} << 10)) ;; esac
    echo $(((bytes * $3 * $4) >> 20))
}

cell() { # OP SIZE PIPELINE CONNECTIONS
    local ir=- calls='' duration flight
    flight=$(mebibytes_in_flight "$@")
    if [[ $flight -gt 512 ]]; then
        printf '%-4s %6s %3s %4s  left out: %s MiB in flight, more than peers should be made to queue\n' "$@" "$flight"
        return
    fi
    # A round is long enough for all that is in flight to come around three times.
    duration=$(awk -v r="$rounds" -v s="$seconds" -v f="$flight" 'BEGIN { t = f * 3 / 600; if (t < s) t = s; printf "%dms", r * t * 1000 }')
    run "$work/j" "$@" -d "$duration" --rounds "$rounds" --warmup 100ms --assert errors==0 \
        --target "farheap=$server_url" --target "memcached=127.0.0.1:$memcached_port" \
        --target "redis=127.0.0.1:$redis_port" --target "memcached=127.0.0.1:$raw_port" \
        --server-pid "farheap=$server_pid" --server-pid "memcached=$memcached_pid" \
        --server-pid "redis=$redis_pid" --server-pid "memcached2=$raw_pid" || {
        printf '%-4s %6s %3s %4s  not measured\n' "$@"
        return
    }
    [[ -z $instructions ]] || ir=$(instructions_of "$@")
    if [[ -n $syscalls ]]; then
        calls=$(syscalls_of "$server_pid" "farheap=$server_url" "$@")
        calls+=" $(syscalls_of "$memcached_pid" "memcached=127.0.0.1:$memcached_port" "$@")"
        calls+=" $(syscalls_of "$redis_pid" "redis=127.0.0.1:$redis_port" "$@")"
    fi
    numbers "$work/j" | awk -v cell="$*" -v ir="$ir" -v calls="$calls" -v json="${json:-/dev/null}" '
        { cpu[NR] = $2; rate[NR] = $3; p50[NR] = $4; p99[NR] = $5 }
        END {
            best = cpu[2] < cpu[3] ? cpu[2] : cpu[3]
            fast = rate[2] > rate[3] ? rate[2] : rate[3]
            split(cell, c, " ")
            split("farheap memcached redis raw", name, " ")
            printf "%-4s %6s %3s %4s  %8.2f %8.2f %8.2f %8.2f  %5.2f  %8d %8d %8d %8d  %s/%s %s/%s %s/%s  %7s %s\n", c[1],
                c[2], c[3], c[4], cpu[1], cpu[2], cpu[3], cpu[4], cpu[1] / best, rate[1], rate[2], rate[3], rate[4],
                p50[1], p99[1], p50[2], p99[2], p50[3], p99[3], ir, calls
            printf "{\"op\":\"%s\",\"size\":\"%s\",\"pipeline\":%d,\"connections\":%d", c[1], c[2], c[3], c[4] >>json
            for (i = 1; i <= 4; i++)
                printf ",\"%s\":{\"cpu_us\":%s,\"ops\":%s,\"p50_us\":%s,\"p99_us\":%s}", name[i], cpu[i], rate[i],
                    p50[i], p99[i] >>json
            printf ",\"cpu_ratio\":%.3f,\"rate_ratio\":%.3f,\"raw_rate_ratio\":%.3f", cpu[1] / best, rate[1] / fast,
                rate[1] / rate[4] >>json
            printf ",\"instructions\":\"%s\",\"syscalls\":\"%s\"}\n", ir, calls >>json
        }'
}

start_all
[[ -z $json ]] || : >"$json"
printf 'farheapd: %s zones; %s: %s workers; %s: no persistence; %s CPUs; medians of %s rounds of %s s\n' "$zones" \
    "$(memcached -V)" "$zones" "$(redis-server --version | cut -d' ' -f1-3)" "$(nproc)" "$rounds" "$seconds"
printf 'raw stream over loopback, 64 KiB: %s\n' "$("$FARHEAP_BUILD/tests/farheap-bench-wire" stream 65536 1)"
printf 'raw stream over loopback, 1 MiB:  %s\n' "$("$FARHEAP_BUILD/tests/farheap-bench-wire" stream 1048576 1)"
printf '%-4s %6s %3s %4s  %-35s  %5s  %-35s  %-24s  %7s %s\n' '' '' '' '' 'server CPU us per operation' '' \
    'operations per second' 'p50/p99 us' '' ''
printf '%-4s %6s %3s %4s  %8s %8s %8s %8s  %5s  %8s %8s %8s %8s  %-24s  %7s %s\n' OP SIZE P CONN farheap memcach redis \
    raw RATIO farheap memcach redis raw 'farheap memcached redis' INSTR "${syscalls:+CALLS/OP farheap memcached redis}"
for size in $sizes; do
    for op in $ops; do
        for pipeline in $pipelines; do
            for conns in $connections; do cell "$op" "$size" "$pipeline" "$conns"; done
        done
    done
done
