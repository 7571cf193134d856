#!/usr/bin/env bash
# Crashes of a server that keeps durable objects; what was acknowledged must be there afterwards, and nothing mixed.
#
#   tests/crash.sh BUILD kill ROUNDS     SIGKILL at a random moment, under load
#   tests/crash.sh BUILD calls [EVERY]   the end at the n-th call that changes a file, each n (or each EVERY-th), also while starting
#   tests/crash.sh BUILD fails [EVERY]   the n-th write or sync of the catalog fails, alone or with all after it, each n (or each EVERY-th)
#   tests/crash.sh BUILD power ROUNDS    a file system of its own loses its power (root, loop devices); exit 77 if it cannot
#   tests/crash.sh BUILD lies ROUNDS     a disk behind it is full, so syncs fail: nothing is acknowledged that is not there
#
# The last line says how many rounds were passed.
set -uo pipefail
build=$(cd "$1" && pwd) || exit 2
oracle=$build/crash/crash-oracle
keys=24 workers=3 zones=2
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/farheap-crash.XXXXXX")
data=$dir/data server='' url='' preload=() start_code=0

cleanup() {
    [[ -z $server ]] || { kill -KILL "$server"; wait "$server"; } 2>/dev/null
    ! mountpoint -q "$dir/mount" 2>/dev/null || umount -l "$dir/mount"
    ! mountpoint -q "$dir/thin" 2>/dev/null || umount -l "$dir/thin"
    rm -rf "$dir"
}
trap cleanup EXIT

fail() {
    echo "FAILED: $*"
    tail -n 20 "$dir"/log "$dir"/out.* 2>/dev/null
    exit 1
}

# Starts a server and waits until it listens; false when it ended before that.
start() {
    : >"$dir/log"
    mkdir -p "$dir/swap"
    env "${preload[@]}" "$build/server/farheapd" --listen=127.0.0.1:0,plain --admin-listen=none --zones=$zones --io=threads \
        --memory=16MiB --swap-size=0 --swap="$dir/swap" --data-dir="$data" --log-format=text >"$dir/log" 2>&1 &
    server=$!
    for _ in $(seq 3000); do
        url=$(sed -nE 's/.*\blistening on ([0-9.]+:[0-9]+).*/farheap:\/\/\1/p' "$dir/log" | head -n 1)
        [[ -z $url ]] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.02
    done
    wait "$server" 2>/dev/null
    start_code=$?
    server=''
    return 1
}

end() {
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=''
}

work() { # SEED: all workers in the background
    pids=()
    for ((w = 0; w < workers; w++)); do
        "$oracle" work "$url" "$dir/acks.$w" "w$w" $keys $(($1 * 100 + w)) >"$dir/out.$w" 2>&1 &
        pids+=($!)
    done
}

check() {
    for ((w = 0; w < workers; w++)); do
        "$oracle" check "$url" "$dir/acks.$w" "w$w" $keys >"$dir/out.$w" 2>&1 || fail "round $1: $(cat "$dir/out.$w")"
    done
}

moment() { sleep "0.$(printf '%03d' $((RANDOM % 500)))"; }

# Starts it, under load kills it, starts it again, checks.
kill_rounds() {
    for ((round = 1; round <= $1; round++)); do
        start || fail "round $round: no start"
        work "$round"
        moment
        end
        wait "${pids[@]}" 2>/dev/null
        start || fail "round $round: no start after the kill"
        check "$round"
        end
    done
    echo "$(($1)) rounds of kill -9: $(acknowledged) steps acknowledged, 0 lost, 0 mixed"
}

acknowledged() { cat "$dir"/acks.* | grep -c ' ok$'; }

# A crash at each call of a history, then crashes of the starts that follow, until one comes through.
calls() {
    local every=$1 n tries
    workers=1 keys=6 zones=1
    for ((n = 1;; n += every)); do
        rm -rf "$data" "$dir"/acks.*
        preload=(LD_PRELOAD="$build/crash/crash_at.so" CRASH_AT="$n")
        if start; then
            "$oracle" once "$url" "$dir/acks.0" w0 $keys 5 30 >"$dir/out.0" 2>&1
            end
            ! grep -q '^30 steps' "$dir/out.0" || break
        fi
        for ((tries = 1;; tries += 2)); do
            preload=(LD_PRELOAD="$build/crash/crash_at.so" CRASH_AT="$tries")
            ! start || break
            [[ $tries -lt 200 ]] || fail "crash at call $n: never starts again"
        done
        end
        preload=()
        start || fail "crash at call $n: no start"
        check "$n"
        end
    done
    [[ $n -gt 20 ]] || fail "only $n calls in the history"
    echo "a crash at every ${every}. of $((n - 1)) calls, and in the starts that followed: 0 lost, 0 mixed"
}

# A catalog whose n-th write or sync fails. What was acknowledged stays, the refusal is of a kind of its own, reading goes
# on; and changes do too, or the log says what to do.
fail_round() { # N COUNT; false when the history has no n-th call
    rm -rf "$data" "$dir"/acks.*
    : >"$dir/acks.0"
    : >"$dir/acks.1"
    preload=(ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" LD_PRELOAD="$build/crash/crash_at.so"
        FAIL_FILE=catalog.mdb FAIL_AT="$1" FAIL_COUNT="$2")
    if start; then
        "$oracle" once "$url" "$dir/acks.0" w0 $keys 5 "$steps" >"$dir/out.0" 2>&1
        if grep -q "^$steps steps" "$dir/out.0"; then
            end
            return 1
        fi
        grep -q '^then: .*: IO_ERROR:' "$dir/out.0" || fail "call $1: not IO_ERROR"
        "$oracle" once "$url" "$dir/acks.1" w1 $keys 77 5 >"$dir/out.1" 2>&1
        if ! grep -q '^5 steps' "$dir/out.1"; then
            grep -q '^then: .*: IO_ERROR:' "$dir/out.1" || fail "call $1: not IO_ERROR afterwards"
            [[ $2 -gt 1 ]] || grep -q 'restart farheapd' "$dir/log" || fail "call $1: nobody is told what to do"
            ((++refusing))
        fi
        cp "$dir/acks.0" "$dir/acks.now" # what the disk has of the refused step a restart will tell
        "$oracle" check "$url" "$dir/acks.now" w0 $keys >"$dir/out.0" 2>&1 || fail "call $1: $(cat "$dir/out.0")"
        end
    else
        [[ $start_code = 6 ]] || fail "call $1: ended with $start_code while starting"
        grep -q 'data-dir unusable' "$dir/log" || fail "call $1: does not say why it does not start"
    fi
    preload=()
    start || fail "call $1: no start afterwards"
    check "of call $1"
    "$oracle" once "$url" "$dir/acks.0" w0 $keys 99 5 >"$dir/out.0" 2>&1
    grep -q '^5 steps' "$dir/out.0" || fail "call $1: it does not recover"
    end
}

fails() {
    local every=$1 n count tried=0 refusing=0
    workers=2 keys=6 zones=1 steps=12
    for count in 1 1000000; do
        for ((n = 1 + RANDOM % every; ; n += every)); do
            fail_round "$n" "$count" || break
            ((++tried))
        done
        [[ $n -gt 30 ]] || fail "only $n calls in the history"
    done
    echo "$tried failing writes and syncs of the catalog: 0 acknowledged steps lost, 0 mixed; $refusing times a restart was asked for"
}

mount_image() { mount -o loop "$dir/image" "$dir/mount"; }

power_rounds() {
    mkdir -p "$dir/mount"
    truncate -s 1G "$dir/image"
    if ! { mkfs.ext4 -qF "$dir/image" && mount_image; } 2>/dev/null; then
        echo "no loop device here"
        exit 77
    fi
    data=$dir/mount/data
    for ((round = 1; round <= $1; round++)); do
        start || fail "round $round: no start"
        work "$round"
        moment
        "$build/crash/power-cut" "$dir/mount" || exit 77
        end
        wait "${pids[@]}" 2>/dev/null
        umount "$dir/mount" || fail "round $round: umount"
        e2fsck -p "$dir/image" >/dev/null 2>&1
        [[ $? -le 1 ]] || fail "round $round: the file system is broken"
        mount_image || fail "round $round: mount"
        start || fail "round $round: no start after the power cut"
        check "$round"
        end
    done
    echo "$(($1)) power cuts: $(acknowledged) steps acknowledged, 0 lost, 0 mixed"
}

# 64 MiB of file system on 24 MiB of memory: writes are taken, and fail when they are synced.
lies_rounds() {
    mkdir -p "$dir/thin" "$dir/mount"
    for ((round = 1; round <= $1; round++)); do
        rm -f "$dir"/acks.*
        if ! { mount -t tmpfs -o size=24m thin "$dir/thin" && truncate -s 64M "$dir/thin/image" &&
            mkfs.ext4 -qF "$dir/thin/image" && mount -o loop "$dir/thin/image" "$dir/mount"; } 2>/dev/null; then
            echo "no loop device here"
            exit 77
        fi
        data=$dir/mount/data
        start || fail "round $round: no start"
        work "$round"
        wait "${pids[@]}" # each ends at its first refusal
        [[ $(acknowledged) -gt 10 ]] || fail "round $round: hardly anything was acknowledged"
        end
        umount "$dir/mount"
        mount -o remount,size=80m "$dir/thin" # space has returned
        e2fsck -fy "$dir/thin/image" >/dev/null 2>&1
        mount -o loop "$dir/thin/image" "$dir/mount" || fail "round $round: mount"
        start || fail "round $round: no start when space is back"
        check "$round"
        "$oracle" once "$url" "$dir/acks.0" w0 $keys 77 5 >"$dir/out.0" 2>&1
        grep -q '^5 steps' "$dir/out.0" || fail "round $round: it does not recover"
        end
        umount "$dir/mount" "$dir/thin"
    done
    echo "$(($1)) rounds of a disk that lies: 0 acknowledged steps lost, 0 mixed"
}

case ${2:-} in
kill) kill_rounds "${3:-10}" ;;
calls) calls "${3:-1}" ;;
fails) fails "${3:-1}" ;;
power) power_rounds "${3:-3}" ;;
lies) lies_rounds "${3:-1}" ;;
*) fail "usage: tests/crash.sh BUILD kill|calls|fails|power|lies [N]" ;;
esac
