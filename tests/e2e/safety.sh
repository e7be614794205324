# The safety checker of a folder, on request: what it flags is told, or black.
. "$(dirname "$0")/lib.sh"
cp -r "$GOLDENS/ip/pictures" model
cp -r "$GOLDENS/safety" model/safety_checker
sed 's/"safety_checker": \[/"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "_": [/' \
    "$GOLDENS/ip/pictures/model_index.json" >model/model_index.json
says() { # says TEXT COMMAND...: the command fails and says so
    text=$1
    shift
    "$@" >says.out 2>&1 && return 1
    grep -qF -- "$text" says.out || { cat says.out; return 1; }
}
for act in off flag black; do
    check "compile $act" "$EBRU" compile -q $QUICK model --safety-checker=$act -o $act
    check "paint" ./$act -q -p "a small house" --steps 2 -s 42 -b 4 -o $act.png
    ./$act -q -p "a small house" --steps 2 -s 42 -b 4 -o again.png 2>$act.err
done
check "flagged are told" sh -c '[ "$(grep -c "the safety checker flags picture" flag.err)" = 3 ]'
check "  black ones, too" grep -q "flags picture 1 of 4: it is black" black.err
check "  nothing without it" sh -c '[ ! -s off.err ]'
check "a flagged picture is as painted" "$EBRU_PNGDIFF" flag-0001.png off-0001.png 90
check "  or black" sh -c '! "$0" black-0001.png off-0001.png 20' "$EBRU_PNGDIFF"
check "one that passes stays" "$EBRU_PNGDIFF" black-0003.png off-0003.png 90
check "the file says so" grep -q "Safety checker: flagged" black-0001.png
check "  and of the other" grep -q "Safety checker: passed" black-0003.png
check "no such word" says "expects off, flag or black" "$EBRU" compile model --safety-checker=on -o x
check "no checker" says "the model has no 'safety_checker'" "$EBRU" compile "$GOLDENS/ip/pictures" --safety-checker=flag -o x
check "a component" says "paints no pictures" "$EBRU" compile model --component=unet --safety-checker=flag -o x
done_testing
