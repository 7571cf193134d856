#!/usr/bin/env bash
# The bench of many connections on a small scale: all of its parts run, and an idle connection keeps no buffer, which
# would be 16 KiB at least. ./dev bench conns does it in full.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"

bench=$FARHEAP_BUILD/tests/farheap-bench-conns
most=8192 most_tls=24576
if grep -q '^FARHEAP_SANITIZE:.*=.' "$FARHEAP_BUILD/CMakeCache.txt"; then most=0 most_tls=0; fi # they keep what was freed
"$bench" idle --connections 400 --most $most
"$bench" idle-tls --connections 100 --most $most_tls
"$bench" active --connections 200 --few 8 --rate 500 --seconds 0.3 --rounds 1
"$bench" isolation --rate 200 --seconds 0.2 --rounds 1
"$bench" isolation-tls --rate 200 --seconds 0.2 --rounds 1
"$bench" tls --seconds 0.2 --rounds 1
