# The levels above x86-64-v4: chosen, refused by name, and run under the emulator where the CPU lacks them.
. "$(dirname "$0")/lib.sh"

check "compile all levels above v3" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" -mcpu=x86-64-v4,x86-64-v4-bf16,x86-64-v4-amx -o levels
check "compile amx alone" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" -mcpu=x86-64-v4-amx -o amx
if [ "$(./levels --build-info | grep -c '^level: x86-64-v4')" = 3 ]; then pass "three levels"; else fail "three levels"; fi
if ./levels --no-cpu-check -o no.png 2>err.txt; then fail "--no-cpu-check alone"; else
    if [ $? = 2 ] && grep -q -e '--cpu-level' err.txt; then pass "--no-cpu-check alone"; else fail "--no-cpu-check alone"; fi
fi
if grep -qw amx_bf16 /proc/cpuinfo; then
    echo "skip: amx refused (this CPU has it)"
else
    ./amx -o no.png 2>err.txt
    if [ $? = 4 ] && grep -q 'amx-tile, amx-bf16, amx-int8' err.txt; then pass "amx refused"; else fail "amx refused"; fi
    ./levels --cpu-level=v3 -o no.png 2>err.txt
    if [ $? = 2 ] && grep -q "no code for 'v3'; it has code for x86-64-" err.txt; then pass "a level by half its name"; else fail "a level by half its name"; fi
    ./levels --cpu-level=x86-64-v4-amx -o no.png 2>err.txt
    if [ $? = 4 ] && grep -q 'amx-tile, amx-bf16, amx-int8' err.txt; then pass "amx refused by name"; else fail "amx refused by name"; fi
fi
if has_level x86-64-v4; then
    check "paint on v4" ./levels -q --class 3 --steps 3 --cpu-level=x86-64-v4 -o v4.png
    for level in x86-64-v4-bf16 x86-64-v4-amx; do
        check "paint on $level" env LD_PRELOAD="$EBRU_EMULATE" ./levels -q --class 3 --steps 3 --cpu-level=$level --no-cpu-check -o $level.png
        check "f32 on $level has v4's bits" cmp v4.png $level.png
    done
    # the same products in the tile unit as by v4's multiply-adds, within rounding
    for precision in bf16 bf16x3 int8; do
        unit=tdpbf16ps
        [ $precision != int8 ] || unit=tdpbusd
        check "compile $precision" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --precision=$precision -mcpu=x86-64-v4,x86-64-v4-amx -o $precision
        check "paint $precision on v4" ./$precision -q --class 3 --steps 1 --cpu-level=x86-64-v4 -o $precision-v4.png
        check "paint $precision on amx" env EBRU_EMULATE_REPORT=report LD_PRELOAD="$EBRU_EMULATE" ./$precision -q --class 3 --steps 1 \
            --cpu-level=x86-64-v4-amx --no-cpu-check -o $precision-amx.png
        check "picture $precision on amx" "$EBRU_PNGDIFF" $precision-v4.png $precision-amx.png 50
        if grep -qw amx_bf16 /proc/cpuinfo; then
            echo "skip: $precision: products counted (this CPU has amx)"
        elif grep -q "^$unit [1-9]" report; then
            pass "$precision: $(grep $unit report)"
        else
            fail "$precision: no product in tiles"
        fi
    done
else
    echo "skip: painting on x86-64-v4 and above (not on this CPU)"
fi
done_testing
