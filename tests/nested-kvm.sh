#!/bin/bash
# SPDX-License-Identifier: MIT
# nested-kvm.sh [--machines A,B] [--kvm PARAMETERS] [--exits N] [--only-exits] [OPTION...]
#
# KVM inside KVM on Testudo, all of Debian's: its kernel with kvm_intel (L0) makes a small guest's
# exits, then boots the same kernel by QEMU with KVM (L1) on each of QEMU's machines (microvm and pc),
# and in that KVM runs another guest (L2) that prints a line and ends; then all power off. Passes if
# each step said so and no kernel complained of VMX. OPTIONs are testudo's.
#   --machines A,B   of QEMU (microvm,pc)
#   --kvm A=B,C=D    parameters of kvm_intel in L0, like enable_apicv=0
#   --exits N        exits of the small guest (10000)
#   --only-exits     nothing but these
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../.cache
testudo=${TESTUDO:-$here/../testudo}
machines=microvm,pc kvm='' exits=10000 job=check
while [ $# != 0 ]; do
    case $1 in
    --machines) machines=$2 && shift ;;
    --kvm) kvm=$2 && shift ;;
    --exits) exits=$2 && shift ;;
    --only-exits) job=exits ;;
    *) break ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$here/boot/fetch-kernel" "$cache"
"$here/boot/make-initramfs" "$cache"
"$here/nested/fetch-qemu" "$cache"
"$here/nested/make-initramfs" "$cache"

echo "Testudo: starting L0, Debian's kernel"
status=0
"$testudo" run --memory 1G --kernel "$cache/vmlinux" --initrd "$cache/nested.cpio" \
    --append "console=ttyS0 quiet testudo.machines=$machines testudo.kvm=$kvm testudo.job=$job testudo.exits=$exits" \
    --serial stdio --stats "$work/stats" "$@" </dev/null | tee "$work/console" || status=$?
tr -d '\r' <"$work/console" >"$work/said"

failed=0
fail() {
    echo "nested-kvm.sh: $*"
    failed=1
}
# expect TIMES PATTERN: so many lines of the console match.
expect() {
    local found
    found=$(grep -cE "$2" "$work/said" || true)
    [ "$found" = "$1" ] || fail "$found lines match '$2', not $1"
}
[ "$status" = 0 ] || fail "testudo's exit status is $status"
levels=1 guests=0
if [ $job = check ]; then
    guests=$(tr , '\n' <<<"$machines" | wc -l)
    levels=$((1 + guests))
fi
for parameter in ept unrestricted_guest vpid nested pml preemption_timer; do
    expect "$levels" "kvm_intel.$parameter=Y"
done
[[ $kvm == *enable_shadow_vmcs=0* ]] || expect "$levels" 'kvm_intel.enable_shadow_vmcs=Y'
expect 1 "^kvm_guest: $exits out: [0-9]* instructions each \\($exits to user space\\)"
expect 1 "^kvm_guest: $exits cpuid: [0-9]* instructions each \\(0 to user space\\)"
expect $levels '^kvm_guest: hello from the innermost guest'
expect "$guests" '^nested: L1: up: '
expect "$guests" '^nested: L1: shell: 42'
expect "$guests" '^nested: L1: innermost guest ended, status 0'
expect "$guests" '^nested: L0: [a-z]* ended, status 0'
expect $levels 'reboot: Power down'
# What a kernel complained of is a machine's affair (tests/boot/allow has the rows of L0), but not VMX.
expect 0 '^L[01]: complaint: .*([Vv][Mm][Xx]|[Vv][Mm][Cc][Ss]|[Kk][Vv][Mm]|WARNING|BUG|Oops)'

awk -F'[:,]' '
    /"host_seconds"/ { printf "Testudo: %.0f s, ", $2 }
    /"host_cpu_seconds"/ { printf "%.0f CPU seconds; ", $2 }
    /"instructions"/ && !n++ { insns = $2 }
    /"exits"/ { printf "%.0f million instructions, %d VM exits:\n", insns / 1e6, $2 }
    /^          "/ { gsub(/[ "]/, "", $1); printf "  %9d %s\n", $2, $1 }
' "$work/stats"
[ $failed = 0 ] && echo "nested-kvm.sh: all steps done"
exit $failed
