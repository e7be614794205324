# GGUF files as weights: of f32 and f16 the same bits as safetensors, of blocks nearly the same picture.
. "$(dirname "$0")/lib.sh"
M=$MODELS/shapes-128
W=$M/unet/diffusion_pytorch_model.safetensors

# compiled NAME MODEL OPTIONS...: a program with its weights beside it
compiled() {
    name=$1
    shift
    check "$name: compile" "$EBRU" compile -q $QUICK "$@" --weights=external -o "$name"
}
paint() { # paint NAME
    check "$1: paint" "./$1" -q -p "a red circle on a white background" --steps 8 --cfg-scale 4 -s 5 -o "$1.png" --no-metadata
}
write() { # write FILE TYPE OPTIONS...
    out=$1 type=$2
    shift 2
    check "write $out" "$EBRU_GGUF_FILE" "$W" "$out" "$type" "$@"
}
compiled own "$M"
paint own

write f32.gguf F32
compiled f32 "$M" --unet=f32.gguf
paint f32
check "f32: the same picture" cmp own.png f32.png
write f16.gguf F16 --original "$M/unet" --flatten
compiled f16 "$M" --unet=f16.gguf
check "f16, original names, flattened: the same packed weights" cmp own.weights f16.weights
check "the program knows its U-Net" sh -c "./f32 --build-info | grep -q '^unet: f32.gguf'"
write q8.gguf Q8_0
compiled q8 "$M" --unet=q8.gguf
paint q8
check "Q8_0: nearly the same picture" "$EBRU_PNGDIFF" q8.png own.png 30
check "Q8_0: not the same weights" sh -c "! cmp -s own.weights q8.weights"
write q4.gguf Q4_0 --original "$M/unet" --flatten
check "Q4_0 is read" "$EBRU" compile -q "$M" --unet=q4.gguf --emit=ir:graph -o q4.ir
check "Q4_0: the weights are f32 from the file" grep -q "weight @unet/.*f32.*q4.gguf" q4.ir

# through IR text; from a folder, under a name that says otherwise
check "stop" "$EBRU" compile -q "$M" --unet=q8.gguf --stop-after=dce -o stopped.ir
compiled again stopped.ir
check "Q8_0 through text: the same packed weights" cmp q8.weights again.weights
# digest STEM MODEL OPTIONS...: of all weights as they are stored, into STEM.digest
digest() {
    stem=$1
    shift
    check "$stem is read" "$EBRU" compile -q "$@" --emit=ir:graph -o "$stem.ir"
    check "$stem has a digest" sh -c "grep model.digest $stem.ir >$stem.digest"
}
digest q8-beside "$M" --unet=q8.gguf
cp -r "$M" folder && chmod -R u+w folder && rm folder/unet/*.safetensors && cp q8.gguf folder/unet/diffusion_pytorch_model.gguf
digest q8-in folder
check "a folder with a GGUF file: the same weights" cmp q8-beside.digest q8-in.digest
mv folder/unet/diffusion_pytorch_model.gguf folder/unet/diffusion_pytorch_model.safetensors
digest q8-named folder
check "called safetensors: the same weights" cmp q8-beside.digest q8-named.digest

# a whole checkpoint in the original names, with parts of tensors
check "write a checkpoint" "$EBRU_LDM_FILE" "$GOLDENS/ldm/sd2" "$GOLDENS/ldm/sd2.map" sd2.safetensors
W=sd2.safetensors
write sd2.gguf F32
write sd2-q8.gguf Q8_0
digest sd2-tensors sd2.safetensors --prediction=v_prediction
digest sd2-gguf sd2.gguf --prediction=v_prediction
check "a checkpoint: the same weights" cmp sd2-tensors.digest sd2-gguf.digest
digest sd2-blocks sd2-q8.gguf --prediction=v_prediction
check "a checkpoint in Q8_0: not the same weights" sh -c "! cmp -s sd2-tensors.digest sd2-blocks.digest"
check "parts of blocks" "$EBRU" compile -q $QUICK sd2-q8.gguf --component=text_encoder -o text

# what is not read
refused() { # refused WHAT MESSAGE COMMAND...
    what=$1 message=$2
    shift 2
    if "$@" >refused.out 2>&1; then fail "$what"; else check "$what" grep -q -e "$message" refused.out; fi
    check "$what: no output" sh -c "! [ -e no ]"
}
refused "a U-Net alone" "beside it with --unet=" "$EBRU" compile q8.gguf -o no
check "the architecture is told" grep -q "architecture is 'sd1'" refused.out
refused "a U-Net alone, original names" "this file with --unet=" "$EBRU" compile f16.gguf -o no
head -c 100000 q8.gguf >cut.gguf
refused "a file that was cut" "cut.gguf: .*the file is truncated" "$EBRU" compile "$M" --unet=cut.gguf -o no
W=$M/unet/diffusion_pytorch_model.safetensors
write mute.gguf F16 --flatten --mute
refused "flattened, and nothing says from what" "no key comfy.gguf.orig_shape" "$EBRU" compile "$M" --unet=mute.gguf -o no
refused "another model's U-Net" "do not fit the model" "$EBRU" compile "$GOLDENS/unet-sd1" --unet=q8.gguf -o no
refused "--unet with IR" "--unet= goes with a model" "$EBRU" compile stopped.ir --unet=q8.gguf -o no
refused "--unet with random weights" "would not be read" "$EBRU" compile "$M" --unet=q8.gguf --weights=random:1 -o no
refused "--unet without a U-Net" "no U-Net" "$EBRU" compile "$M" --component=vae --unet=q8.gguf -o no
done_testing
