# Nothing is lost and nothing is left: outputs of every kind, pairs, races, kills, names that cannot be, hostile names.
. "$(dirname "$0")/lib.sh"
# With sanitizers: what the system refuses is for ebru to handle, and a cut file is, too.
ASAN_OPTIONS=allocator_may_return_null=1:handle_sigbus=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export ASAN_OPTIONS
# is CODE COMMAND...: the command ends with CODE
is() {
    code=$1
    shift
    "$@" >is.out 2>is.err
    got=$?
    [ $got = "$code" ] || { echo "exit $got"; cat is.err; return 1; }
}
says() { grep -q -- "$1" is.err || { cat is.err; return 1; }; }
clean() { [ -z "$(find . -name '.*tmp*' -o -name '.*.weights.*')" ]; }
compile() { "$EBRU" compile -q -O0 "$@"; }
ONE="$EBRU_SOURCE/models/class-unet-32.json --weights=random:1"

# -- kinds of outputs
mkfifo fifo
echo keep >real
ln -s real link
ln -s new dangling
(cat fifo >from_fifo) &
check "compile into a FIFO" compile "$MODELS/shapes-32" -o fifo
wait
check "a FIFO stays one and has got all" sh -c '[ -p fifo ] && [ "$(head -c 4 from_fifo | tail -c 3)" = ELF ]'
check "compile through a link" compile "$MODELS/shapes-32" -o link
check "the link stays, its target is the program" sh -c '[ -L link ] && ./real --version'
check "compile through a dangling link" compile "$MODELS/shapes-32" -o dangling
check "its target is made" sh -c '[ -L dangling ] && ./new --version'
for kind in exe obj lib asm llvm-ir; do
    check "$kind into a folder is refused" is 3 "$EBRU" compile -q -O0 $ONE --emit=$kind -o .
done
check "a name of 256 bytes" is 3 "$EBRU" compile -q -O0 $ONE -o "$(printf '%0256d' 0)"
check "it is told before the work" says 'File name too long'
check "a name that .weights makes too long" is 3 "$EBRU" compile -q -O0 $ONE --weights=external -o "$(printf '%0250d' 0)"
check "compile: closed standard output" sh -c '"$0" compile -q "$1" --emit=ir -o - >&-; [ $? = 3 ]' "$EBRU" "$MODELS/shapes-32"
check "compile: nobody reads" sh -c '{ "$0" compile -q "$1" --emit=ir -o - 2>pipe.err; echo $? >pipe.code; } | :; [ "$(cat pipe.code)" = 141 ] && [ ! -s pipe.err ]' "$EBRU" "$MODELS/shapes-32"
clean && pass "nothing is left" || fail "left: $(ls -A)"

# -- a program and its weights
check "external weights" compile "$MODELS/shapes-32" --weights=external -o pair
one() { ./pair --class 1 --steps 1 -q -t 1 -o pair.png; }
check "the pair paints" one
cp pair old
cp pair.weights old.weights
id=$(./pair --build-info | sed -n 's/.*, id //p')
# what a compiler leaves that is killed before it replaces the program: others' weights, and the old ones by their id
mv pair.weights ".pair.weights.$id"
echo others >pair.weights
check "the weights kept for it are found" one
check "the next compiler clears up" compile "$MODELS/shapes-32" --weights=external -o pair
check "and the pair paints" sh -c '[ "$(ls -A | grep -c "pair.weights")" = 1 ]' && check "with its own" one
mkdir folder && cp pair pair.weights folder/ && (
    cd folder && chmod u+w . && rm pair && mkdir pair && echo keep >pair/file
)
check "the program cannot be replaced" is 3 "$EBRU" compile -q -O0 "$MODELS/shapes-32" --precision=bf16 --weights=external -o folder/pair
check "then the weights stay" cmp folder/pair.weights old.weights
if command -v strace >/dev/null && [ -z "${EBRU_SANITIZE:-}" ]; then
    for how in signal=SIGKILL error=EIO; do
        for when in 1 2; do
            strace -f -qq -o /dev/null -e trace=rename -e inject=rename:$how:when=$when \
                "$EBRU" compile -O0 -q "$MODELS/shapes-32" --weights=external --precision=bf16 -o pair 2>/dev/null
            check "the pair paints after $how of rename $when" one
        done
    done
fi
check "a compiler that ends clears up" compile "$MODELS/shapes-32" --weights=external -o pair
clean && pass "nothing is left" || fail "left: $(ls -A)"

# -- what is left of runs that did not end
"$EBRU" compile -q -O3 "$MODELS/shapes-128" -o killed &
sleep 0.4
kill -9 $!
wait $! 2>/dev/null
check "compile where another was killed" compile $ONE -o killed
clean && pass "its temporaries are gone" || fail "left: $(ls -A)"
for signal in HUP XCPU USR1 TERM; do # a shell starts children with QUIT and INT ignored
    "$EBRU" compile -q -O3 "$MODELS/shapes-128" -o ended 2>/dev/null &
    pid=$!
    sleep 0.3
    kill -$signal $pid
    wait $pid 2>/dev/null
    clean && [ ! -e ended ] && pass "nothing is left after $signal" || fail "left after $signal: $(ls -A)"
done
(ulimit -f 100 && is 3 "$EBRU" compile -q -O0 $ONE -o limited) && pass "a file size limit" || fail "a file size limit"
printf 'ebru ir 1 graph\nweight @w : f32[1000000,1000000] = random 1 0.1 0.0\nfunc @f(%%0 x : f32[1,1000000] step) {\n  %%1 = linear %%0, @w : f32[1,1000000]\n  return y = %%1\n}\n' >huge.ir
[ -n "${EBRU_SANITIZE:-}" ] || check "out of memory" is 3 "$EBRU" compile -q -O0 huge.ir -o huge
[ -n "${EBRU_SANITIZE:-}" ] || check "  names the weight and its size" sh -c '"$EBRU" compile -q -O0 huge.ir -o huge 2>&1 |
    grep -q "out of memory: 4000000000000 bytes were asked for, for weight .w. : f32\[1000000,1000000\]"'
clean && pass "nothing is left of it" || fail "left: $(ls -A)"
cp -r "$MODELS/shapes-128" cut
chmod -R u+w cut
"$EBRU" compile -q -O3 cut -o cut.out 2>cut.err &
sleep 0.15
truncate -s 100000 cut/unet/diffusion_pytorch_model.safetensors
wait $!
code=$?
[ $code -lt 128 ] && [ $code != 70 ] && clean && pass "weights that are cut while they are read ($code)" || fail "cut weights: $code"
check "children of who ignores SIGCHLD" python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$EBRU" compile -q -O0 $ONE -o ignored
[ -n "${EBRU_SANITIZE:-}" ] || {
    check "a low stack limit is raised" sh -c 'ulimit -S -s 64; "$0" compile -q -O0 "$1" -o stack' "$EBRU" "$MODELS/shapes-32"
    check "a stack that is too small" sh -c 'ulimit -s 64; "$0" compile -q -O0 "$1" -o none 2>is.err; [ $? = 3 ]' "$EBRU" "$MODELS/shapes-32"
    check "it is told" says 'ulimit -s'
}
if mknod sink c 1 3 2>/dev/null && (: >sink) 2>/dev/null; then
    check "no folder for temporary files" sh -c 'TMPDIR=/nonexistent "$0" compile -q -O0 "$1" -o sink 2>is.err; [ $? = 3 ]' "$EBRU" "$MODELS/shapes-32"
    check "that folder is named" says "/nonexistent"
fi
check "no descriptors" sh -c 'ulimit -n 5; "$0" compile -q -O0 "$1" -o none; [ $? = 3 ]' "$EBRU" "$MODELS/shapes-32"

# -- the program's outputs
check "compile" compile "$MODELS/shapes-32" -o p
paint() { ./p -q --class 1 --steps 1 -t 1 "$@"; }
mkdir race && cd race || exit 1
for i in 1 2 3 4; do (../p -q --class 1 --steps 1 -t 1 -s $i) & done
wait
[ "$(ls -A | wc -l)" = 4 ] && [ -f output.png ] && [ -f output-0004.png ] && pass "four at once leave four" || fail "race: $(ls -A)"
../p -q --class 1 --steps 1 -t 1 -b 2
[ "$(ls -A | wc -l)" = 6 ] && pass "several find free numbers" || fail "several: $(ls -A)"
cd ..
for ending in jpg JPEG webp gif bmp tif avif ppm; do
    check "x.$ending is refused" is 2 paint -o x.$ending && check "and nothing is written" [ ! -e x.$ending ]
done
[ -n "${EBRU_SANITIZE:-}" ] || {
    check "a program with a low stack limit" sh -c 'ulimit -S -s 16; ./p -q --class 1 --steps 1 -t 3 -o low.png'
    check "one with too small a stack" sh -c 'ulimit -s 16; ./p -q --class 1 --steps 1 -t 3 -o none.png 2>is.err; [ $? = 3 ]'
    check "  tells it" says 'ulimit -s'
    # a signal of a fault that somebody sends is no fault of a file
    for run in "compile -q -O3 $MODELS/shapes-128 -o sent" "p"; do
        if [ "$run" = p ]; then ./p -q --class 1 --steps 900 -b 9 -o sent.png 2>is.err & else "$EBRU" $run 2>is.err & fi
        pid=$!
        sleep 0.5
        kill -BUS $pid
        wait $pid
        [ $? = 135 ] && pass "SIGBUS from outside ends it ($run)" || fail "SIGBUS ($run)"
        [ -s is.err ] && fail "  and says something of files: $(cat is.err)" || pass "  and says nothing of files"
        check "  and nothing stays" clean
    done
}
for name in x.png x.PNG x.other noending .jpg; do check "$name is written" paint -o $name; done
check "a name that its number makes too long" is 3 paint -b 2 -o "$(printf '%0250d' 0).png"
check "nothing was painted for it" says 'File name too long'
check "closed standard output" sh -c './p -q --class 1 --steps 1 -o - >&-; [ $? = 3 ]'
check "closed, of --call" sh -c './p --call=unet </dev/null >&-; [ $? = 3 ]'
check "nobody reads" sh -c '{ ./p -q --class 1 --steps 1 -o - 2>pipe.err; echo $? >pipe.code; } | :; [ "$(cat pipe.code)" = 141 ] && [ ! -s pipe.err ]'
# a device of the test's own: a fault would replace the machine's
if mknod device c 1 3 2>/dev/null && (: >device) 2>/dev/null; then
    check "several pictures into a device" paint -b 2 -o device
    check "a program into a device" compile "$MODELS/shapes-32" -o device
    check "the device stays" sh -c '[ -c device ] && [ ! -e device-0001 ]'
fi
# -- outputs where inputs are, or where other outputs go
cp -r "$MODELS/shapes-32" source
chmod -R u+w source
ln source/weights.safetensors hard.safetensors
ln -s source/model.json soft.json
"$EBRU" compile -q -O0 source --emit=ir:graph -o graph.ir
"$EBRU" compile -q -O0 $ONE --weights=external -o apart
cat source/* graph.ir apart apart.weights p >before.bytes 2>/dev/null
for name in source/model.json source/weights.safetensors hard.safetensors soft.json; do
    check "a program in place of $name" is 3 "$EBRU" compile -q -O0 source -o $name
    check "a metafile in place of $name" is 3 "$EBRU" compile -q -O0 source -o x --metafile=$name
done
check "IR in place of its source" is 3 "$EBRU" opt graph.ir -o graph.ir
check "two outputs of one name" is 2 "$EBRU" compile -q -O0 source -o two --metafile=./two
check "weights and another output" is 2 "$EBRU" compile -q -O0 source --weights=external -o two --metafile=two.weights
for name in apart apart.weights; do
    check "a picture in place of $name" is 3 ./apart -q --class 1 --steps 1 -o $name
    check "a profile in place of $name" is 3 ./apart -q --class 1 --steps 1 -o x.png --profile $name
    check "values in place of $name" is 3 ./apart --call unet --dump-values $name
done
check "a picture in place of its program" is 3 paint -o p
check "a picture and a profile of one name" is 2 paint -b 2 -o both.png --profile both-0002.png
check "two outputs on standard output" is 2 paint -o - --profile -
check "values among results" is 2 ./p --call unet --dump-values /dev/stdout
cat source/* graph.ir apart apart.weights p >after.bytes 2>/dev/null
check "all are as they were" cmp before.bytes after.bytes
check "and nothing else is there" sh -c '[ ! -e two ] && [ ! -e two.weights ] && [ ! -e both-0001.png ]'
check "threads beyond the limit" is 2 ./p -t 1025 --class 1
cat >wide.json <<'EOF'
{"ebru": 1, "name": "wide\u001b[31m\nlevel: none", "about": "a\u202eb", "params": {"H": 1, "W": 65536},
 "functions": {"unet": {"inputs": {"sample": {"shape": ["B", 1, "H", "W"], "dtype": "f32"}, "timestep": {"shape": ["B"], "dtype": "f32"}},
  "blocks": [{"block": "conv", "prefix": "c\u001b[31m", "from": "sample", "out": 1, "kernel": 1}], "outputs": "sample"}},
 "pipeline": {"kind": "unconditional", "denoiser": "unet", "guidance": false, "sampler": {"class": "ddpm", "steps": 1}}}
EOF
"$EBRU" compile -O0 wide.json --weights=random:1 -o wide >shown.txt 2>&1
check "a grid that no PNG can hold" is 1 ./wide -b 16 --grid 16 -t 1 --progress plain -o wide.png
check "nothing was painted for it" sh -c '! grep -q denoise is.err'

# -- names from models
{
    ./wide --help
    ./wide --build-info
    ./wide --bench --runs 1 --profile trace.json
    ./wide -p x
    for what in --fusion-report --analyze=3 '--emit=dot -o -' '--emit=ir -o -' '--emit=asm -o -' --metafile=/dev/stdout; do
        "$EBRU" compile -O0 wide.json --weights=random:1 $what
    done
    "$EBRU" inspect wide.json
    "$EBRU" inspect wide
    "$EBRU" report trace.json
} >>shown.txt 2>&1
check "names of models reach no terminal raw" sh -c '! grep -q -e "$(printf "\033")" -e "$(printf "\342\200\256")" -e "^level: none" shown.txt && [ "$(grep -c x1b shown.txt)" -gt 9 ]'
done_testing
