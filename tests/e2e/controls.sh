# Pictures controlled by pictures: pipelines of diffusers with a ControlNet and a T2I-Adapter of random weights, painted by diffusers;
# networks added to another folder, several at once, their range of steps, guess mode; what is refused.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/table.sh"
TINY=$GOLDENS/controls
control=$TINY/controlnet-control.png

check "compile controlnet" "$EBRU" compile -q $QUICK "$TINY/controlnet" -o controlnet
check "compile t2i" "$EBRU" compile -q $QUICK "$TINY/t2i" -o t2i
paint_row "$TINY" controlnet controlnet 45 '-p "a red boat" --steps 4 --cfg-scale 5 -s 7 --control controlnet-control.png'
paint_row "$TINY" controlnet controlnet-scale 45 '-p "the night" -n blur --steps 5 --cfg-scale 3 -s 8 --control controlnet-control.png:0.6'
paint_row "$TINY" t2i t2i 45 '-p "a red boat" --steps 4 --cfg-scale 5 -s 7 --control t2i-control.png:0.9'

# paint PROGRAM NAME OPTIONS
paint() {
    program=$1
    name=$2
    shift 2
    "./$program" -q --no-metadata -p "a red boat" --steps 4 --cfg-scale 5 -s 7 -o "$name.png" "$@"
}
differ() { ! cmp -s "$1" "$2"; }

# The same networks, named beside a folder that has none, together and in several copies. All numbers of half the scale are
# halves, so that two halves are the same bits as the whole.
cp -rL "$TINY/controlnet" plain && rm -r plain/controlnet
sed -e 's/StableDiffusionControlNetPipeline/StableDiffusionPipeline/' "$TINY/controlnet/model_index.json" |
    tr -d '\n' | sed 's/, *"controlnet": *\[[^]]*\]//' >plain/model_index.json
check "compile a plain folder" "$EBRU" compile -q $QUICK plain -o plain-program
check "compile it with --controlnet" "$EBRU" compile -q $QUICK plain --controlnet="$TINY/controlnet/controlnet" -o beside
cp -rL "$TINY/controlnet" several && cp -r several/controlnet several/controlnet_1
sed 's/"ControlNetModel"/"MultiControlNetModel"/' "$TINY/controlnet/model_index.json" >several/model_index.json
check "compile two of a folder, and an adapter" "$EBRU" compile -q $QUICK several --t2i-adapter="$TINY/t2i/adapter" -o several-program
check "with --control" paint controlnet with --control "$control"
check "without" paint controlnet without
check "beside" paint beside beside --control "$control"
check "  is the same picture" cmp with.png beside.png
check "two halves" paint several-program halves --control "$control:0.5" --control "$control:0.5" --control "$control:0"
check "  are the same picture" "$EBRU_PNGDIFF" with.png halves.png 60
check "one of them" paint several-program one --control "$control" --control "$control:0" --control "$control:0"
check "  is the same picture" "$EBRU_PNGDIFF" with.png one.png 60
check "all three" paint several-program three --control "$control" --control "$control" --control "$TINY/t2i-control.png"
check "  are another one" differ one.png three.png
check "the plain program" paint plain-program plain
check "  paints what a program does without --control" "$EBRU_PNGDIFF" plain.png without.png 60
check "  and with none of its networks at work" paint several-program none --control "$control:0" --control "$control:0" --control "$control:0"
check "  the same" "$EBRU_PNGDIFF" plain.png none.png 60

# Ranges: of 4 steps the third begins at 0.5.
check "a range without a step" paint controlnet idle --control "$control:1:0.8:1"
check "  changes nothing" cmp without.png idle.png
check "the whole range" paint controlnet whole --control "$control:1:0:1"
check "  is what is meant without one" cmp with.png whole.png
check "the first half" paint controlnet first --control "$control:1:0:0.5"
check "the second half" paint controlnet second --control "$control:1:0.5:1"
for i in with without second; do check "  is another picture than $i" differ first.png $i.png; done
check "one network for each half" paint several-program shift --control "$control:1:0:0.5" --control "$control:1:0.5:1" --control "$control:0"
check "  is one for the whole" "$EBRU_PNGDIFF" with.png shift.png 60
check "one that fades to nothing" paint several-program fade --control "$control:1:0:0.5" --control "$control:1e-30:0.5:1" --control "$control:0"
check "  is one for the first half" "$EBRU_PNGDIFF" first.png fade.png 60
check "an adapter for the first half" paint t2i t2i-first --control "$TINY/t2i-control.png:1:0:0.5"
check "an adapter" paint t2i t2i-whole --control "$TINY/t2i-control.png:1"
check "no adapter" paint t2i t2i-none
check "  all three differ" differ t2i-first.png t2i-whole.png
check "  " differ t2i-first.png t2i-none.png
check "two pictures, the first as before" paint t2i t2i-two --control "$TINY/t2i-control.png:1:0:0.5" -b 2
check "  the same bits" cmp t2i-first.png t2i-two-0001.png

# Guess mode.
check "guess mode" paint controlnet guess --control "$control" --guess-mode
check "  is another picture" differ guess.png with.png
check "without guidance" paint controlnet unguided --control "$control" --cfg-scale 1
check "  guess mode scales" paint controlnet unguided-guess --control "$control" --cfg-scale 1 --guess-mode
check "  the residuals" differ unguided.png unguided-guess.png
# where both halves read the same text, guidance changes what differs between them: nothing, or in guess mode the control
near() { "$EBRU_PNGDIFF" "$1" "$2" 60; }
far() { ! near "$1" "$2"; }
check "both halves of one text" paint controlnet same --control "$control" -n "a red boat"
check "  are one" near same.png unguided.png
check "  but not in guess mode" paint controlnet same-guess --control "$control" -n "a red boat" --guess-mode
check "  where one is controlled" far same-guess.png unguided-guess.png
check "  which counts alone at a guidance next to 1" paint controlnet next --control "$control" --guess-mode --cfg-scale 1.000001
check "  " near next.png unguided-guess.png
cp -rL "$TINY/controlnet" pooled
sed 's/"global_pool_conditions": false/"global_pool_conditions": true/' "$TINY/controlnet/controlnet/config.json" >pooled/controlnet/config.json
check "compile a pooled ControlNet" "$EBRU" compile -q $QUICK pooled -o pooled-program
check "which guesses" paint pooled-program pooled --control "$control"
check "  always" paint pooled-program pooled-guess --control "$control" --guess-mode
check "  the same picture" cmp pooled.png pooled-guess.png

# Batches: programs of two pictures a call.
check "compile for two pictures" "$EBRU" compile -q $QUICK several --t2i-adapter="$TINY/t2i/adapter" --batch=2 -o two
set -- --control "$control" --control "$control:0.5:0:0.5" --control "$TINY/t2i-control.png:1:0:0.3" --guess-mode -b 3
check "three pictures one by one" paint several-program singles "$@"
check "  and two at once" paint two pairs "$@"
for i in 1 2 3; do check "  picture $i" cmp singles-000$i.png pairs-000$i.png; done

# Edges, parameters, notes.
check "edges" paint controlnet edges --control "$TINY/controlnet.png" --control-canny
check "  by other thresholds" paint controlnet edges2 --control "$TINY/controlnet.png" --control-canny=20:60
check "  are others" differ edges.png edges2.png
check "  named before the picture" paint controlnet edges3 --control-canny=20:60 --control "$TINY/controlnet.png"
check "  are the same" cmp edges2.png edges3.png
./controlnet -q -p x --steps 1 --control "$control:0.5:0:1" -o told.png
check "the PNG tells" grep -aq 'Control 0: "controlnet:0.5:0:1", Control 0 hash: ' told.png
./controlnet --progress=none -p x --steps 1 -o told.png 2>stderr.txt
check "that there is none is told" grep -q "no control picture was given (--control)" stderr.txt
./controlnet --progress=none -p x --steps 1 --control "$GOLDENS/pipelines/wide.png" -o told.png 2>stderr.txt
check "another size is told" grep -q "is 48x32 pixels, resized to 64x64" stderr.txt
check "a file whose name ends in numbers" sh -c 'cp "$1" "a:0.5" && ./controlnet -q --no-metadata -p "a red boat" --steps 4 --cfg-scale 5 -s 7 --control a:0.5 -o named.png && cmp named.png with.png' sh "$control"

refused() { # refused WHAT PROGRAM CODE MESSAGE OPTIONS
    what=$1 program=$2 code=$3 message=$4
    shift 4
    "./$program" --progress=none -p x -o refused.png "$@" >stdout.txt 2>stderr.txt
    got=$?
    if [ $got = "$code" ] && grep -qF -e "$message" stderr.txt && [ ! -e refused.png ]; then
        pass "refused: $what"
    else
        fail "refused: $what: exit $got, expected $code and '$message'"
        cat stderr.txt
    fi
}
refused "a scale that is no number" controlnet 2 "no number" --control "$control:strong"
refused "a range with one end" controlnet 2 "ends in two numbers" --control "$control:1:0.5"
refused "a range that ends before it begins" controlnet 2 "0 <= START < STOP <= 1" --control "$control:1:0.8:0.2"
refused "a range beyond the steps" controlnet 2 "0 <= START < STOP <= 1" --control "$control:1:0:2"
refused "a scale without end" controlnet 2 "is not finite" --control "$control:1e999"
refused "no file" controlnet 2 "expects a file" --control ""
refused "too few pictures" several-program 2 "has 3 networks for control pictures, and --control was given 1 times" --control "$control"
refused "too many pictures" controlnet 2 "has 1 networks for control pictures" --control "$control" --control "$control"
refused "edges of nothing" controlnet 2 "--control-canny needs a picture: give it with --control" --control-canny
refused "thresholds that are none" controlnet 2 "two thresholds" --control "$control" --control-canny=100
refused "guessing without a picture" controlnet 2 "--guess-mode needs a picture" --guess-mode
refused "guessing without a ControlNet" t2i 2 "--guess-mode: this program has no ControlNet" --control "$TINY/t2i-control.png" --guess-mode
refused "a picture that is not there" controlnet 3 "missing.png" --control missing.png
refused "a picture that is none" controlnet 1 "" --control "$TINY/t2i/model_index.json"
refused "a picture for a program without networks" plain-program 2 "this program has no ControlNet or T2I-Adapter" --control "$control"
refused "an option of the compiler" controlnet 2 "ebru compile --controlnet" --controlnet x
done_testing
