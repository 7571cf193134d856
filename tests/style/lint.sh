#!/usr/bin/env bash
# What a tool can judge: format, floors, shell scripts, static analysis. Then the report of sizes.
# Last line: "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
passed=0 failed=0

check() { # NAME COMMAND...
    local out
    if out=$("${@:2}" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'lint: %s\n%s\n' "$1" "$(head -n 60 <<<"$out")"
    fi
}

sources() { find alloc proto server client tests -name '*.[ch]' | sort; }

formatted() { sources | xargs clang-format --dry-run -Werror; }

shell_scripts() {
    {
        printf '%s\n' dev .ci/run
        find tests deploy -name '*.sh'
    } | sort | xargs shellcheck -x
}

# Errors only. Three kinds are left out, as this version reports them where nothing is wrong: a side effect inside a
# designated initialiser, an array that a loop fills as far as it is used, a failed realloc (leaks are LeakSanitizer's).
analysed() {
    cppcheck --quiet --error-exitcode=1 --std=c11 -j 2 -D_GNU_SOURCE -I . --suppress=missingIncludeSystem \
        --suppress=unknownEvaluationOrder --suppress=uninitvar --suppress=memleak alloc proto server client
}

# Nothing half done goes in.
no_leftovers() {
    ! grep -rnE '\b(TODO|FIXME|XXX)\b' --include='*.[ch]' --include='*.sh' --exclude-dir=style \
        alloc proto server client tests deploy dev
}

# Every local link of the documents leads somewhere.
links_lead_somewhere() {
    local document link status=0
    for document in README.md alloc/README.md docs/*.md; do
        while read -r link; do
            [[ -e $(dirname "$document")/$link ]] || { echo "$document: $link is not there"; status=1; }
        done < <(grep -oE '\]\([^)#:]+\)' "$document" | sed 's/^](//; s/)$//')
    done
    return $status
}

# A link whose text is a name in backticks leads to the file that defines the function of that name.
links_name_functions() {
    local document name file status=0
    for document in README.md alloc/README.md docs/*.md; do
        # shellcheck disable=SC2016 # the backticks are the document's
        while read -r name file; do
            grep -qE "^[a-z].*\\b$name\\(" "$(dirname "$document")/$file" 2>/dev/null ||
                { echo "$document: $file defines no function $name"; status=1; }
        done < <(grep -oE '\[`[a-z_0-9]+`\]\([^)#]+\.[ch]\)' "$document" | sed -E 's/^\[`([^`]*)`\]\(([^)]*)\)$/\1 \2/')
    done
    return $status
}

check "format (clang-format -i mends it)" formatted
check "include floors" tests/style/floors.sh
check "the floors script finds planted violations" tests/style/floors_selftest.sh
check "shell scripts" shell_scripts
check "static analysis" analysed
check "leftovers" no_leftovers
check "links of the documents" links_lead_somewhere
check "functions that the documents link to" links_name_functions
tests/style/sizes.sh
echo "$passed passed, $failed failed, 0 skipped"
[[ $failed = 0 ]]
