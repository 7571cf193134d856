# shellcheck shell=bash
# A container engine for a machine that has none, sourced by image.sh: dockerd from the distribution, and a base
# image made from the distribution's own packages, so that no image registry is needed.

engine_base=debian:bookworm-slim
engine_pid=''

engine_answers() { docker info >/dev/null 2>&1; }

engine_start() {
    local log=/var/log/farheap-dockerd.log
    as_root true || return 1
    say "starting dockerd, its log is $log"
    as_root setsid dockerd >"$log" 2>&1 </dev/null &
    engine_pid=$!
    for _ in $(seq 120); do
        ! engine_answers || return 0
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 5 "$log" >&2
    return 1
}

# How this machine's apt reaches its packages (proxies, checks) goes into the image it makes, nowhere else.
engine_make_base() {
    local work
    work=$(mktemp -d)
    apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|ForceIPv)' >"$work/apt.conf" || true
    say "making $engine_base from packages"
    as_root mmdebstrap --quiet --variant=minbase --aptopt="$work/apt.conf" bookworm "$work/base.tar" &&
        docker import "$work/base.tar" "$engine_base" >/dev/null
    local code=$?
    rm -rf "$work"
    return $code
}

# 0: an engine answers. An engine that was there before brings its own way to base images.
engine_up() {
    engine_answers && return 0
    deps image || return 1
    if ! engine_answers; then engine_start || return 1; fi
    docker image inspect "$engine_base" >/dev/null 2>&1 || engine_make_base
}
