# LoRA files merged at compile time: networks and a picture against PyTorch's merge (tests/reference/make_lora.py), and IR on the
# way that keeps the updates.
. "$(dirname "$0")/lib.sh"
L=$GOLDENS/lora

unet="--lora=$L/unet-original.safetensors:0.75"
check "unet-sd1, compiled" "$EBRU" verify -q "$GOLDENS/unet-sd1" "$unet" --io="$L/unet-full-io.safetensors"
check "unet-sd1, evaluator" "$EBRU" verify -q "$GOLDENS/unet-sd1" "$unet" --io="$L/unet-full-io.safetensors" --evaluator
check "text-quickgelu with text-old" "$EBRU" verify -q "$GOLDENS/text-quickgelu" --lora="$L/text-old.safetensors:-1.5" --io="$L/text-io.safetensors"
if "$EBRU" verify -q "$GOLDENS/text-quickgelu" --lora="$L/text-old.safetensors:-1.4" --io="$L/text-io.safetensors" >/dev/null; then
    fail "another scale gives other numbers"
else
    pass "another scale gives other numbers"
fi

check "compile shapes-128" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --lora="$L/shapes-128.safetensors:0.8" -o s128
check "paint" ./s128 -q -p "a red circle on a white background" --steps 25 --cfg-scale 4 -s 5 -o lora.png
check "the picture is PyTorch's" "$EBRU_PNGDIFF" lora.png "$L/shapes-128.png" 45
if "$EBRU_PNGDIFF" "$MODELS/shapes-128/expected/red-circle.png" "$L/shapes-128.png" 45 >/dev/null; then
    fail "without the LoRA it is another picture"
else
    pass "without the LoRA it is another picture"
fi

# Every method of LyCORIS and PEFT in a network, against their own code.
V=$GOLDENS/lora-variants
for io in "$V"/*.io.safetensors; do
    name=$(basename "$io" .io.safetensors)
    case $name in dora-* | rslora-peft) scale=1 ;; *) scale=0.75 ;; esac
    check "$name" "$EBRU" verify -q "$V/unet" --lora="$V/$name.safetensors:$scale" --io="$io" --evaluator
done

# The packed weights are the same bytes when the model goes through IR text.
text="--lora=$L/text-kohya.safetensors:0.75"
check "compile at once" "$EBRU" compile -q $QUICK "$GOLDENS/text-quickgelu" "$text" --weights=external -o once
for level in graph kernel placed; do
    check "IR at $level" "$EBRU" compile -q "$GOLDENS/text-quickgelu" "$text" --emit=ir:$level -o $level.ir
    check "compile it" "$EBRU" compile -q $QUICK $level.ir --weights=external -o $level
    check "the same weights" cmp once.weights $level.weights
done
done_testing
