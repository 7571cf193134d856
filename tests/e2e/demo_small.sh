#!/usr/bin/env bash
# The demo's program on a small scale: 48 MiB of this machine's files through 8 MiB of memory.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh

# A sanitizer's own memory is no fault of the server's.
slack=64MiB
[[ $FARHEAP_BUILD != *sanitize* && $FARHEAP_BUILD != *tsan* ]] || slack=2GiB
server_start "$FARHEAP_BUILD" --memory=8MiB --swap-size=256MiB
"$FARHEAP_BUILD/client/farheap-demo" -u "$server_url" --bytes 48MiB --server-pid "$server_pid" \
    --region-bytes 8388608 --slack-bytes "$slack" /usr/lib /usr/share
server_stop
