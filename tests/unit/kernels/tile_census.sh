#!/bin/sh
# tile_census.sh OBJDUMP OBJECT FUNCTION MULTIPLIES INSTRUCTIONS STACK TILE_LOADS: the inner loop of a register tile is
# what was meant: that many multiplies, at most so many instructions, of them so many on the stack, and loads of matrix
# registers. Prints, too, how many instructions beside the multiplies a thousand products take.
set -eu
"$1" -d --no-show-raw-insn "$2" | awk -v name="<$3>:" -v want="$4" -v most="$5" -v spills="$6" -v loads="$7" '
    BEGIN {
        lanes["zmm"] = 16; lanes["ymm"] = 8; lanes["xmm"] = 4
        tile["tdpbf16ps"] = 16 * 16 * 32; tile["tdpbusd"] = 16 * 16 * 64
    }
    function products(op, operands,    n, register) { # of the instruction, 0 when it multiplies nothing
        if (op in tile) return tile[op]
        n = op ~ /^vfm/ ? 1 : op == "vdpbf16ps" || op == "vpmaddwd" ? 2 : op == "vpdpbusd" ? 4 : 0
        return n && match(operands, /%[xyz]mm[0-9]+$/) ? n * lanes[substr(operands, RSTART + 1, 3)] : 0
    }
    $2 == name { inside = 1; next }
    inside && NF == 0 { inside = 0 }
    inside {
        sub(":", "", $1); place[$1] = n; text[n] = $0
        at = $2 == "{vex}" ? 3 : 2
        unknown += /\(bad\)/
        op[n] = $at; to[n] = ""
        for (i = at + 1; i <= NF && $i !~ /^[#<]/; i++) to[n] = to[n] $i # some print a blank between operands
        sub("^0x", "", to[n]); n++
    }
    END {
        # the first loop of so many multiplies without another inside: from where the first jump back leads
        for (i = 0; i < n; i++)
            if (op[i] ~ /^j/ && (to[i] in place) && place[to[i]] < i) {
                multiplies = stack = from_memory = sum = 0
                for (j = place[to[i]]; j <= i; j++) {
                    p = products(op[j], to[j])
                    multiplies += p > 0
                    sum += p
                    from_memory += op[j] ~ /^tileload/
                    stack += text[j] ~ /rsp|call/
                }
                if (multiplies == 0) continue
                count = i - place[to[i]] + 1
                found = name " " multiplies " multiplies of " sum / multiplies " products, " stack " times the stack, " \
                    (loads ? from_memory " tile loads, " : "") count " instructions, " \
                    sprintf("%.2g", 1000 * (count - multiplies) / sum) " others in a thousand products"
                if (multiplies != want) continue # such as that of the exponentials
                print found
                exit stack > spills || count > most || from_memory > loads
            }
        if (found) {
            print found
            exit 1
        }
        if (unknown) {
            print "skipped: objdump does not know the instructions of " name
            exit 77
        }
        print name " has no loop of multiplies"
        exit 1
    }'
