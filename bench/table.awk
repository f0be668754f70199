# SPDX-License-Identifier: MIT
# The table of bench/boot in Markdown. Variables: emulators ("testudo qemu ..."), rows ("start,...").
# First file, times: lines "EMULATOR ROW SECONDS", several for a row: the least counts. Second file,
# insns: lines "EMULATOR ROW MILLIONS". ROW elf is the start by the ELF file, not in the sum.

function cell(text, width) {
    printf " %" width "s |", text
}

function seconds_of(e, row) {
    return (e, row) in seconds ? seconds[e, row] : 0
}

function line(row, title, i, s, other) {
    printf "| %-11s |", title
    cell(sprintf("%d", insns["testudo", row]), 7)
    for (i = 1; i <= n; i++) {
        s = seconds_of(emulator[i], row)
        cell(s ? sprintf("%.2f (%d)", s, insns["testudo", row] / s) : "-", 14)
    }
    for (i = 1; i <= n; i++)
        if (emulator[i] != "testudo") {
            s = seconds_of("testudo", row)
            other = seconds_of(emulator[i], row)
            cell(s && other ? sprintf("%.2f", other / s) : "-", 11)
        }
    for (i = 1; i <= n; i++)
        if (emulator[i] ~ /^(bochs|own)$/)
            cell((emulator[i], row) in insns ? insns[emulator[i], row] : "-", 15)
    print ""
}

function header(i, columns) {
    printf "| %-11s | M insns |", "row"
    columns = 2 + n
    for (i = 1; i <= n; i++)
        cell(emulator[i] " s (MIPS)", 14)
    for (i = 1; i <= n; i++)
        if (emulator[i] != "testudo") {
            cell("over " emulator[i], 11)
            columns++
        }
    for (i = 1; i <= n; i++)
        if (emulator[i] ~ /^(bochs|own)$/) {
            cell("M insns, " emulator[i], 15)
            columns++
        }
    printf "\n|"
    for (i = 1; i <= columns; i++)
        printf " --- |"
    print ""
}

# The sum over the rows, of those emulators that have all of them.
function sum(i, k, e, missing) {
    for (i = 1; i <= n; i++) {
        e = emulator[i]
        missing = 0
        for (k = 1; k <= count; k++) {
            if (!seconds_of(e, name[k]))
                missing = 1
            seconds[e, "all"] += seconds_of(e, name[k])
            insns[e, "all"] += insns[e, name[k]]
        }
        if (missing)
            delete seconds[e, "all"]
        if (e != "testudo")
            delete insns[e, "all"] # where GRUB and BIOS end is not known
    }
}

BEGIN {
    n = split(emulators, emulator, " ")
    count = split(rows, name, ",")
}

FNR == 1 {
    file++
}

file == 1 {
    if (!(($1, $2) in seconds) || $3 < seconds[$1, $2])
        seconds[$1, $2] = $3
    next
}

{
    insns[$1, $2] = $3
}

END {
    header()
    for (k = 1; k <= count; k++)
        line(name[k], name[k])
    sum()
    line("all", "all")
    insns["testudo", "elf"] = insns["elf", "start"]
    line("elf", "start (ELF)")
}
