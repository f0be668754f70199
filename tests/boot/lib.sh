# SPDX-License-Identifier: MIT
# What the boot tests share. Sourced; sets $here, $cache, $testudo, $work (removed at exit).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/../../.cache
testudo=${TESTUDO:-$here/../../testudo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

prepare() {
    "$here/fetch-kernel" "$cache"
    "$here/make-initramfs" "$cache"
}

# run KERNEL CPU JOB CONSOLE [OPTION...]: one run with its console in a file; sets $status.
run() {
    local kernel=$1 cpu=$2 job=$3 console=$4
    shift 4
    status=0
    "$testudo" run --kernel "$cache/$kernel" --initrd "$cache/initramfs.cpio.gz" \
        --append "console=ttyS0 testudo.job=$job ${append:-}" --cpu "$cpu" \
        --serial "file:$console" "$@" || status=$?
}

fail() {
    echo "$(basename "$0"): $*"
    failed=1
}

# expect CONSOLE PATTERN TIMES: so many of the console's lines match.
expect() {
    local found
    found=$(tr -d '\r' <"$1" | grep -cE "$2" || true)
    [ "$found" = "$3" ] || fail "$found lines match '$2', not $3"
}

# The kernel's complaints in CONSOLE are those that the file `allow` lists, no more and no fewer.
expect_complaints() {
    tr -d '\r' <"$1" | sed -n 's/^complaint: //p' >"$work/complaints"
    grep -vE '^(#|$)' "$here/allow" >"$work/allowed"
    if grep -vE -f "$work/allowed" "$work/complaints"; then
        fail "the kernel complained of the lines above, which tests/boot/allow does not list"
    fi
    while read -r line; do
        grep -qE -e "$line" "$work/complaints" || fail "the kernel did not complain: $line"
    done <"$work/allowed"
}

# insns FILE: the instruction count in a --stats file.
insns() {
    sed -n 's/^  "instructions": \([0-9]*\),$/\1/p' "$1"
}
