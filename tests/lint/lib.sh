# SPDX-License-Identifier: MIT
# What the checks of the source share; each is a bash script that sources this and prints TAP.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C
lint=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP_SRCDIR=$(cd "${TOP_SRCDIR:-$lint/../..}" && pwd)
TOP_BUILDDIR=$(cd "${TOP_BUILDDIR:-$TOP_SRCDIR}" && pwd)
export lint TOP_SRCDIR TOP_BUILDDIR
cd "$TOP_SRCDIR"

layers=(base traces mmu cpu vmx devices configs frontend)
cases=0

# files PATTERN...: the tracked files that match and exist; without git, those that are there.
files() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files -- "$@"
    else
        local pattern
        for pattern; do
            find . -path "./${pattern}" -type f ! -path './.cache/*' ! -path './build*' | cut -c3-
        done | sort -u
    fi | while read -r file; do
        if [ -f "$file" ]; then echo "$file"; fi
    done
}

# report NAME TEXT: one case, which passes when TEXT, the list of faults found, is empty.
report() {
    cases=$((cases + 1))
    if [ -z "$2" ]; then
        echo "ok $cases - $1"
    else
        echo "not ok $cases - $1"
        while IFS= read -r line; do echo "# $line"; done <<<"$2"
    fi
}

# skip NAME REASON: one case that has nothing to look at.
skip() {
    cases=$((cases + 1))
    echo "ok $cases - $1 # SKIP $2"
}

finish() {
    echo "1..$cases"
}

# each_cached NAME COMMAND...: reads names of C files and runs COMMAND FILE for each, in parallel;
# prints what those that fail say. A file that passed isn't looked at again until its preprocessed
# text, the command or the checks' settings change.
each_cached() {
    export cache=$TOP_BUILDDIR/tests/lint/cache/$1
    shift
    mkdir -p "$cache"
    xargs -r -d '\n' -P "$(nproc)" -n 1 bash -c '
        file=${!#}
        key=$({
            echo "$*"
            cat .clang-tidy "$lint"/*
            ${CC:-cc} -E -C -x c $cppflags "$file" || date +%N
        } 2>/dev/null | sha256sum | cut -c1-40)
        [ -e "$cache/$key" ] && exit 0
        if output=$("$@" 2>&1); then
            : >"$cache/$key"
        else
            grep -vE "^[0-9]+ (warning|error)s? generated|^Error while" <<<"$output" |
                head -n 40 | cut -c1-400
            echo "$file: not accepted"
        fi' each "$@"
}

# What a C file needs to be read as the build reads it.
cppflags="-std=c11 -D_GNU_SOURCE -I$TOP_SRCDIR -I$TOP_BUILDDIR ${CPPFLAGS:-}"
cppflags+=" -DTESTUDO_VERSION=\"0\" -DTESTUDO_DATADIR=\".\""
cppflags+=" -DTESTUDO_DISPATCH_TAIL=${DISPATCH_TAIL:-0}"
export cppflags
