#!/usr/bin/env bash
# The honest gate: runs every test of one build and believes nobody's exit code alone.
#
#   tests/gate.sh BUILD            all programs of BUILD/tests and the scripts of tests/e2e
#   tests/gate.sh BUILD PROGRAM... only these
#
# A Criterion program passes if its exit code is 0, it ran exactly the tests it lists, each said "ok", each
# skipped one stands in tests/skips.txt, and no sanitizer wrote a line, neither to its log nor to the output.
# A script, or a plain program of BUILD/race, passes if its exit code is 0 under the same condition. Logs stay in BUILD/gate/PROGRAM/.
# Criterion's runner loses a timer of 48 bytes when a test is to end before one that was started earlier, by its
# .timeout or because the clock was set back. That leak alone, which no test's code has part in, is overlooked.
# The last line is "N passed, N failed, N skipped".
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds_max=${FARHEAP_TEST_SECONDS:-240}
complaints='runtime error:|ERROR: (Address|Leak|Undefined|Thread)Sanitizer|WARNING: ThreadSanitizer|crashed during its setup or teardown'

# Each name as suite::test, one a line.
names_listed() {
    "$1" --list 2>/dev/null | awk '
        /^[^ ]*: [0-9]+ tests?$/ { suite = $1; sub(/:$/, "", suite); next }
        { sub(/^[^A-Za-z0-9_]+/, ""); print suite "::" $1 }' | sort -u
}

names_run() { sed -nE 's/^(not )?ok - ([^ ]+).*/\2/p' "$1" | sort -u; }

# True when this log is nothing but leaks that libcriterion itself allocated: two frames each, the allocator's and its.
is_runners_leak() {
    awk '/ERROR: / { if (!/LeakSanitizer: detected memory leaks/) other = 1 }
        /runtime error:/ { other = 1 }
        /leak of [0-9]+ byte/ { leaks++ }
        /^ *#[0-9]+ / { frames++; if (/^ *#0 /) ok++; else if (/^ *#1 .*libcriterion\.so/) ok++ }
        END { exit other || leaks == 0 || ok != frames || frames != 2 * leaks }' "$1"
}

# clang's runtime writes them to the log of UBSan.
overlook_runners_leaks() { # FOLDER: true when there was one and nothing else
    local log found=''
    for log in "$1"/{a,ub}san.*; do
        [[ -s $log ]] || continue
        is_runners_leak "$log" || return 1
        found=yes
    done
    [[ -n $found ]] && rm -f "$1"/{a,ub}san.*
}

run_criterion() { # PROGRAM FOLDER: sets passed failed skipped
    local program=$1 folder=$2 name
    (timeout -k 5 "$seconds_max" "$program" --jobs 2 --tap="$folder/tap" || exit $?) >"$folder/out" 2>&1
    code=$?
    touch "$folder/tap"
    [[ $code != 134 ]] || ! overlook_runners_leaks "$folder" || code=0 # 134: it ends so after the last test
    [[ $code = 0 ]] || reason "exit code $code"
    passed=$(grep '^ok - ' "$folder/tap" | grep -vc '# SKIP')
    failed=$(grep -c '^not ok - ' "$folder/tap")
    skipped=$(grep -c '^ok - .*# SKIP' "$folder/tap")
    names_listed "$program" >"$folder/listed"
    names_run "$folder/tap" >"$folder/ran"
    [[ -s $folder/listed ]] || reason "lists no test"
    cmp -s "$folder/listed" "$folder/ran" ||
        reason "not run: $(comm -23 "$folder/listed" "$folder/ran" | tr '\n' ' ')"
    while read -r name; do
        grep -q "^$name " "$here/skips.txt" || reason "skipped but not in tests/skips.txt: $name"
    done < <(sed -nE 's/^ok - ([^ ]+).*# SKIP.*/\1/p' "$folder/tap")
    [[ $failed = 0 ]] || reason "failed: $(sed -nE 's/^not ok - ([^ ]+).*/\1/p' "$folder/tap" | sort -u | tr '\n' ' ')"
}

run_plain() { # COMMAND...
    timeout -k 5 "$seconds_max" "$@" >"$folder/out" 2>&1
    code=$?
    passed=0 failed=0 skipped=0
    if [[ $code = 0 ]]; then
        passed=1
    elif [[ $code = 77 ]] && grep -q "^$(basename "${@: -1}") " "$here/skips.txt"; then
        skipped=1
    else
        reason "exit code $code"
    fi
}

reason() { echo "$*" >>"$folder/why"; }

run_one() {
    local program=$1 code
    folder=$FARHEAP_BUILD/gate/$(basename "$program")
    rm -rf "$folder" && mkdir -p "$folder"
    export ASAN_OPTIONS=log_path=$folder/asan:abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1
    export UBSAN_OPTIONS=log_path=$folder/ubsan:halt_on_error=1:print_stacktrace=1
    export LSAN_OPTIONS=report_objects=1
    export TSAN_OPTIONS=log_path=$folder/tsan:exitcode=66:second_deadlock_stack=1
    case $program in
    *.sh) run_plain bash "$program" ;;
    */race/*) run_plain "$program" ;;
    *) run_criterion "$program" "$folder" ;;
    esac
    for log in "$folder"/{a,ub,t}san.*; do
        [[ ! -s $log ]] || reason "sanitizer: $(grep -m1 -E 'ERROR|WARNING|runtime error' "$log" || echo "${log##*/}")"
    done
    ! grep -qE "$complaints" "$folder/out" || reason "sanitizer: $(grep -m1 -E "$complaints" "$folder/out")"
    if [[ -s $folder/why && $failed = 0 ]]; then failed=1; fi
    echo "$passed $failed $skipped" >"$folder/result"
    [[ $failed = 0 ]] || show_failure "$program"
}

show_failure() {
    printf -- '---- %s\n' "${1##*/}"
    sed 's/^/     /' "$folder/why"
    tail -n 25 "$folder/out" | sed 's/^/     | /'
    head -q -n 25 "$folder"/{a,ub,t}san.* 2>/dev/null | head -n 60 | sed 's/^/     ! /'
}

# Ends every process of this build that outlived its tests, and names it.
end_strays() {
    local link pid
    for link in /proc/[0-9]*/exe; do
        [[ $(readlink "$link" 2>/dev/null) = "$FARHEAP_BUILD"/* ]] || continue
        pid=${link//[!0-9]/}
        echo "---- left running: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        kill -KILL "$pid"
    done
}

# The results of the programs as one closing line; false unless all passed and there was something to pass.
sum_up() { # STRAYS PROGRAM...
    {
        for ((i = 0; i < $1; i++)); do echo "0 1 0"; done
        for program in "${@:2}"; do
            cat "$FARHEAP_BUILD/gate/$(basename "$program")/result" 2>/dev/null || echo "0 1 0"
        done
    } | awk '{ p += $1; f += $2; s += $3 }
        END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }'
}

main() {
    export FARHEAP_BUILD
    FARHEAP_BUILD=$(cd "$1" && pwd) || exit 2
    shift
    if [[ ${1:-} = --one ]]; then
        run_one "$2"
        return
    fi
    local programs=("$@") left
    if [[ $# = 0 ]]; then
        rm -rf "$FARHEAP_BUILD/gate"
        mapfile -t programs < <(find "$FARHEAP_BUILD/tests" -maxdepth 1 -type f -executable \
            ! -name 'farheap-bench-*' | sort
            find "$here/e2e" -name '*.sh' | sort)
    fi
    [[ ${#programs[@]} -gt 0 ]] || { echo "no test program in $FARHEAP_BUILD/tests"; exit 1; }
    printf '%s\0' "${programs[@]}" | xargs -0 -n 1 -P 2 "$here/gate.sh" "$FARHEAP_BUILD" --one
    left=$(end_strays)
    [[ -z $left ]] || echo "$left"
    sum_up "$(grep -c . <<<"$left")" "${programs[@]}"
}

main "$@"
