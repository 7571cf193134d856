#!/usr/bin/env bash
# The soak on a small scale: no allocation is refused while there is room, and every byte is right. Both mixes.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/farheap-soak-XXXXXX")
trap 'rm -rf "$dir"' EXIT
for mix in wide bimodal; do
    "$FARHEAP_BUILD/tests/farheap-bench-soak" --ops 40000 --seed 7 --mix "$mix" --memory 8 --swap 64 --dir "$dir"
done
