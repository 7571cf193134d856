#!/usr/bin/env bash
# Runs each `farheap` line of README.md's shell blocks against a live server, in their order.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh

readme_lines() { awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on && /^farheap / { sub(/ +#.*/, ""); print }' README.md; }

mapfile -t lines < <(readme_lines)
[[ ${#lines[@]} -ge 3 ]] || { echo "README.md has only ${#lines[@]} farheap lines"; exit 1; }
server_start "$FARHEAP_BUILD" --memory=64MiB --swap-size=1GiB
export FARHEAP_URL=$server_url PATH=$FARHEAP_BUILD/client:$PATH
for line in "${lines[@]}"; do
    echo "\$ $line"
    bash -euo pipefail -c "$line" || { echo "failed: $line"; exit 1; }
done
server_stop
