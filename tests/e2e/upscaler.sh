# Upscalers that are no diffusion: files and folders of RRDBNet, alone and behind a pipeline.
. "$(dirname "$0")/lib.sh"
X4=$GOLDENS/rrdb-x4 X2=$GOLDENS/rrdb-x2 SD=$GOLDENS/ip/pictures picture=$SD/reference.png
says() { # says TEXT COMMAND...: the command fails and says so
    text=$1
    shift
    "$@" >says.out 2>&1 && return 1
    grep -qF -- "$text" says.out || { cat says.out; return 1; }
}
for g in "$X4" "$X2"; do
    check "$(basename "$g") as a file" "$EBRU" verify "$g/model.safetensors" --io="$g/io.safetensors" $QUICK
    check "  in bf16" "$EBRU" verify "$g/model.safetensors" --io="$g/io.safetensors" $QUICK --precision=bf16
done
if command -v python3 >/dev/null; then
    python3 "$EBRU_SOURCE/tests/e2e/old_names.py" "$X4/model.safetensors" old.safetensors 2
    check "the names of ESRGAN" "$EBRU" verify old.safetensors --io="$X4/io.safetensors" --evaluator
fi

# alone
check "compile a file" "$EBRU" compile -q $QUICK "$X4/model.safetensors" --size=56x40 -o file
check "compile the folder" "$EBRU" compile -q $QUICK "$X4" --size=56x40 -o folder
check "enlarge" ./file -q -i "$picture" -o file.png
check "  by the other" ./folder -q --no-metadata -i "$picture" -o folder.png
check "  the same" "$EBRU_PNGDIFF" file.png folder.png 90
check "twice as large" "$EBRU" compile -q $QUICK "$X2" --size=56x40 -o twice
check "  enlarge" ./twice -q -i "$picture" -o twice.png

# behind a pipeline
check "compile behind a pipeline" "$EBRU" compile -q $QUICK "$SD" --upscaler="$X4/model.safetensors" -o behind
paint() { ./behind -q -p "a small house" --steps 2 -s 3 "$@"; }
check "paint" paint -o large.png
check "paint without" paint --no-upscale -o small.png
check "compile for the painted size" "$EBRU" compile -q $QUICK "$X4" --size=64 -o alone
check "  enlarge what was painted" ./alone -q -i small.png -o later.png
check "  the same" "$EBRU_PNGDIFF" large.png later.png 90
check "two in a grid" paint -b 2 --grid 2 -o grid.png
check "piece by piece" "$EBRU" compile -q $QUICK "$X4" --size=32 -o pieces
check "  enlarge" ./pieces -q -i small.png -o pieces.png
check "  nearly the same" "$EBRU_PNGDIFF" pieces.png later.png 50

# misuse
check "odd sides" says "multiples of 2" "$EBRU" compile "$X2" --size=55x40 -o x
check "no upscaler" says "no upscaler that is built" "$EBRU" compile "$SD" --upscaler="$SD/vae/diffusion_pytorch_model.safetensors" -o x
check "behind nothing" says "paints no pictures" "$EBRU" compile "$SD" --component=vae --upscaler="$X4/model.safetensors" -o x
check "no picture" says "give a picture with -i" ./file -o x.png
check "a prompt" says "--prompt: this program paints nothing" ./file -p x -i "$picture" -o x.png
check "steps" says "--steps: this program paints nothing" ./file --steps 3 -i "$picture" -o x.png
check "nothing to switch off" says "--no-upscale: this program paints nothing" ./file --no-upscale -i "$picture" -o x.png
done_testing
