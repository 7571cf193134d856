#!/usr/bin/env bash
# Ten kills of a server under load, some failing writes of its catalog: no acknowledged durable object is lost, none is
# mixed. ./dev crash tries more.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${FARHEAP_BUILD:?the folder of a build}"

tests/crash.sh "$FARHEAP_BUILD" kill 10
tests/crash.sh "$FARHEAP_BUILD" fails 30
