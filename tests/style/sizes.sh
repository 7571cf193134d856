#!/usr/bin/env bash
# Sizes and densities: a report to think about, which fails nothing.  tests/style/sizes.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

files() { find "$@" -name '*.[ch]' 2>/dev/null | sort; }

lines() { files "$@" | xargs -r cat | wc -l; }

# "LINES FILE:FUNCTION", one per function.
functions() {
    files alloc proto server client | grep '\.c$' |
        xargs -r ctags -x --c-kinds=f --_xformat='%{input} %{line} %{end} %{name}' 2>/dev/null |
        awk '{ print $3 - $2 + 1, $1 ":" $4 }' | sort -n
}

row() { printf '%-34s %12s   %s\n' "$1" "$2" "$3"; }

functions=$(functions)
count=$(wc -l <<<"$functions")
at() { sed -n "$(((count * $1 + 99) / 100))p" <<<"$functions" | cut -d' ' -f1; }
long=$(awk '$1 > 70' <<<"$functions")
source_lines=$(lines alloc proto server client)
asserts=$(files alloc | xargs -r grep -hoE '\bFH_ASSERT(_DEEP)?\(|_Static_assert\(' | wc -l)

row measure now aim
row "functions" "$count" ""
row "function length, median" "$(at 50)" "<= 12 lines"
row "function length, 90 %" "$(at 90)" "<= 35 lines"
row "functions over 70 lines" "$(grep -c . <<<"$long" || true)" "each one clearer whole?"
row "files over 600 lines" "$(files alloc proto server client | xargs -r wc -l | awk '$2 != "total" && $1 > 600' | wc -l)" "0"
row "asserts in alloc/ per 1000 lines" "$((asserts * 1000 / $(lines alloc)))" ">= 20"
row "lines of source, of tests" "$source_lines, $(lines tests)" ""
row "tests : source" "$(awk -v t="$(lines tests)" -v s="$source_lines" 'BEGIN { printf "%.2f", t / s }')" ">= 0.75"
[[ -z $long ]] || sort -rn <<<"$long" | sed 's/^/    /'
files alloc proto server client tests | xargs -r wc -l | awk '$2 != "total" && $1 > 600 { print "    " $1, $2 }'
