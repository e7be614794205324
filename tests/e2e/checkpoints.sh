# Single-file checkpoints: the program is the one of the diffusers folder, to the last bit of its pictures.
. "$(dirname "$0")/lib.sh"

# same SYSTEM OPTIONS...: compiles both forms and paints with both
same() {
    system=$1
    shift
    check "$system: write the checkpoint" "$EBRU_LDM_FILE" "$GOLDENS/ldm/$system" "$GOLDENS/ldm/$system.map" "$system.safetensors"
    check "$system: compile the folder" "$EBRU" compile -q "$GOLDENS/ldm/$system" --weights=random:1 $QUICK --size=64x64 "$@" -o folder
    check "$system: compile the checkpoint" "$EBRU" compile -q "$system.safetensors" $QUICK --size=64x64 "$@" -o single
    for program in folder single; do
        check "$system: paint with the $program" "./$program" -q -p "A cat, drawn by hand; 2 dogs" -n "blurry" --steps 3 -s 7 -o "$program.png" --no-metadata
    done
    check "$system: the same picture" cmp folder.png single.png
    check "$system: the picture is not one colour" sh -c "[ \$(wc -c <single.png) -gt 500 ]"
}
same sd2 --prediction=v_prediction
mv single.png sd2.png
same xl

# the program stands alone: no file of the model or of ebru is read
mkdir -p alone && cp single alone/ && rm -f xl.safetensors
check "the program alone" sh -c "cd alone && ./single -q -p 'A cat, drawn by hand; 2 dogs' -n blurry --steps 3 -s 7 -o a.png --no-metadata && cmp a.png ../folder.png"

# one component; IR text with parts of tensors
check "a component" "$EBRU" compile -q sd2.safetensors --component=text_encoder --emit=ir -o text.ir
check "stop" "$EBRU" compile -q sd2.safetensors --prediction=v_prediction --size=64x64 --stop-after=dce -o sd2.ir
check "go on" "$EBRU" compile -q $QUICK sd2.ir -o again
check "paint" ./again -q -p "A cat, drawn by hand; 2 dogs" -n "blurry" --steps 3 -s 7 -o again.png --no-metadata
check "the same picture through text" cmp again.png sd2.png

# refusals leave nothing behind
rm -f out
check "--prediction: unknown word" sh -c "! '$EBRU' compile sd2.safetensors --prediction=velocity -o out 2>err && grep -q 'expects epsilon, v_prediction or sample' err"
check "truncated" sh -c "head -c 3000000 sd2.safetensors >cut.safetensors; ! '$EBRU' compile cut.safetensors -o out 2>err && grep -q 'cut.safetensors: error: the file is truncated' err"
check "no output" sh -c "! [ -e out ]"
done_testing
