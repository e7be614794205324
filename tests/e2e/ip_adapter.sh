# Pictures beside the prompt: IP-Adapters in U-Nets and in whole programs, against what diffusers computed and painted.
. "$(dirname "$0")/lib.sh"
IP=$GOLDENS/ip
says() { # says TEXT COMMAND...: the command fails and says so
    text=$1
    shift
    "$@" >says.out 2>&1 && return 1
    grep -qF -- "$text" says.out || { cat says.out; return 1; }
}

for kind in plain plus; do
    file=$IP/$kind/ip_adapter.safetensors io=$IP/$kind/io.safetensors
    check "$kind compiled" "$EBRU" verify "$IP/$kind/unet" --ip-adapter="$file:0.6" --io="$io" $QUICK
    check "$kind in bf16" "$EBRU" verify "$IP/$kind/unet" --ip-adapter="$file:0.6" --io="$io" $QUICK --precision=bf16
done
check "safety checker in bf16" "$EBRU" verify "$GOLDENS/safety" --io="$GOLDENS/safety/io.safetensors" $QUICK --precision=bf16

# the same picture as diffusers' pipeline
for model in pictures pictures-plus; do
    folder=$IP/$model adapter=$IP/$model/ip_adapter.safetensors picture=$IP/$model/reference.png
    check "compile $model" "$EBRU" compile -q $QUICK "$folder" --ip-adapter="$adapter" -o $model
    check "  paint a" ./$model -q -p "a small house" -n "" --steps 4 --cfg-scale 5 -s 11 --ip-image "$picture:0.6" -o a.png
    check "  a" "$EBRU_PNGDIFF" a.png "$folder/expected/a.png" 45
    check "  paint b" ./$model -q -p "a small house" -n dark --steps 4 --cfg-scale 2 -s 12 --ip-image "$picture" -o b.png
    check "  b" "$EBRU_PNGDIFF" b.png "$folder/expected/b.png" 45
done
folder=$IP/pictures adapter=$IP/pictures/ip_adapter.safetensors picture=$IP/pictures/reference.png
paint() { ./"$@" -q -p "a small house" --steps 4 -s 11 --no-metadata; }
check "compile without" "$EBRU" compile -q $QUICK "$folder" -o without
check "paint without" paint without -o without.png
check "no picture" paint pictures -o none.png
check "  is no adapter" "$EBRU_PNGDIFF" none.png without.png 60
check "scale 0" paint pictures --ip-image "$picture:0" -o zero.png
check "  is none, too" cmp none.png zero.png

# several pictures, several adapters
check "compile for two pictures" "$EBRU" compile -q $QUICK "$folder" --ip-adapter="$adapter:0.6" --ip-images=2 -o two
check "one for both" paint two --ip-image "$picture" -o both.png
check "a picture at the adapter's own scale" paint pictures --ip-image "$picture:0.6" -o own.png
check "  the same" "$EBRU_PNGDIFF" both.png own.png 60
check "the same picture twice" paint two --ip-image "$picture" --ip-image "$picture" -o twice.png
check "  the same" cmp both.png twice.png
check "compile with two adapters" "$EBRU" compile -q $QUICK "$folder" --ip-adapter="$adapter" \
    --ip-adapter="$IP/pictures-plus/ip_adapter.safetensors" -o pair
check "a picture for each, the second at 0" paint pair --ip-image "$picture:0.6" --ip-image "$picture:0" -o pair.png
check "  is the first alone" "$EBRU_PNGDIFF" pair.png own.png 60
check "an image encoder from elsewhere" "$EBRU" compile -q $QUICK "$folder" --ip-adapter="$adapter" \
    --image-encoder="$folder/image_encoder" -o elsewhere

# misuse
check "another encoder" says "reads 42 x 42" "$EBRU" compile "$folder" --ip-adapter="$adapter" \
    --image-encoder="$GOLDENS/clip-vision" -o x
check "another U-Net's" says "it belongs to another kind of model" "$EBRU" compile "$folder" \
    --ip-adapter="$IP/plain/ip_adapter.safetensors" -o x
check "no adapter" says "no IP-Adapter" "$EBRU" compile "$folder" --ip-adapter="$folder/vae/diffusion_pytorch_model.safetensors" -o x
check "no encoder" says "--image-encoder=DIR" "$EBRU" compile "$GOLDENS/pipelines/sd" --ip-adapter="$adapter" -o x
check "no U-Net" says "is no U-Net" "$EBRU" compile "$folder" --component=vae --ip-adapter="$adapter" -o x
check "no pictures" says "reads no pictures" "$EBRU" compile "$folder" --ip-adapter="$adapter" --no-image-input -o x
check "--image-encoder alone" says "does nothing without --ip-adapter" "$EBRU" compile "$folder" --image-encoder=a -o x
check "a program without" says "has no IP-Adapter" ./without -p x --ip-image "$picture" -o x.png
check "too many pictures" says "looks at 1 picture" ./pictures -p x --ip-image "$picture" --ip-image "$picture" -o x.png
check "two scales" says "have one scale" ./two -p x --ip-image "$picture:1" --ip-image "$picture:0.5" -o x.png
check "no picture there" says "nothing.png" ./pictures -p x --ip-image nothing.png:0.5 -o x.png
done_testing
