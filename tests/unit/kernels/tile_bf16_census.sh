#!/bin/sh
# tile_bf16_census.sh OBJDUMP OBJECT: the inner loops of the tiles of matrix registers are what was meant.
# All four multiplies of a step, no more tile loads than needed, nothing on the stack, few other instructions.
set -eu
objdump=$1 object=$2
if ! "$objdump" -d "$object" 2>/dev/null | grep -q tdpbf16ps; then
    echo "skipped: $objdump does not know matrix registers"
    exit 77
fi
check() { # check FUNCTION MULTIPLIES LOADS INSTRUCTIONS
    "$objdump" -d --no-show-raw-insn "$object" | awk -v name="<$1>:" -v tdp="$2" -v loads="$3" -v most="$4" '
        $2 == name { inside = 1; next }
        inside && NF == 0 { inside = 0 }
        inside { sub(":", "", $1); at[n] = $1; text[n] = $0; place[$1] = n; if (/tdpbf16ps/) last = n; n++ }
        END {
            if (!n) { print name " is missing"; exit 1 }
            for (i = last; i < n && text[i] !~ / j[a-z]+ /; i++);
            split(text[i], word, " ")
            sub("^0x", "", word[3])
            for (j = place[word[3]]; j <= i; j++) {
                count++
                if (text[j] ~ /tdpbf16ps/) t++
                if (text[j] ~ /tileload/) l++
                if (text[j] ~ /rsp|call/) { print name " has in its loop:" text[j]; bad = 1 }
            }
            if (t != tdp || l > loads || count > most) bad = 1
            print name " " t " multiplies, " l " tile loads, " count " instructions a step"
            exit bad
        }'
}
check ebru_tile_bf16_2x2_v4_amx 4 4 30
check ebru_tile_bf16x3_2x2_v4_amx 12 8 70
