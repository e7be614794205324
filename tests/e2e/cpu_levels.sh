# One program for several CPU levels paints one picture.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

check "compile three levels" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" -mcpu=x86-64-v2,x86-64-v3,x86-64-v4 -o levels
for level in x86-64-v2 x86-64-v3 x86-64-v4; do
    if has_level $level; then
        check "paint on $level" paint levels "$level.png" --cpu-level=$level
        check "picture on $level" "$EBRU_PNGDIFF" base.png "$level.png" 60
    else
        echo "skip: $level (not on this CPU)"
    fi
done
done_testing
