#!/usr/bin/env bash
# A working set of 1, 2, 4 and 8 times the memory: farheapd with its own pager, Redis on the kernel's swap, memcached with
# extstore; each alone in a memory cgroup of the same size, on the same disk, under the same load (zipf 1.0). Two loads:
# objects of 4 KiB read whole, and 64 bytes of objects of 1 MiB. When asked for, two more, of objects of 4 KiB: uniform keys,
# and a tenth of the operations writes; and one more system, farheapd with all its data in a region that the kernel pages, which
# tells what the pager itself is good for. Needs root: cgroups, swapon, dropping caches.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
: "${FARHEAP_BUILD:?the folder of a build}"
. "$top/tests/support/server.sh"
. "$top/tests/support/rivals.sh"

memory=256 fill_rate=50 ratios='1 2 4 8' loads='whole range' systems='farheap redis memcached' seconds=5 clients=16 rounds=1
folder=${TMPDIR:-/var/tmp} json='' svg=''

usage() {
    cat <<'TEXT'
./dev bench overcommit [OPTIONS]    throughput, p50 and p99 of three systems as the working set outgrows the memory
  --memory MIB      of each system, everything it needs included (256)
  --ratios LIST     working set / memory (1,2,4,8)         --loads LIST      whole, range (both); uniform, writes
  --systems LIST    farheap, redis, memcached (all);       --seconds N       measured per cell (5)
                    kernel: farheapd, paged by the kernel
  --clients N       connections, one request each (16)     --rounds N        medians of so many (1)
  --fill-rate MIB   per second, of memcached (50)
  --folder DIR      where swap and data lie (TMPDIR, /var/tmp)
  --json FILE       a line per cell                        --svg FILE        the picture
TEXT
}

list() { tr ',' ' ' <<<"$1"; }

while [[ $# -gt 0 ]]; do
    case $1 in
    --memory) memory=$2 && shift ;;
    --ratios) ratios=$(list "$2") && shift ;;
    --loads) loads=$(list "$2") && shift ;;
    --systems) systems=$(list "$2") && shift ;;
    --seconds) seconds=$2 && shift ;;
    --clients) clients=$2 && shift ;;
    --rounds) rounds=$2 && shift ;;
    --fill-rate) fill_rate=$2 && shift ;;
    --folder) folder=$2 && shift ;;
    --json) json=$2 && shift ;;
    --svg) svg=$2 && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
[[ $(id -u) = 0 ]] || { echo "overcommit: needs root, for cgroups and swap" >&2; exit 1; }

work=$(mktemp -d "$folder/farheap-overcommit.XXXXXX")
cgroup=/sys/fs/cgroup/memory/farheap-overcommit-$$
version=1
[[ -d /sys/fs/cgroup/memory ]] || { version=2 && cgroup=/sys/fs/cgroup/farheap-overcommit-$$; }
swap_on=''

cleanup() {
    systems_stop
    [[ -z $swap_on ]] || swapoff "$swap_on" || true
    [[ ! -d $cgroup ]] || rmdir "$cgroup" || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

systems_stop() {
    local pid
    for pid in "$server_pid" "$redis_pid" "$memcached_pid"; do
        [[ -n $pid ]] || continue
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    server_pid='' redis_pid='' memcached_pid=''
    [[ -z $server_dir ]] || rm -rf "$server_dir"
    rm -f "$work/ext"
}

# The cgroup, and this shell in it for a moment, so that what is started there is born inside.
cgroup_make() {
    mkdir -p "$cgroup"
    if [[ $version = 1 ]]; then
        echo $((memory << 20)) >"$cgroup/memory.limit_in_bytes"
    else
        echo $((memory << 20)) >"$cgroup/memory.max"
    fi
}

cgroup_enter() { echo "$BASHPID" >"$cgroup/cgroup.procs"; }
cgroup_leave() { echo "$BASHPID" >"$(dirname "$cgroup")/cgroup.procs"; }

swap_make() {
    swap_on=$work/swap
    fallocate -l $((memory * 16))M "$swap_on"
    chmod 600 "$swap_on"
    mkswap "$swap_on" >/dev/null
    swapon "$swap_on" || { swap_on='' && echo "overcommit: swapon is not allowed here" >&2 && exit 1; }
}

# farheapd refuses more than the cgroup allows with its books and buffers, and says what it would take; the books of the
# objects and their names, 100 bytes each, come on top of that. Swap is more than twice the data; the kernel's for
# Redis, which gives up the place of a page read back when more than half is in use, is larger still.
start_farheap() { # MEBIBYTES OBJECTS
    local swap=$(($1 * 9 / 4 + 64))MiB most
    most=$("$FARHEAP_BUILD/server/farheapd" --listen=127.0.0.1:0,plain --admin-listen=127.0.0.1:0 --zones=1 \
        --swap="$work" --swap-size="$swap" --memory="${memory}MiB" 2>&1 | sed -nE 's/.*set memory to ([0-9]+) at most.*/\1/p')
    [[ -n $most ]] || { echo "overcommit: farheapd did not say how much memory it can have" >&2 && return 1; }
    server_start "$FARHEAP_BUILD" --memory=$((((most - $2 * 100) >> 20) - 4))MiB --swap-size="$swap"
    # shellcheck disable=SC2154 # set by server_start
    target=farheap=$server_url
}

# The same server with a region as large as the data and no swap of its own. It does not see the cgroup it is in: it would
# refuse more memory than that has.
start_kernel() { # MEBIBYTES
    mkdir -p "$work/kernel/server"
    cat >"$work/kernel/server/farheapd" <<TEXT
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && exec "\$@"' sh "$FARHEAP_BUILD/server/farheapd" "\$@"
TEXT
    chmod +x "$work/kernel/server/farheapd"
    server_start "$work/kernel" --memory=$(($1 * 11 / 10 + 64))MiB --swap-size=0
    target=farheap=$server_url
}

start_redis() {
    redis_port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --daemonize no >/dev/null &
    redis_pid=$!
    wait_for_port "$redis_port"
    target=redis=127.0.0.1:$redis_port
}

# Two thirds of the memory for items; the rest is its hash table, write buffers and the page cache of its file.
start_memcached() { # MEBIBYTES
    memcached_port=$(free_port)
    memcached -u root -l 127.0.0.1 -p "$memcached_port" -t 2 -m $((memory * 2 / 3)) -I 2m \
        -o "ext_path=$work/ext:$(($1 * 2 + 512))M,ext_threads=8,ext_item_size=512,ext_recache_rate=10,slab_automove=1,slab_automove_freeratio=0.1" &
    memcached_pid=$!
    wait_for_port "$memcached_port"
    target=memcached=127.0.0.1:$memcached_port
}

field() { sed -nE "s/^ *\"$1\": ([0-9.]+),?\$/\1/p" "$work/out" | head -n 1; }

# One system, one size: throughput, p50 and p99 in us, misses and errors. The objects are new each time.
cell() { # SYSTEM LOAD RATIO
    local bytes=4096 objects touch=() fill=() target='' mix=get=1 dist=zipf:1.0
    local mebibytes=$((memory * $3))
    case $2 in
    range) bytes=1048576 && touch=(--touch 64) ;;
    uniform) dist=uniform ;;
    writes) mix=get=9,put=1 ;;
    esac
    objects=$((mebibytes * 1048576 / bytes))
    # memcached drops or refuses what comes faster than its writer can put it into the file
    [[ $1 != memcached ]] || fill=(--fill-rate $((fill_rate * 1048576 / bytes)))
    sync
    echo 3 >/proc/sys/vm/drop_caches
    rm -f "$work/out"
    cgroup_enter
    "start_$1" "$mebibytes" "$objects"
    cgroup_leave
    "$FARHEAP_BUILD/client/farheap" bench --mix $mix --dist $dist --size $bytes "${touch[@]}" "${fill[@]}" --keys $objects \
        -c "$clients" -t 1 -P 1 -d "${seconds}s" --warmup 2s --keep -q --timeout 60s --no-server-stats \
        --percentiles 50,99 --target "$target" --json "$work/out" >/dev/null || true
    systems_stop
    printf '%s %s %s %.0f %.0f %.0f %s\n' "$1" "$2" "$3" "$(field ops_per_second)" \
        "$(awk "BEGIN { print $(field 50) / 1000 }")" "$(awk "BEGIN { print $(field 99) / 1000 }")" "$(field errors)"
}

median_cell() { # SYSTEM LOAD RATIO
    local i
    for ((i = 0; i < rounds; i++)); do cell "$@"; done | sort -n -k 4 | sed -n "$(((rounds + 1) / 2))p"
}

# Two rows of panels, throughput and p99, a column for each load; logarithmic both ways.
picture() {
    awk -v ratios="$ratios" -v memory="$memory" '
        function x(load, ratio) { return 70 + 400 * (load == "range") + 300 * log(ratio) / log(8) }
        function y(row, value) {
            if (value < 1) value = 1
            return (row == 0 ? 260 : 540) - 200 * log(value) / log(10) / (row == 0 ? 5.5 : 6.5)
        }
        function panel(load, row, title,   e) {
            printf "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s</text>\n", x(load, 1), y(row, 1) - 212, title
            for (e = 0; e <= (row == 0 ? 5 : 6); e++) {
                printf "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x(load, 1), x(load, 8), y(row, 10 ^ e), y(row, 10 ^ e)
                printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">10<tspan dy=\"-4\" font-size=\"8\">%d</tspan></text>\n", x(load, 1) - 6, y(row, 10 ^ e) + 4, e
            }
            for (e = 1; e <= 8; e *= 2)
                printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d x</text>\n", x(load, e), y(row, 1) + 16, e
        }
        function curve(who, load, row, column,   i, n, r, points) {
            n = split(ratios, r, " ")
            for (i = 1; i <= n; i++)
                if ((who, load, r[i], column) in v) {
                    points = points sprintf("%.1f,%.1f ", x(load, r[i]), y(row, v[who, load, r[i], column]))
                    printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x(load, r[i]), y(row, v[who, load, r[i], column]), color[who]
                }
            printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", points, color[who]
        }
        $2 == "whole" || $2 == "range" { v[$1, $2, $3, 4] = $4; v[$1, $2, $3, 6] = $6; seen[$2] = 1 }
        END {
            color["farheap"] = "#1a7f37"; color["redis"] = "#cf222e"; color["memcached"] = "#0969da"
            title["whole"] = "objects of 4 KiB"; title["range"] = "64 B of objects of 1 MiB"
            print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"820\" height=\"600\" font-family=\"sans-serif\" font-size=\"11\">"
            print "<rect width=\"820\" height=\"600\" fill=\"white\"/>"
            i = 0
            for (s in color) {
                printf "<rect x=\"%d\" y=\"8\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"18\">%s</text>\n", 70 + 110 * i, color[s], 88 + 110 * i, s
                i++
            }
            printf "<text x=\"420\" y=\"18\">working set as a multiple of %d MiB of memory, zipf 1.0</text>\n", memory
            for (load in seen) {
                panel(load, 0, "operations per second, " title[load])
                panel(load, 1, "p99 in us, " title[load])
                for (s in color) {
                    curve(s, load, 0, 4)
                    curve(s, load, 1, 6)
                }
            }
            print "</svg>"
        }' "$1"
}

cgroup_make
swap_make
printf 'memory %s MiB each, cgroup v%s; zipf 1.0 unless uniform, %s connections, %s s per cell; %s, %s\n' "$memory" "$version" "$clients" \
    "$seconds" "$(memcached -V)" "$(redis-server --version | cut -d' ' -f1-3)"
printf '%-6s %5s %-10s %10s %10s %12s %8s   %s\n' LOAD RATIO SYSTEM OPS/S 'P50 us' 'P99 us' ERRORS 'beside farheap'
: >"$work/cells"
for load in $loads; do
    for ratio in $ratios; do
        [[ $load =~ ^(whole|range|uniform|writes)$ ]] || { usage >&2 && exit 2; }
        for system in $systems; do
            row=$(median_cell "$system" "$load" "$ratio")
            echo "$row" >>"$work/cells"
            # shellcheck disable=SC2086 # words on purpose
            set -- $row
            beside=$(awk -v s="$system" -v l="$load" -v r="$ratio" -v rate="$4" -v p99="$6" '
                $1 == "farheap" && $2 == l && $3 == r && s != "farheap" && rate > 0 && p99 > 0 {
                    printf "%.1fx the rate, %.2fx the p99 of it", $4 / rate, $6 / p99 }' "$work/cells")
            printf '%-6s %4sx %-10s %10s %10s %12s %8s   %s\n' "$load" "$ratio" "$system" "$4" "$5" "$6" "$7" "$beside"
        done
    done
done
if [[ -n $json ]]; then
    awk -v memory="$memory" '{ printf "{\"memory_mib\": %d, \"system\": \"%s\", \"load\": \"%s\", \"ratio\": %d, \"ops_per_second\": %d, \"p50_us\": %d, \"p99_us\": %d, \"errors\": %d}\n", memory, $1, $2, $3, $4, $5, $6, $7 }' \
        "$work/cells" >"$json"
fi
[[ -z $svg ]] || picture "$work/cells" >"$svg"
