# Pictures from pictures: image to image and inpainting of the two trained models against what the reference painted
# (tests/goldens/pictures, PSNR of its table), what a mask keeps, and what a long run leaves behind when it is interrupted.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"

ln -s "$EBRU_PROGRAMS/shapes-128" shapes-128
ln -s "$EBRU_PROGRAMS/shapes-32" shapes-32
grep -v '^#' "$GOLDENS/pictures/pictures.tsv" >rows.txt
while IFS="$tab" read -r name model psnr options; do
    paint_row "$GOLDENS/pictures" "$model" "$name" "$psnr" "$options"
done <rows.txt

# what the mask has in white is repainted, the rest stays: exactly where the sample is the picture, through the autoencoder otherwise
python3 - <<'PY'
import struct, zlib
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
def mask(path, side, white):
    raw = b"".join(b"\0" + bytes(255 * white(x, y) for x in range(side)) for y in range(side))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
mask("part.png", 32, lambda x, y: 8 <= x < 20 and 10 <= y < 30)
mask("right.png", 128, lambda x, y: x >= 64)
mask("near.png", 128, lambda x, y: x >= 40) # the decoder looks 24 pixels far
PY
heart=$MODELS/shapes-32/expected/heart.png star=$MODELS/shapes-128/expected/star.png
part32() { ./shapes-32 -q --class 3 --steps 8 -i "$heart" --mask part.png "$@"; }
check "inpaint pixels" part32 -s 4 -o part-out.png
check "  keep what is not masked, exactly" "$EBRU_PNGDIFF" part-out.png "$heart" 99 part.png
if "$EBRU_PNGDIFF" part-out.png "$heart" 25 >/dev/null; then fail "  and paint the rest anew"; else pass "  and paint the rest anew"; fi
check "inpaint latents" ./shapes-128 -q -p "a green hexagon on a white background" --steps 6 -i "$star" --mask right.png -o right-out.png
check "  keep what is not masked, as the autoencoder does" "$EBRU_PNGDIFF" right-out.png "$star" 27 near.png

# a batch of pictures is its single pictures; strength's default for masks is 1
check "two seeds in one run" part32 -s 4 -b 2 -o two.png
check "  the first as alone" cmp two-0001.png part-out.png
check "strength 1 with a mask" part32 -s 4 --strength 1 -o one.png
"$EBRU_PNGDIFF" one.png part-out.png 99 >/dev/null && pass "  is the default" || fail "  is the default"
check "the text in the PNG" sh -c 'grep -aq "Denoising strength: 1, Mask: on" one.png'
check "  is left out on demand" sh -c './shapes-32 -q --class 3 --steps 2 -i "$1" --no-metadata -o bare.png && ! grep -aq Denoising bare.png' sh "$heart"

# guidance of 1 and below runs no unconditional half
text() { ./shapes-128 -q -p "a red circle" --steps 2 -s 3 --no-metadata "$@"; }
check "cfg scale 1" text --cfg-scale 1 -o g1.png
check "cfg scale 0.5" text --cfg-scale 0.5 -o g05.png
check "  is the same picture" cmp g1.png g05.png
./shapes-128 -p "a red circle" --steps 1 --cfg-scale 1 -n blurry --progress=none -o told.png 2>told.txt
check "a negative prompt at guidance 1 is told" grep -q "note: --negative-prompt has no effect" told.txt
printf 'blurry' >negative.txt
check "negative prompts are read from files" sh -c './shapes-128 -q -p x -n @negative.txt --steps 1 -o n1.png && ./shapes-128 -q -p x -n blurry --steps 1 -o n2.png && cmp n1.png n2.png'
./shapes-128 -q -p "a red circle <lora:style:0.8>" --steps 1 -o lora.png 2>told.txt
check "a LoRA in the prompt is refused" sh -c 'grep -q "ebru compile --lora" told.txt && ! [ -e lora.png ]'
check "guidance rescale" text --cfg-scale 7 --guidance-rescale 0.7 -o rescaled.png
check "guidance without it" text --cfg-scale 7 -o plain.png
if cmp -s rescaled.png plain.png; then fail "  is another picture"; else pass "  is another picture"; fi

# a long run that is interrupted leaves what it has finished, whole, and nothing else
mkdir long
./shapes-32 -q --class 3 -b 2000 -o long/p.png &
pid=$!
for i in $(seq 600); do [ -e long/p-0002.png ] && break || sleep 0.1; done
kill -TERM $pid
wait $pid
check "interrupted: the first picture is there" "$EBRU_PNGDIFF" long/p-0001.png long/p-0001.png
left=$(ls -A long | grep -v -c '^p-[0-9]*\.png$')
if [ "$left" = 0 ]; then pass "  and nothing half written"; else fail "  left $(ls -A long)"; fi
check "a trace of text encoders, steps and decoder" text --profile trace.json -o traced.png
check "  is nested, sorted and as long as the run" python3 "$EBRU_SOURCE/tests/e2e/trace_check.py" trace.json
done_testing
