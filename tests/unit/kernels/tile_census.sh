#!/bin/sh
# tile_census.sh OBJDUMP OBJECT FUNCTION MULTIPLIES INSTRUCTIONS: the inner loop of a register tile is what was
# meant: that many multiplies, nothing on the stack, at most so many instructions.
set -eu
"$1" -d --no-show-raw-insn "$2" | awk -v name="<$3>:" -v fma="$4" -v most="$5" '
    $2 == name { inside = 1; next }
    inside && NF == 0 { inside = 0 }
    inside { sub(":", "", $1); place[$1] = n; op[n] = $2; to[n] = $3; sub("^0x", "", to[n]); text[n] = $0; n++ }
    END {
        # the first loop without another inside: from where the first jump back leads
        for (i = 0; i < n; i++)
            if (op[i] ~ /^j/ && (to[i] in place) && place[to[i]] < i) {
                multiplies = stack = 0
                for (j = place[to[i]]; j <= i; j++) {
                    multiplies += op[j] ~ /^vfm/
                    stack += text[j] ~ /rsp|call/
                }
                if (multiplies == 0) continue
                count = i - place[to[i]] + 1
                print name " " multiplies " multiplies, " stack " times the stack, " count " instructions"
                exit multiplies != fma || stack || count > most
            }
        print name " has no loop of multiplies"
        exit 1
    }'
