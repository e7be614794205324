# LoRA files kept beside the weights (--lora-slot=) and applied by programs (--lora NAME:SCALE): networks and pictures against
# merged ones, the bits of a program without slots where none is on, and what is refused.
. "$(dirname "$0")/lib.sh"
L=$GOLDENS/lora/shapes-128.safetensors
V=$GOLDENS/lora-variants
rms() { python3 "$EBRU_SOURCE/tests/e2e/call_rms.py" "$V/locon.io.safetensors" unet "$1" "$2" "$3" encoder_hidden_states=4928; }

# Linear layers, convolutions, lora_mid, rsLoRA, PEFT without alpha. The goldens' factors are as large as the weights.
for name in plain-peft-noalpha locon locon-mid rslora-peft; do
    check "slot of $name" "$EBRU" compile -q $QUICK "$V/unet" --lora-slot="s=$V/$name.safetensors" -o "slot-$name"
    check "merge $name" "$EBRU" compile -q $QUICK "$V/unet" --lora="$V/$name.safetensors:0.75" -o "merged-$name"
    check "$name" rms 1e-6 "./slot-$name --lora s:0.75" "./merged-$name"
done
check "without the LoRA it is another result" sh -c '! python3 "$@"' - "$EBRU_SOURCE/tests/e2e/call_rms.py" \
    "$V/locon.io.safetensors" unet 1e-2 ./slot-locon ./merged-locon encoder_hidden_states=4928

check "two slots" "$EBRU" compile -q $QUICK "$V/unet" --lora-slot="$V/locon.safetensors" --lora-slot=b="$V/rslora-peft.safetensors" -o two
check "both merged" "$EBRU" compile -q $QUICK "$V/unet" --lora="$V/locon.safetensors:0.5" --lora="$V/rslora-peft.safetensors:-0.25" -o both
check "two at once" rms 1e-6 "./two --lora locon:0.5 --lora b:-0.25" ./both
check "one of two" rms 1e-6 "./two --lora locon:0.75 --lora b:0" ./merged-locon

paint() { # paint PROGRAM FILE OPTION...
    program=$1 to=$2
    shift 2
    "./$program" -q --no-metadata -p "a red circle on a white background" --steps 4 --cfg-scale 4 -s 5 -o "$to" "$@"
}
for precision in f32 bf16 int8; do
    check "compile with a slot" "$EBRU" compile -q $QUICK --precision=$precision "$MODELS/shapes-128" --lora-slot=style="$L" -o with
    check "compile without" "$EBRU" compile -q $QUICK --precision=$precision "$MODELS/shapes-128" -o without
    check "paint, no LoRA" paint with none.png
    check "paint, scale 0" paint with zero.png --lora style:0
    check "paint, without slots" paint without plain.png
    check "$precision: no LoRA gives the bits of a program without slots" cmp none.png plain.png
    check "$precision: so does scale 0" cmp zero.png plain.png
    [ $precision = f32 ] || continue
    check "compile merged" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --lora="$L:0.8" -o merged
    check "paint merged" paint merged merged.png
    check "paint with a LoRA" paint with on.png --lora style:0.8
    check "the picture is the merged one" "$EBRU_PNGDIFF" on.png merged.png 70
    check "and another than without" sh -c '! "$1" on.png plain.png 45' - "$EBRU_PNGDIFF"
    # IR text has the slots; weights may stand in a file of their own.
    check "IR" "$EBRU" compile -q "$MODELS/shapes-128" --lora-slot=style="$L" --emit=ir:fused -o fused.ir
    check "compile it" "$EBRU" compile -q $QUICK fused.ir --weights=external -o external
    check "paint" paint external external.png --lora style:0.8
    check "the same picture" cmp on.png external.png
    mv with kept
    mv without bare
done

./kept -q -p x --steps 1 --lora style:0.5 -o text.png
check "the picture's text" grep -aq 'LoRA slots: "style:0.5 ([0-9a-f]\{16\})"' text.png
check "--help lists the slots" sh -c './kept --help | grep -qx "LoRAs: style"'
check "--build-info has them" sh -c './kept --build-info | grep -qx "lora.name.0: style"'
check "the digest of the model stays" sh -c '[ "$(./kept --build-info | grep ^model.digest)" = "$(./bare --build-info | grep ^model.digest)" ]'

refused() { # refused WHAT STATUS TEXT COMMAND...: ends so, saying this, and writes nothing
    what=$1 status=$2 text=$3
    shift 3
    rm -f out
    "$@" >said.txt 2>&1
    if [ $? = "$status" ] && grep -qF -e "$text" said.txt && ! [ -e out ]; then pass "$what"; else
        fail "$what"
        cat said.txt
    fi
}
program() { what=$1 text=$2 && shift 2 && refused "$what" 2 "$text" ./kept -p x -o out "$@"; }
program "an unknown name" "no LoRA 'stile'; did you mean 'style'? (it has: style)" --lora stile
program "a scale that is no number" "the scale 'much' of 'style' is not a finite number" --lora style:much
program "an infinite scale" "is not a finite number" --lora style:inf
program "a name twice" "'style' is given twice" --lora style --lora style:0.5
refused "a program without slots" 2 "keeps no LoRAs: ebru compile --lora-slot=FILE" ./bare -p x --lora style -o out
compile() { what=$1 status=$2 text=$3 && shift 3 && refused "$what" "$status" "$text" "$EBRU" compile -q "$V/unet" -o out "$@"; }
compile "two slots of a name" 1 "two slots have the name 'locon'" --lora-slot="$V/locon.safetensors" --lora-slot=locon="$V/locon-mid.safetensors"
compile "a name with a colon" 1 "'a:b' cannot name a slot" --lora-slot=a:b="$V/locon.safetensors"
compile "no file" 3 "nothing" --lora-slot=nothing
compile "a LoRA of another model" 1 "the LoRA does not fit the model: modules not in the model 24, wrong shapes 33" --lora-slot="$L"
compile "LoHa" 1 "only merged, with --lora=: 'lora_unet_down_blocks_0_attentions_0_proj_in' is LoHa" --lora-slot="$V/loha.safetensors"
compile "DoRA" 1 "is DoRA, no product of factors" --lora-slot="$V/dora-peft.safetensors"
compile "whole differences" 1 "is a whole difference" --lora-slot="$V/full.safetensors"
compile "IA3" 1 "is IA3" --lora-slot="$V/ia3.safetensors"
done_testing
