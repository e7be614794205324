# The two trained models against the pictures that diffusers and PyTorch made from the same seeds (models/*/expected): PSNR >= 45 dB.
. "$(dirname "$0")/lib.sh"

check "compile shapes-128" "$EBRU" compile -q "$MODELS/shapes-128" -o s128
tab=$(printf '\t')
while IFS="$tab" read -r name prompt negative steps cfg seed; do
    case $name in '#'*) continue ;; esac
    check "paint $name" ./s128 -q -p "$prompt" -n "$negative" --steps "$steps" --cfg-scale "$cfg" -s "$seed" -o "$name.png"
    check "$name matches" "$EBRU_PNGDIFF" "$name.png" "$MODELS/shapes-128/expected/$name.png" 45
done <<LINES
$(sed "s/${tab}${tab}/${tab}@none@${tab}/" "$MODELS/shapes-128/expected/prompts.tsv" | sed 's/@none@/ /')
LINES

check "compile shapes-32" "$EBRU" compile -q "$MODELS/shapes-32" -o s32
while IFS="$tab" read -r name class steps seed; do
    case $name in '#'*) continue ;; esac
    check "paint $name" ./s32 -q --class "$class" --steps "$steps" -s "$seed" -o "$name.png"
    check "$name matches" "$EBRU_PNGDIFF" "$name.png" "$MODELS/shapes-32/expected/$name.png" 45
done <"$MODELS/shapes-32/expected/classes.tsv"
done_testing
