#!/usr/bin/env bash
# Checks every #include of the tree against floors.txt.  tests/style/floors.sh [ROOT]
# Prints each broken rule as FILE: REASON; exit 1 if there is one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}"

# floors.txt and the includes as one stream of records for the program below; braces expanded by the shell.
rules() {
    local kind rest first word
    set -f
    while read -r kind rest; do
        [[ -n $kind && $kind != \#* ]] || continue
        rest=${rest%%#*}
        first=${rest%% *}
        [[ $kind = floor || $kind = see || $kind = lib ]] && rest=${rest#"$first"} || first=-
        for word in $(eval "echo ${rest//\*/\\*}"); do
            printf '%s %s %s\n' "$kind" "${first%:}" "$word"
        done
    done <"$here/floors.txt"
    set +f
}

includes() {
    # shellcheck disable=SC2016 # the program is awk's
    find alloc proto server client tests -name '*.[ch]' 2>/dev/null | sort | xargs -r awk '
        FNR == 1 { print "file", FILENAME, "-" }
        /^[ \t]*#[ \t]*include[ \t]*["<]/ {
            name = $0
            sub(/^[^"<]*/, "", name); sub(/[^">]*$/, "", name)
            print "include", FILENAME, name
        }'
}

{ rules; includes; } | awk -f "$here/floors.awk"
