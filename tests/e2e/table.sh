# Sourced behind lib.sh by scripts that go through a table of pictures painted by the reference.
tab=$(printf '\t')
# paint_row FOLDER PROGRAM NAME PSNR OPTIONS: paints with the program of this folder, the options' paths relative to FOLDER,
# and compares with FOLDER/NAME.png, or with NAME-0001.png, NAME-0002.png ...
paint_row() {
    here=$(pwd)
    if (cd "$1" && eval "'$here/$2' -q $5 -o '$here/$3.png'") >paint.out 2>&1 </dev/null; then
        for expected in "$1/$3.png" "$1/$3"-00*.png; do
            [ -e "$expected" ] && check "$(basename "$expected" .png)" "$EBRU_PNGDIFF" "$(basename "$expected")" "$expected" "$4"
        done
    else
        fail "paint $3: $(cat paint.out)"
    fi
}
