# One program for several CPU levels paints one picture.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

check "compile several levels" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" \
    -mcpu="$(f32_levels | paste -sd,)" -o levels
for level in $(f32_levels); do
    if has_level $level; then
        check "paint on $level" paint levels "$level.png" --cpu-level=$level
        check "picture on $level" "$EBRU_PNGDIFF" base.png "$level.png" 60
    else
        echo "skip: $level (not on this CPU)"
    fi
done
done_testing
