# The rules of floors.txt, applied. Input: "KIND KEY VALUE" lines, the rules before the includes.

function as_regex(glob) { # a pattern of floors.txt as a regular expression over a whole path
    gsub(/[.+]/, "\\\\&", glob)
    gsub(/\*/, ".*", glob)
    return "^" glob "$"
}

function stem(path) { sub(/\.[ch]$/, "", path); return path }

function folder(path) { sub(/\/.*/, "", path); return path }

# A pattern names a file exactly, or without its extension.
function matches(path, pattern,    regex) {
    regex = as_regex(pattern)
    return path ~ regex || stem(path) ~ regex
}

function any_matches(path, patterns, count,    i) {
    for (i = 1; i <= count; i++)
        if (matches(path, patterns[i]))
            return 1
    return 0
}

# The longest pattern that matches, "" if none does.
function noun_of(path,    i, best) {
    if (path in nouns)
        return nouns[path]
    for (i = 1; i <= floors; i++)
        if (length(floor_patterns[i]) > length(best) && matches(path, floor_patterns[i]))
            best = floor_patterns[i]
    return nouns[path] = best
}

function complain(path, reason) { print path ": " reason; broken++ }

# What the longest `see` line that fits lets a file see: " folder folder ".
function visible_from(path,    key, best) {
    for (key in sees)
        if (index(path, key "/") == 1 && length(key) > length(best))
            best = key
    return sees[best]
}

function sees_header(path, header,    count, list, i) {
    count = split(visible_from(path), list, " ")
    for (i = 1; i <= count; i++)
        if (index(header, list[i] "/") == 1)
            return 1
    return 0
}

function check_floor(path, header,    mine, theirs) {
    if (folder(path) == "tests" || stem(path) == stem(header))
        return
    mine = noun_of(path)
    theirs = noun_of(header)
    if (theirs == "")
        complain(header, "has no floor; give it one in floors.txt")
    else if (mine != theirs && floor_of[theirs] >= floor_of[mine])
        complain(path, "floor " floor_of[mine] " includes " header " of floor " floor_of[theirs])
}

function check_ours(path, header) {
    if (!sees_header(path, header)) {
        complain(path, "may not see " header)
        return
    }
    if (folder(path) == folder(header))
        check_floor(path, header)
    if (folder(path) != "server")
        return
    if (folder(header) == "alloc" && floor_of[noun_of(header)] > 0) {
        uses_engine[path] = header
        if (!any_matches(path, engine, engines))
            complain(path, "is no file of the engine, but includes " header)
    }
    if (folder(header) == "proto" && floor_of[noun_of(header)] > 0)
        uses_wire[path] = header
}

function check_lib(path, header,    i, listed) {
    for (i = 1; i <= libs; i++) {
        if (header !~ as_regex(lib_headers[i]))
            continue
        if (matches(path, lib_files[i]))
            return
        listed = 1
    }
    if (listed)
        complain(path, "may not include " header)
}

$1 == "floor" { floor_patterns[++floors] = $3; floor_of[$3] = $2; next }
$1 == "see" { sees[$2] = sees[$2] " " $3; next }
$1 == "engine" { engine[++engines] = $3; next }
$1 == "border" { border[++borders] = $3; next }
$1 == "lib" { lib_headers[++libs] = $2; lib_files[libs] = $3; next }

$1 == "file" {
    files++
    if (folder($2) != "tests" && noun_of($2) == "")
        complain($2, "has no floor; give it one in floors.txt")
    next
}

$1 == "include" && $3 ~ /^</ { check_lib($2, $3); next }

$1 == "include" {
    header = substr($3, 2, length($3) - 2)
    if (header ~ /\.pb-c\.h$/) {
        check_lib($2, header)
        next
    }
    directory = $2
    sub(/[^\/]*$/, "", directory)
    if (header !~ /\// || system("test -e '" header "'") != 0)
        header = directory header
    check_ours($2, header)
}

END {
    for (path in uses_engine)
        if (path in uses_wire && !any_matches(path, border, borders))
            complain(path, "joins " uses_wire[path] " and " uses_engine[path] " beside the border")
    if (files == 0)
        complain("floors.sh", "found no file")
    exit broken > 0
}
