# The two trained models against the pictures that diffusers and PyTorch made from the same seeds (models/*/expected): PSNR >= 45 dB.
. "$(dirname "$0")/lib.sh"

ln -s "$EBRU_PROGRAMS/shapes-128" s128
ln -s "$EBRU_PROGRAMS/shapes-32" s32
tab=$(printf '\t')
while IFS="$tab" read -r name prompt negative steps cfg seed; do
    case $name in '#'*) continue ;; esac
    check "paint $name" ./s128 -q -p "$prompt" -n "$negative" --steps "$steps" --cfg-scale "$cfg" -s "$seed" -o "$name.png"
    check "$name matches" "$EBRU_PNGDIFF" "$name.png" "$MODELS/shapes-128/expected/$name.png" 45
done <<LINES
$(sed "s/${tab}${tab}/${tab}@none@${tab}/" "$MODELS/shapes-128/expected/prompts.tsv" | sed 's/@none@/ /')
LINES

while IFS="$tab" read -r name class steps seed; do
    case $name in '#'*) continue ;; esac
    check "paint $name" ./s32 -q --class "$class" --steps "$steps" -s "$seed" -o "$name.png"
    check "$name matches" "$EBRU_PNGDIFF" "$name.png" "$MODELS/shapes-32/expected/$name.png" 45
done <"$MODELS/shapes-32/expected/classes.tsv"
done_testing
