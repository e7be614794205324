# Different roads to the same picture: stopping and going on, passes switched off, efforts, CPU levels, thread counts, memory plans, weights
# places, building twice.
. "$(dirname "$0")/lib.sh"

prompt="a green triangle left of a pink heart on a black background"
paint() { # paint PROGRAM OUT [OPTIONS]
    program=$1
    out=$2
    shift 2
    "./$program" -q -p "$prompt" --steps 2 --cfg-scale 4 -s 42 -o "$out" "$@"
}
ln -s "$EBRU_PROGRAMS/shapes-128" base
check "paint" paint base base.png

# every effort: the same bits, so that programs of -O0 stand for those of -O3
check "compile -O0" "$EBRU" compile -q -O0 "$MODELS/shapes-128" -o quick
check "paint -O0" paint quick quick.png
check "bits -O0" cmp base.png quick.png
check "paint a class -O3" "$EBRU_PROGRAMS/shapes-32" -q --class 3 --steps 2 -o class.png
for effort in 0 1 2; do
    check "compile a class -O$effort" "$EBRU" compile -q -O$effort "$MODELS/shapes-32" -o class
    check "paint it" ./class -q --class 3 --steps 2 -o "class$effort.png"
    check "bits -O$effort" cmp class.png "class$effort.png"
done

# every dump is accepted and prints back identically (of the large model one of four)
for model in shapes-32 shapes-128; do
    mkdir -p "dumps-$model"
    check "dump $model" "$EBRU" compile -q "$MODELS/$model" --dump-dir="dumps-$model" --emit=ir -o /dev/null
    number=0
    for f in "dumps-$model"/*.ir; do
        number=$((number + 1))
        [ $model = shapes-32 ] || long || [ $((number % 4)) = 1 ] || continue
        check "opt $f" sh -c "'$EBRU' opt '$f' -o back.ir && cmp '$f' back.ir"
    done
done

# stop after a pass, go on from the text
for pass in dce fuse_attention layout select_kernels plan_memory; do
    check "stop after $pass" "$EBRU" compile -q "$MODELS/shapes-128" --stop-after=$pass -o "stop-$pass.ir"
    check "go on after $pass" "$EBRU" compile -q $QUICK "stop-$pass.ir" -o "from-$pass"
    check "paint from $pass" paint "from-$pass" "from-$pass.png"
    check "same picture from $pass" cmp base.png "from-$pass.png"
done

# each optional pass off, alone
for pass in $("$EBRU" compile --list-passes | grep -v required | awk '{print $1}'); do
    check "compile -fno-$pass" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" -fno-$pass -o off
    check "paint -fno-$pass" paint off off.png
    check "picture -fno-$pass" "$EBRU_PNGDIFF" base.png off.png 60
done

# one program, several levels
check "compile three levels" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" -mcpu=x86-64-v2,x86-64-v3,x86-64-v4 -o levels
for level in x86-64-v2 x86-64-v3 x86-64-v4; do
    if has_level $level; then
        check "paint on $level" paint levels "$level.png" --cpu-level=$level
        check "picture on $level" "$EBRU_PNGDIFF" base.png "$level.png" 60
    else
        echo "skip: $level (not on this CPU)"
    fi
done

# the same bits for any thread count
for t in 1 2 3 7; do
    check "paint -t $t" paint base "t$t.png" -t $t
    check "bits -t $t" cmp base.png "t$t.png"
done

# memory plan: one buffer a tensor, poisoned buffers
check "compile separate" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --plan=separate -o separate
check "paint separate" paint separate separate.png
check "bits separate" cmp base.png separate.png
check "compile poison" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --poison -o poison
check "paint poison" paint poison poison.png
check "bits poison" cmp base.png poison.png

# building twice; the arena that is printed is the arena that is allocated
check "compile a class again" "$EBRU" compile -q "$MODELS/shapes-32" -o again
check "same program" cmp "$EBRU_PROGRAMS/shapes-32" again
"$EBRU" compile -O0 "$MODELS/shapes-128" -o again 2>compile.txt
check "same program -O0" cmp quick again
said=$(sed -n 's/.*arena \([0-9]*\) bytes.*/\1/p' compile.txt)
./again -v --progress=none -p x --steps 1 -o arena.png 2>run.txt
used=$(sed -n 's/^arena \([0-9]*\) bytes.*/\1/p' run.txt)
if [ -n "$said" ] && [ "$said" = "$used" ]; then pass "arena $said bytes"; else fail "arena: compiled '$said', allocated '$used'"; fi

# places of the weights
for place in embed append external; do
    check "compile --weights=$place" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --weights=$place -o "w-$place"
    check "paint $place" paint "w-$place" "w-$place.png"
    check "bits $place" cmp base.png "w-$place.png"
done
head -c 5000000 w-append >cut && chmod +x cut # all of the code, a part of the weights
if paint cut cut.png >cut.txt 2>&1; then
    fail "a truncated program runs"
elif grep -q "is truncated" cut.txt; then
    pass "truncated program: $(cat cut.txt)"
else
    fail "a truncated program: $(cat cut.txt)"
fi
done_testing
