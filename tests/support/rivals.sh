# shellcheck shell=bash
# memcached and Redis beside farheapd, for benches: on free loopback ports, nothing kept on disk.
# Source it, call rivals_start, use $memcached_port $memcached_pid $redis_port $redis_pid; call rivals_stop at the end.

memcached_pid='' memcached_port='' redis_pid='' redis_port=''

free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    echo "no free port found" >&2
    return 1
}

wait_for_port() {
    for _ in $(seq 1000); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    return 1
}

rivals_start() { # MEBIBYTES WORKERS FLAG-OF-MEMCACHED...
    local as=()
    memcached_port=$(free_port)
    [[ $(id -u) != 0 ]] || as=(-u nobody)
    memcached "${as[@]}" -l 127.0.0.1 -p "$memcached_port" -t "$2" -m "$1" "${@:3}" &
    memcached_pid=$!
    redis_port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --daemonize no >/dev/null &
    redis_pid=$!
    wait_for_port "$memcached_port"
    wait_for_port "$redis_port"
}

rivals_stop() {
    [[ -z $memcached_pid ]] || kill "$memcached_pid" 2>/dev/null || true
    [[ -z $redis_pid ]] || kill "$redis_pid" 2>/dev/null || true
}
