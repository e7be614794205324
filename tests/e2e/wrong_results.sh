# Results that are wrong: a fault planted in a pass is found to the pass and the node, by bisection too, and reduced; a NaN is named where it arises.
. "$(dirname "$0")/lib.sh"

# says WHAT PATTERN FILE
says() { if grep -qE -- "$2" "$3"; then pass "$1"; else fail "$1: no '$2' in"; cat "$3"; fi; }

# a fault in one pass of shapes-128: what was planted, and what is found
fault=fuse_conv_epilogue
"$EBRU" compile -q "$MODELS/shapes-128" --plant-fault=$fault --emit=ir -o /dev/null 2>planted.txt
node=$(sed -n 's/^planted fault: .*: \(%[0-9]*\) = \([a-z0-9_]*\) .*/\1 \2/p' planted.txt)
"$EBRU" verify -q "$MODELS/shapes-128" --component=text_encoder --layers=passes --plant-fault=$fault >found.txt
says "the pass" "first pass that changes results: $fault\$" found.txt
says "the node, $node" "node $node " found.txt

# the same by bisection: the last application that is needed for wrong results is of that pass
wrong() { ! "$EBRU" verify -q "$MODELS/shapes-128" --component=text_encoder --layers=passes --plant-fault=$fault --opt-bisect-limit="$1" >/dev/null 2>&1; }
low=0
high=64
if wrong $high && ! wrong $low; then
    while [ $((high - low)) -gt 1 ]; do
        mid=$(((low + high) / 2))
        if wrong $mid; then high=$mid; else low=$mid; fi
    done
    "$EBRU" compile -q "$MODELS/shapes-128" --component=text_encoder --opt-bisect-limit=$high --emit=ir -o /dev/null 2>bisect.txt
    says "--opt-bisect-limit=$high" "^BISECT: running pass \($high\) $fault on text_encoder" bisect.txt
else
    fail "bisection has two ends"
fi

# reduced, and still wrong
if "$EBRU" reduce "$MODELS/shapes-128" --layers --plant-fault=$fault -o small.ir 2>reduce.txt; then
    ops=$(grep -c '^  %' small.ir)
    if [ "$ops" -le 10 ]; then pass "reduced to $ops ops: $(tail -n 1 reduce.txt)"; else fail "$ops ops are left"; fi
else
    fail "reduce"
    cat reduce.txt
fi
"$EBRU" verify -q small.ir --layers=passes --plant-fault=$fault >small.txt && fail "the small IR is right" || pass "the small IR is wrong, too"
check "the small IR is right without the fault" "$EBRU" verify -q small.ir --layers=passes

# compiled ops: every op of a network with its stages, on given inputs
check "ops of shapes-32" "$EBRU" verify -q "$MODELS/shapes-32" --io="$MODELS/shapes-32/io.safetensors" --layers=kernels -O0

# --check-finite: an infinity that one op makes, in the layout of images and in plain
cat >overflow.ir <<'IR'
ebru ir 3 graph
weight @w : f32[40,20,1,1] = random 1 0.5 0.0
func @f(%0 x : f32[1,20,2,3] step, %1 z : f32[5,4] step) {
  %2 = conv2d %0, @w : f32[1,40,2,3] loc("m.json":1:2 "first.block")
  %3 = affine %1 {mul=1000.0, add=0.0} : f32[5,4] loc("m.json":3:4 "second.block")
  %4 = exp %3 : f32[5,4] loc("m.json":3:4 "second.block")
  return y = %2, z = %4
}
IR
zeros() { head -c "$1" /dev/zero; }
frames() { # frames ELEMENT OF_X ELEMENT OF_Z VALUE: all zero but one element of each; values as octal bytes
    printf 'x 480\n'
    zeros $(($1 * 4)); printf "$2"; zeros $((476 - $1 * 4))
    printf 'z 80\n'
    zeros $(($3 * 4)); printf "$4"; zeros $((76 - $3 * 4))
}
check "compile --check-finite" "$EBRU" compile -q overflow.ir -O0 --check-finite -o finite
check "compile without" "$EBRU" compile -q overflow.ir -O0 -o quiet
one='\000\000\200\077' nan='\000\000\300\177' zero='\000\000\000\000'
frames 0 "$zero" 0 "$zero" | ./finite --call=f >out.bin 2>finite.txt && pass "finite numbers pass" || fail "finite numbers: $(cat finite.txt)"
frames 0 "$zero" 14 "$one" | ./finite --call=f >out.bin 2>finite.txt
code=$?
if [ $code = 1 ] && [ ! -s out.bin ]; then pass "exit code"; else fail "exit code $code"; fi
says "the op, its block and place" "function f: op [0-9]+ of [0-9]+, (exp|ew) .*block second.block: infinity at \[3,2\] of f32\[5,4\]" finite.txt
frames 0 "$zero" 14 "$one" | ./quiet --call=f >out.bin 2>/dev/null && pass "nobody looks without --check-finite" || fail "without --check-finite"
frames 106 "$nan" 0 "$zero" | ./finite --call=f -t 3 >out.bin 2>finite.txt
says "a NaN at its pixel" "layout_cast .*: NaN at \[0,17,1,1\] of f32\[1,20,2,3\]:c16" finite.txt

# a picture is not painted from a broken weight; the step is named
cp -r "$MODELS/shapes-32" broken
chmod -R u+w broken
printf '\377\377' | dd of=broken/weights.safetensors bs=1 seek=4000000 conv=notrunc 2>/dev/null
check "compile a broken weight" "$EBRU" compile -q broken -O0 --check-finite -o broken32
if ./broken32 -q --class 0 --steps 2 -o broken.png 2>broken.txt; then fail "a broken weight paints"; else pass "a broken weight does not paint"; fi
says "its op and step" "^error: function unet.(step, step 1|schedule|prompt): op .*: -?(NaN|infinity) at " broken.txt
[ -e broken.png ] && fail "a picture was left" || pass "no picture"
done_testing
