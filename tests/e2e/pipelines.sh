# Every pipeline of the Stable Diffusion family on tiny systems of random weights, against what the reference painted
# (tests/goldens/pipelines); batches, long and weighted prompts; options that a program cannot use. Runs in sanitizer builds too.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
TINY=$GOLDENS/pipelines

# is WHAT EXPECTED GOT
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }

grep -v '^#' "$TINY/pipelines.tsv" >rows.txt
while IFS="$tab" read -r name system compile psnr options; do
    program=$system$compile
    [ "$compile" = - ] && compile="" program=$system
    effort=$QUICK
    [ "$program" = xl ] && effort=-O1 # one of them with specialised kernels
    [ -x "$program" ] || check "compile $program" "$EBRU" compile -q $effort "$TINY/$system" $compile -o "$program"
    paint_row "$TINY" "$program" "$name" "$psnr" "$options"
done <rows.txt

# programs of two pictures a call: the same bits as one at a time
for system in inpaint xl upscale lcm; do
    check "compile $system for two pictures" "$EBRU" compile -q $QUICK "$TINY/$system" --batch=2 -o "$system-two"
done
picture=$TINY/picture.png mask=$TINY/mask.png small=$TINY/small.png map=$TINY/map.png
two() { # two SYSTEM OPTIONS: three pictures of two prompts in both programs
    system=$1
    shift
    for p in "$system" "$system-two"; do
        mkdir -p "out-$p"
        "./$p" -q -p "a red circle" -p "a blue square" -n green --steps 3 -b 3 -s 8 -o "out-$p/p.png" "$@" || return 1
    done
    diff -r "out-$system" "out-$system-two" && [ "$(ls "out-$system" | wc -l)" = 6 ]
}
check "inpaint: batch and singles" two inpaint -i "$picture" --mask "$mask" --sampling-method euler_a --strength 0.7
check "xl: batch and singles" two xl -i "$picture" --sampling-method ddpm --strength 0.9
check "upscale: batch and singles" two upscale -i "$small" --noise-level 50
check "lcm: batch and singles" two lcm -i "$picture" --strength 0.5

# an encoder that gives a latent instead of a distribution
cp -rL "$TINY/xl" tiny && rm -r tiny/vae && cp -r "$GOLDENS/vae-tiny" tiny/vae
sed 's/AutoencoderKL/AutoencoderTiny/' "$TINY/xl/model_index.json" >tiny/model_index.json
check "compile AutoencoderTiny" "$EBRU" compile -q $QUICK tiny -o with-tiny
check "paint from a picture" ./with-tiny -q -p "a red circle" -i "$picture" --steps 4 --strength 0.5 -o tiny1.png
check "the same again" ./with-tiny -q -p "a red circle" -i "$picture" --steps 4 --strength 0.5 -b 2 -o tiny.png
check "  in a run of two" cmp tiny1.png tiny-0001.png

# prompts
xl() { ./xl -q --steps 2 --no-metadata "$@"; }
check "a plain prompt" xl -p "a red circle" -o plain.png
check "brackets are text" xl -p "a (red:1.5) circle" -o text.png
check "unless they are weights" xl -p "a (red:1.5) circle" --prompt-weights -o weighted.png
if cmp -s text.png weighted.png || cmp -s plain.png weighted.png; then fail "  that differ"; else pass "  that differ"; fi
check "weights of 1" xl -p "a (red:1.0) circle" --prompt-weights -o one.png
check "  change nothing" cmp plain.png one.png
check "a negative prompt of nothing" xl -p "a red circle" -n "" -o nothing.png
if cmp -s plain.png nothing.png; then fail "  is not none"; else pass "  is not none"; fi
long="a red circle above a blue square and a green star below a yellow ring on a white background of a cyan heart"
./xl --progress=none --steps 2 -p "$long" -o cut.png 2>stderr.txt
check "what is cut is told, once" sh -c '[ "$(grep -c "tokens more than the 18 the model reads; they are cut" stderr.txt)" = 1 ]'
program=xl--prompt-chunks=3 # the table's, if it is there
[ -x $program ] || check "compile for long prompts" "$EBRU" compile -q $QUICK "$TINY/xl" --prompt-chunks=3 -o $program
./$program --progress=none --steps 2 -p "$long" -o long.png 2>stderr.txt
is "long prompts are read" "wrote long.png" "$(cat stderr.txt)"
check "a prompt for each chunk" ./$program -q --steps 2 -p "a red BREAK blue circle" --prompt-weights -o break.png

# what a program cannot use is an error before it paints; refused PROGRAM WHAT CODE PATTERN OPTIONS
refused() {
    program=$1
    what=$2
    code=$3
    pattern=$4
    shift 4
    rm -f refused*.png
    "./$program" --progress=plain -p x -o refused.png "$@" >stdout.txt 2>stderr.txt </dev/null
    got=$?
    if [ $got = "$code" ] && grep -qE -- "$pattern" stderr.txt && ! grep -q denoise stderr.txt && [ "$(echo refused*.png)" = "refused*.png" ]; then
        pass "refused: $what"
    else
        fail "refused: $what: exit $got, expected $code and '$pattern'"
        cat stderr.txt
    fi
}
refused inpaint "inpainting without a picture" 2 "repaints a part of a picture: give the picture with -i"
refused inpaint "inpainting without a mask" 2 "give the part with --mask" -i "$picture"
refused inpaint "a depth map for inpainting" 2 "takes no depth map" -i "$picture" --mask "$mask" --depth "$map"
refused inpaint "a noise level for inpainting" 2 "--noise-level is for" -i "$picture" --mask "$mask" --noise-level 3
refused inpaint "strength that leaves no step" 2 "less than one step; take --steps 20 or more" -i "$picture" --mask "$mask" --steps 10 --strength 0.05
refused inpaint "strength that leaves no step at all" 2 "less than one step; take a greater --strength" -i "$picture" --mask "$mask" --steps 10 --strength 0.0001
refused inpaint "strength that leaves PNDM evaluations and no step" 2 "less than one step; take --steps 20 or more" \
    -i "$picture" --mask "$mask" --sampling-method pndm --steps 10 --strength 0.05
refused inpaint "strength 0" 2 "above 0 to 1" -i "$picture" --mask "$mask" --strength 0
refused inpaint "strength above 1" 2 "from 0 to 1" -i "$picture" --mask "$mask" --strength 1.5
refused inpaint "a mask that is no PNG" 1 "" -i "$picture" --mask "$TINY/pipelines.tsv"
refused inpaint "a picture that is not there" 3 "" -i missing.png --mask "$mask"
refused depth--size=32x32 "depth without a map" 2 "give it with --depth" -i "$picture"
refused depth--size=32x32 "depth without a picture" 2 "give the picture with -i" --depth "$map"
refused depth--size=32x32 "a mask for depth" 2 "takes no mask" -i "$picture" --depth "$map" --mask "$mask"
refused upscale "upscaling nothing" 2 "paints a picture larger: give the picture with -i"
refused upscale "upscaling with strength" 2 "see --noise-level" -i "$small" --strength 0.5
# one that takes no prompt
small_refused() {
    what=$1
    pattern=$2
    shift 2
    check "refused: $what" sh -c '! ./ldm-upscale -q -o no.png "$@" 2>err.txt && ! [ -e no.png ] && grep -q "$0" err.txt' "$pattern" "$@"
}
small_refused "a noise level where no noise is added" "this model adds no noise to the small picture" -i "$small" --noise-level 3
small_refused "super-resolution with strength" "strength: this model paints its picture larger\$" -i "$small" --strength 0.5
small_refused "super-resolution of nothing" "give the picture with -i"
refused upscale "a noise level beyond the model's" 2 "0 to 350" -i "$small" --noise-level 351
refused xl "a mask without its picture" 2 "--mask needs a picture" --mask "$mask"
refused xl "strength without a picture" 2 "needs a picture" --strength 0.5
refused xl "a weight that is none" 1 "weight" --prompt-weights -p "(a:1.2.3)"
refused lcm "rescaling guidance that is an input" 2 "no guidance to rescale" --guidance-rescale 0.5
refused lcm "LCM strength that leaves too few steps" 1 "at most 5 at this strength" -i "$picture" --steps 8 --strength 0.1
check "without a mask PNDM runs them" ./xl -q -p x -i "$picture" --sampling-method pndm --steps 10 --strength 0.05 -o pndm.png
check "compile without picture input" "$EBRU" compile -q $QUICK "$TINY/xl" --no-image-input -o xl-blind
refused xl-blind "a picture where none is read" 2 "compiled without picture input" -i "$picture"
check "a picture of another size" sh -c './xl -p x --steps 4 --progress=none -i "$1" -o wide.png 2>stderr.txt' sh "$TINY/wide.png"
check "  is resized and told" grep -q "is 48x32 pixels, resized to 32x32" stderr.txt
check "no noise at all" ./upscale -q -p x --steps 2 -i "$small" --noise-level 0 -o level0.png
check "  is in the PNG's text" grep -aq "Noise level: 0" level0.png
done_testing
