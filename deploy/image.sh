# shellcheck shell=bash
# `./dev image`, sourced by dev: builds the image and runs deploy/compose.yaml for real.
# The last line is "N passed, N failed, N skipped".
: "${root:?}"
. "$root/deploy/engine.sh"

export FARHEAP_IMAGE=farheap:dev FARHEAP_PORT=${FARHEAP_PORT:-17420}
image_passed=0 image_failed=0

compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose -p farheap-dev -f "$root/deploy/compose.yaml" "$@"
    else
        docker-compose -p farheap-dev -f "$root/deploy/compose.yaml" "$@"
    fi
}

image_check() { # WHAT COMMAND...
    if "${@:2}"; then
        image_passed=$((image_passed + 1))
        say "ok      $1"
    else
        image_failed=$((image_failed + 1))
        say "FAILED  $1"
        compose logs --tail 30 server 2>&1 | tail -n 30 || true
    fi
}

server_id() { compose ps -aq server; }

inspect() { docker inspect -f "$1" "$(server_id)"; }

image_build() {
    local log=$root/build/image.log
    mkdir -p "$root/build"
    docker build --network=host -t "$FARHEAP_IMAGE" "$root" >"$log" 2>&1 || { tail -n 30 "$log"; return 1; }
    say "image $(docker image inspect -f '{{.Size}}' "$FARHEAP_IMAGE" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}

# No more open files than this machine lets anyone have.
image_nofile() {
    local most
    most=$(ulimit -Hn)
    [[ $most != unlimited && $most -lt 65536 ]] || most=65536
    echo "$most"
}

image_healthy() {
    FARHEAP_NOFILE=$(image_nofile)
    export FARHEAP_NOFILE
    compose up -d server >"$root/build/compose.log" 2>&1 || { tail -n 5 "$root/build/compose.log"; return 1; }
    for _ in $(seq 60); do
        [[ $(inspect '{{.State.Health.Status}}') != healthy ]] || return 0
        sleep 1
    done
    return 1
}

image_bench() { compose --profile bench run --rm -T bench; }

# The container's limit is in force, nothing was killed for it, and the server's peak stayed below.
image_bounded() {
    local limit peak
    limit=$(inspect '{{.HostConfig.Memory}}')
    peak=$(docker exec "$(server_id)" cat /proc/1/status | awk '/^VmHWM:/ { print $2 * 1024 }')
    say "        the server's memory peaked at $((peak >> 20)) MiB, its limit is $((limit >> 20)) MiB"
    [[ $(inspect '{{.State.OOMKilled}}') = false && $limit -gt 0 && $peak -gt 0 && $peak -le $limit ]]
}

image_hardened() {
    [[ $(inspect '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}}') = 'true [ALL] 10001:10001' ]]
}

image_stopped() {
    compose stop server >/dev/null 2>&1
    [[ $(inspect '{{.State.ExitCode}}') = 0 ]]
}

image_down() {
    compose --profile bench down -v >/dev/null 2>&1 || true
    [[ -z $engine_pid ]] || say "the engine stays up (pid $engine_pid)"
}

image() {
    if ! engine_up; then
        say "no container engine can be had here: the image was neither built nor run"
        echo "0 passed, 0 failed, 1 skipped"
        return 0
    fi
    image_check "the image builds" image_build
    if [[ $image_failed = 0 ]]; then
        trap image_down EXIT
        image_check "the server is healthy" image_healthy
    fi
    if [[ $image_failed = 0 ]]; then
        image_check "read-only, no capabilities, not root" image_hardened
        image_check "the load tester passes against it" image_bench
        image_check "the server stayed under its memory limit" image_bounded
        image_check "it stops with exit code 0" image_stopped
    fi
    echo "$image_passed passed, $image_failed failed, 0 skipped"
    [[ $image_failed = 0 ]]
}
