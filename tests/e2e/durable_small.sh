#!/usr/bin/env bash
# Durable objects from the command line: what is refused, what is there after a kill, what stays away after a delete.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/farheap-durable.XXXXXX")
farheap() { "$FARHEAP_BUILD/client/farheap" -u "$server_url" "$@"; }
die() { server_complain "$*" || exit 1; }

# A server on the data directory, in a folder of its own each time.
start() {
    server_cleanup
    [[ -z $server_pid ]] || wait "$server_pid" 2>/dev/null || true
    server_start "$FARHEAP_BUILD" --memory=16MiB --swap-size=32MiB "$@"
    trap 'server_cleanup; rm -rf "$dir"' EXIT
}

# Ends with this exit code at once.
refused() { # CODE FLAG...
    local code=0
    timeout 20 "$FARHEAP_BUILD/server/farheapd" --listen=127.0.0.1:0,plain --admin-listen=none --memory=16MiB --swap-size=0 \
        --swap="$dir" "${@:2}" >"$dir/refused" 2>&1 || code=$?
    [[ $code = "$1" ]] || die "expected exit code $1, got $code: $(cat "$dir/refused")"
}

start
echo x >"$dir/small"
head -c 70000000 /dev/urandom >"$dir/large"
! farheap put --durable a "$dir/small" 2>"$dir/err" || die "durable without a data directory"
grep -q UNSUPPORTED "$dir/err" || die "not UNSUPPORTED: $(cat "$dir/err")"

start --data-dir="$dir/data"
farheap put --durable a "$dir/small"
farheap put --durable large "$dir/large"
farheap put --durable pipe - <"$dir/large" | cat
farheap put memory "$dir/small"
handle=$(farheap lookup a)
[[ $(farheap --json stat a) == *'"durable": true'* ]] || die "stat does not say durable"
[[ $(farheap --json stat memory) == *'"durable": false'* ]] || die "stat says durable"
farheap ls -l | grep -q ' a *yes$' || die "ls does not say durable: $(farheap ls -l)"
refused 6 --data-dir="$dir/data" --zones=1

start --data-dir="$dir/data" # the one before was killed
for name in large pipe; do
    farheap get "$name" -o "$dir/back"
    cmp "$dir/large" "$dir/back" || die "$name has other bytes"
done
cmp "$dir/small" <(farheap get a -o -) || die "a has other bytes"
! farheap exists memory || die "a memory object survived"
code=0
farheap read "$handle" 2>/dev/null || code=$?
[[ $code = 3 ]] || die "an old handle is not STALE"
farheap rm a large
echo y | farheap put pipe -

start --data-dir="$dir/data"
[[ -z $(farheap ls) ]] || die "what was deleted or replaced came back: $(farheap ls)"
used=$(du -k "$dir/data" | tail -n 1 | cut -f 1)
[[ $used -lt 4096 ]] || die "its room did not come back: $used KiB"
server_stop
refused 6 --data-dir="$dir/data" --zones=2
refused 6 --data-dir=/proc/farheap --zones=1
