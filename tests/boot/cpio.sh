# SPDX-License-Identifier: MIT
# Archives in cpio's newc format, written here: cpio would keep link counts and inode numbers of this
# machine. The same files give the same bytes: times zero, owners root. Sourced.
inode=0

# entry NAME MODE [FILE] [MAJOR MINOR]: one archive member with FILE's bytes.
entry() {
    local name=$1 mode=$2 file=${3:-/dev/null} size
    inode=$((inode + 1))
    size=$(stat -L -c %s "$file")
    printf '070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\0' \
        $inode "$mode" 0 0 1 0 "$size" 0 0 "${4:-0}" "${5:-0}" $((${#name} + 1)) 0 "$name"
    pad $((110 + ${#name} + 1))
    cat "$file"
    pad "$size"
}

# pad SIZE: zeros up to the next multiple of four.
pad() {
    head -c $((-$1 & 3)) /dev/zero
}

# What every archive here begins with: BusyBox, an init, the usual folders.
basic_entries() {
    local busybox=$1 init=$2
    entry bin $((0040755))
    entry bin/busybox $((0100755)) "$busybox"
    entry dev $((0040755))
    entry dev/console $((0020600)) /dev/null 5 1
    entry init $((0100755)) "$init"
    entry proc $((0040755))
    entry root $((0040700))
    entry sys $((0040755))
    entry tmp $((0041777))
}

end_entries() {
    entry 'TRAILER!!!' 0
}
