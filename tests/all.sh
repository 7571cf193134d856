# shellcheck shell=bash
# The whole of `./dev test`, sourced by it: lint, four builds, the gate over each, the gate itself, coverage.
# `say`, `build`, `root` are those of dev.
: "${root:?}"

coverage_min=85 # percent of lines of alloc/ and proto/, each
tally=()        # one "N passed, N failed, N skipped" per part

# part NAME COMMAND...: runs it, shows what it prints, keeps its last line as the tally of this part.
part() {
    local name=$1 start=$SECONDS log
    log=$(mktemp)
    ("${@:2}") 2>&1 | tee "$log" | grep -vE '^[0-9]+ passed, ' || true
    tally+=("$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1 || true)")
    [[ -n ${tally[-1]} ]] || tally[-1]="0 passed, 1 failed, 0 skipped"
    rm -f "$log"
    printf '%-16s %s  (%d s)\n' "$name" "${tally[-1]}" $((SECONDS - start))
}

# The gate over programs with a planted bug: it must fail each, for the reason planted.
gate_catches() { # BUILD PROGRAM REASON
    local out
    if out=$("$root/tests/gate.sh" "$1" "$(find "$1/planted" "$1/race" -name "$2")"); then
        echo "the gate did not catch $2"
    elif grep -q "$3" <<<"$out"; then
        caught=$((caught + 1))
        return
    else
        echo "the gate failed $2, but not because of '$3':"
        echo "$out"
    fi
    missed=$((missed + 1))
}

gate_itself() {
    local caught=0 missed=0 config
    for config in gcc-sanitize clang-sanitize; do
        gate_catches "$root/build/$config" planted_leak 'sanitizer:.*LeakSanitizer'
        gate_catches "$root/build/$config" planted_undefined 'sanitizer:.*runtime error'
        gate_catches "$root/build/$config" planted_child 'sanitizer:.*AddressSanitizer'
    done
    gate_catches "$root/build/tsan" planted_race 'sanitizer:.*data race'
    gate_catches "$root/build/gcc-release" planted_skip 'skipped but not in'
    echo "$caught passed, $missed failed, 0 skipped"
}

# Lines executed by the tests of the coverage build, per folder.
coverage() {
    local folder percent passed=0 failed=0
    for folder in alloc proto; do
        timeout 120 gcovr --root "$root" --filter "$folder/" "$root/build/coverage" \
            >"$root/build/coverage/$folder.txt" 2>"$root/build/coverage/gcovr.log" || tail -n 5 "$root/build/coverage/gcovr.log"
        percent=$(awk '$1 == "TOTAL" { sub("%", "", $4); print $4 }' "$root/build/coverage/$folder.txt")
        printf 'coverage %s/ %s%% of lines (at least %d%%)\n' "$folder" "${percent:-0}" "$coverage_min"
        if [[ ${percent:-0} -ge $coverage_min ]]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            awk -v min=$coverage_min '/^(alloc|proto)\// && $4 + 0 < min { print "    " $1, $4, substr($5, 1, 60) }' \
                "$root/build/coverage/$folder.txt"
        fi
    done
    if coverage_of_allocators; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "$passed passed, $failed failed, 0 skipped"
}

# The allocators each reach a floor of lines and of branches. A branch into a failed assertion is none, nor one that
# the compiler made and nothing reaches.
coverage_of_allocators() {
    local lines=95 branches=90 list=$root/build/coverage/allocators.csv
    timeout 120 gcovr --root "$root" --csv --exclude-unreachable-branches --exclude-branches-by-pattern '.*FH_ASSERT.*' \
        --filter 'alloc/(buddy|buddy_systems|space|slab[a-z_]*|heap|reap|compact|moves|frame_runs)\.c$' --filter 'alloc/bitset\.h$' \
        "$root/build/coverage" >"$list" 2>"$root/build/coverage/gcovr.log" || tail -n 5 "$root/build/coverage/gcovr.log"
    awk -F, -v lines=$lines -v branches=$branches '
        NR == 1 { next }
        { rows++; total += $5; taken += $6 }
        $4 * 100 < lines || ($5 > 0 && $7 * 100 < branches) {
            printf "    %s %.1f%% of lines, %.1f%% of branches\n", $1, $4 * 100, $7 * 100; low = 1 }
        END {
            printf "coverage of the allocators: %.1f%% of branches (each file at least %d%%, of lines %d%%)\n", 100 * taken / total, branches, lines
            exit low || rows < 8 }' "$list"
}

# The tests that count for coverage, as CMake names them: those of engine and wire, without a server.
coverage_targets() {
    find tests/unit/alloc tests/unit/proto tests/model tests/fault tests/fuzz -name 'test_*.c' |
        sed -E 's|^tests/||; s|/test_|/|; s|/|-|g; s|\.c$||' | sort
}

coverage_run() {
    local targets
    mapfile -t targets < <(coverage_targets)
    rm -rf "$root/build/coverage" # gcovr stumbles over what an older source left there
    build coverage "${targets[@]}"
    "$root/tests/gate.sh" "$root/build/coverage" "${targets[@]/#/$root/build/coverage/tests/}"
}

all_tests() {
    local config start=$SECONDS
    part lint tests/style/lint.sh
    for config in gcc-release clang-release gcc-sanitize clang-sanitize; do
        build "$config"
        part "$config" tests/gate.sh "build/$config"
    done
    build tsan farheapd farheap farheap-demo race_catalog race_chunks race_io_threads race_mailbox race_pool planted_race
    part tsan tests/gate.sh build/tsan build/tsan/race/race_* tests/e2e/demo_small.sh
    part "the gate itself" gate_itself
    part "coverage build" coverage_run
    part coverage coverage
    say "all of it took $((SECONDS - start)) s"
    printf '%s\n' "${tally[@]}" | awk '
        { passed += $1; failed += $3; skipped += $5 }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || passed == 0 }'
}
