# Every component golden, compiled and in the reference evaluator: rms error <= 1e-4 of the reference's rms. One of each kind of network is
# compiled with specialised kernels, the others with the kernels as they are.
. "$(dirname "$0")/lib.sh"

for g in "$GOLDENS"/*/io.safetensors; do
    dir=$(dirname "$g")
    name=$(basename "$dir")
    effort=$QUICK
    case $name in text-quickgelu | unet-sd1 | unet-sd2 | unet2d-class | vae-kl | vae-tiny) effort=-O3 ;; esac
    check "$name compiled" "$EBRU" verify "$dir" --io="$g" $effort
    check "$name evaluator" "$EBRU" verify "$dir" --io="$g" --evaluator
done
check "shapes-32 compiled" "$EBRU" verify "$MODELS/shapes-32" --io="$MODELS/shapes-32/io.safetensors"
check "shapes-32 evaluator" "$EBRU" verify "$MODELS/shapes-32" --io="$MODELS/shapes-32/io.safetensors" --evaluator
for level in $(f32_levels); do
    if has_level $level; then
        check "unet-sd1 on $level" "$EBRU" verify "$GOLDENS/unet-sd1" --io="$GOLDENS/unet-sd1/io.safetensors" -mcpu=$level
    else
        echo "skip: unet-sd1 on $level (not on this CPU)"
    fi
done
done_testing
