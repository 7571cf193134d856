#!/usr/bin/env bash
# Runs each `farheap` line of the shell blocks of README.md and docs/bench.md against a live server, in their order.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"
. tests/support/server.sh

readme_lines() { awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on && /^farheap / { sub(/ +#.*/, ""); print }' "$1"; }

lines=()
for page in README.md docs/bench.md; do
    mapfile -t -O ${#lines[@]} lines < <(readme_lines "$page")
done
[[ ${#lines[@]} -ge 8 ]] || { echo "only ${#lines[@]} farheap lines"; exit 1; }
server_start "$FARHEAP_BUILD" --memory=64MiB --swap-size=1GiB
PATH=$(realpath "$FARHEAP_BUILD")/client:$PATH
export FARHEAP_URL=$server_url PATH
mkdir "$server_dir/work"
pushd "$server_dir/work" >/dev/null # lines write files
for line in "${lines[@]}"; do
    echo "\$ $line"
    bash -euo pipefail -c "$line" || { echo "failed: $line"; exit 1; }
done
popd >/dev/null
server_stop
