# shellcheck shell=bash
# A real farheapd for scripts: ports the kernel picks, a folder of its own on the disk, its log in it.
# Source it, call server_start, use $server_url; the folder and the process go when the script ends.

server_pid='' server_dir='' server_url='' server_admin=''

server_cleanup() {
    [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
    [[ -z $server_dir ]] || rm -rf "$server_dir"
}

server_complain() {
    tail -n 20 "$server_dir/log" >&2
    echo "$*" >&2
    return 1
}

# The address behind "WORD on " in the server's log, once it is there.
server_address() {
    local address
    for _ in $(seq 1000); do
        address=$(sed -nE "s/.*\b$1 on ([0-9.]+:[0-9]+).*/\1/p" "$server_dir/log" | head -n 1)
        [[ -z $address ]] || { echo "$address"; return; }
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    server_complain "the server did not say '$1 on ADDRESS'"
}

server_start() { # BUILD FLAG...
    trap server_cleanup EXIT
    server_dir=$(mktemp -d "${TMPDIR:-/var/tmp}/farheap.XXXXXX")
    mkdir "$server_dir/swap"
    "$1/server/farheapd" --listen=127.0.0.1:0,plain --admin-listen=127.0.0.1:0 --zones=1 --swap="$server_dir/swap" \
        --log-format=text "${@:2}" >"$server_dir/log" 2>&1 &
    server_pid=$!
    server_url=$(server_address listening) || return 1
    server_url=farheap://$server_url
    # shellcheck disable=SC2034 # for whoever sources this
    server_admin=$(server_address admin) || return 1
}

# The most memory it ever had, in bytes.
server_peak() { awk '/^VmHWM:/ { print $2 * 1024 }' "/proc/$server_pid/status"; }

# SIGTERM: it has to leave with 0 and nothing behind in its swap folder.
server_stop() {
    local code=0
    kill -TERM "$server_pid" || { server_complain "the server had gone already"; return 1; }
    wait "$server_pid" || code=$?
    server_pid=''
    [[ $code = 0 ]] || { server_complain "the server ended with exit code $code"; return 1; }
    ! grep -qE 'runtime error:|ERROR: [A-Za-z]+Sanitizer' "$server_dir/log" || { server_complain "a sanitizer spoke"; return 1; }
    [[ -z $(ls -A "$server_dir/swap") ]] || server_complain "left in the swap folder: $(ls -A "$server_dir/swap")"
}
