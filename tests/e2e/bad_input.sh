# Bad inputs: a clear located message, the documented exit code, no output file, never a crash. Runs in sanitizer builds too.
. "$(dirname "$0")/lib.sh"

# bad WHAT CODE PATTERN COMMAND...: the command must end with CODE, say PATTERN (grep -E), and leave no file "out"
bad() {
    what=$1
    code=$2
    pattern=$3
    shift 3
    rm -rf out
    "$@" >stdout.txt 2>stderr.txt
    got=$?
    if [ $got != "$code" ]; then
        fail "$what: exit $got, expected $code"
        cat stderr.txt
    elif ! grep -qE -- "$pattern" stderr.txt; then
        fail "$what: the message lacks '$pattern'"
        cat stderr.txt
    elif [ -e out ]; then
        fail "$what: left an output file"
    elif grep -qE 'AddressSanitizer|runtime error|internal error' stderr.txt; then
        fail "$what: sanitizer report"
        cat stderr.txt
    else
        pass "$what"
    fi
}
compile() { "$EBRU" compile -q "$1" -o out; }
unet() { # unet NAME: a fresh copy of a small component folder
    rm -rf "$1"
    mkdir "$1"
    cp "$GOLDENS/unet2d-class/config.json" "$GOLDENS/unet2d-class/diffusion_pytorch_model.safetensors" "$1/"
    chmod -R u+w "$1"
}
W=diffusion_pytorch_model.safetensors
# header BYTES...: a safetensors file from a JSON header and n zero bytes of data
st() { # st FILE JSON DATA_BYTES
    python3 -c 'import struct,sys; h=sys.argv[2].encode(); open(sys.argv[1],"wb").write(struct.pack("<Q",len(h))+h+bytes(int(sys.argv[3])))' "$@"
}

# -- safetensors
unet m; head -c 5 $GOLDENS/unet2d-class/$W >m/$W
bad "safetensors: no header" 1 "$W: error" compile m
unet m; head -c 100000 $GOLDENS/unet2d-class/$W >m/$W
bad "safetensors: truncated data" 1 "$W" compile m
unet m; head -c 2000 $GOLDENS/unet2d-class/$W >m/$W
bad "safetensors: truncated header" 1 "$W" compile m
unet m; printf '\377\377\377\377\377\377\377\177{}' >m/$W
bad "safetensors: header longer than the file" 1 "$W" compile m
unet m; st m/$W '{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}' 8
bad "safetensors: size and shape disagree" 1 "'x'" compile m
unet m; st m/$W '{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}' 16
bad "safetensors: shape overflows" 1 "'x'" compile m
unet m; st m/$W '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' 8
bad "safetensors: duplicate tensor" 1 "'?x'?" compile m
unet m; st m/$W '{"x":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}' 4
bad "safetensors: unknown dtype" 1 "F33" compile m
unet m; st m/$W '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' 4
bad "weights: every tensor missing, one extra" 1 "conv_in.weight" compile m
unet m; python3 - "$GOLDENS/unet2d-class/$W" m/$W <<'PY'
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
s = h["conv_in.weight"]["shape"]
h["conv_in.weight"]["shape"] = [s[1], s[0], s[2], s[3]]
j = json.dumps(h).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(j)) + j + b[8 + n:])
PY
bad "weights: wrong shape" 1 "conv_in.weight" compile m
unet m; rm m/$W; touch m/diffusion_pytorch_model.bin
bad "weights: pickle refused" 1 "safetensors" compile m
unet m; mv m/$W m/diffusion_pytorch_model.bin
check "weights are safetensors whatever they are called" "$EBRU" compile -q m --emit=ir:graph -o named.ir
unet m; rm m/$W; echo '{"metadata":{},"weight_map":{"conv_in.weight":"../../../etc/passwd"}}' >m/$W.index.json
bad "shard name leaves the folder" 1 "passwd|name" compile m
unet m; rm m/$W; mkfifo m/$W
cp "$EBRU_SOURCE/README.md" notes.md
bad "a file that is no model" 1 "notes.md" compile notes.md
cp "$GOLDENS/unet2d-class/$W" 303786
bad "weights without an ending" 1 "weights alone are no model" compile 303786
check "a safetensors file is one whatever it is called" sh -c '"$1" inspect 303786 | grep conv_in.weight' sh "$EBRU"
cp "$EBRU_SOURCE/README.md" x.ckpt
bad "what is no pickle is not called one" 1 "x.ckpt:1:1: error" compile x.ckpt
cp /bin/true program
bad "a program is no model" 1 "this is a program, not a model" compile program
bad "weights are a FIFO" 1 "$W" timeout 20 "$EBRU" compile -q m -o out

# -- configs
unet m; sed -i 's/"AttnDownBlock2D"/"AttnDownBlok2D"/' m/config.json
bad "config: unknown block, suggestion" 1 "config.json:[0-9]+:[0-9]+: error.*AttnDownBlok2D|did you mean" compile m
unet m; sed -i 's/"layers_per_block"/"layers_per_blok"/' m/config.json
check "config: misspelt key is a located warning with a suggestion" sh -c \
    "'$EBRU' compile -q m --emit=ir -o misspelt.ir 2>&1 | grep -E \"config.json:[0-9]+:[0-9]+: warning.*layers_per_blok.*did you mean 'layers_per_block'\""
unet m; sed -i 's/"block_out_channels": \[/"block_out_channels": ["x", /' m/config.json
bad "config: string where a number stands" 1 "config.json:[0-9]+:[0-9]+: error" compile m
unet m; sed -i 's/"layers_per_block": [0-9]*/"layers_per_block": -3/' m/config.json
bad "config: negative count" 1 "config.json:[0-9]+:[0-9]+: error" compile m
unet m; sed -i 's/"layers_per_block": [0-9]*/"layers_per_block": 99999999999999999999/' m/config.json
bad "config: number out of range" 1 "config.json:[0-9]+:[0-9]+: error" compile m
unet m; sed -i 's/"UNet2DModel"/"UNet9DModel"/' m/config.json
bad "config: unsupported class by name" 1 "UNet9DModel" compile m

# -- JSON of each bad kind
json() { # json WHAT TEXT PATTERN
    printf '%b' "$2" >bad.json
    bad "JSON: $1" 1 "bad.json:[0-9]+:[0-9]+: error.*$3" compile bad.json
}
json "empty file" '' ''
json "trailing comma" '{"ebru": 1,}' ''
json "comment" '{/* no */"ebru": 1}' ''
json "leading zero" '{"ebru": 01}' ''
json "duplicate key" '{"ebru": 1, "name": "a", "name": "b"}' 'name'
json "invalid UTF-8" '{"ebru": "\\0377"}' ''
json "lone surrogate" '{"ebru": "\\\\ud800"}' ''
json "number too large" '{"ebru": 1e999}' ''
json "control character" '{"ebru": "a\\001b"}' ''
json "unknown key, suggestion" '{"ebru": 1, "name": "x", "functoins": {}}' "functoins.*did you mean 'functions'"
python3 -c 'print("["*100000)' >deep.json
bad "JSON: too deep" 1 "deep.json:[0-9]+:[0-9]+: error" compile deep.json
bad "missing model" 3 "nothing-here" "$EBRU" compile -q ./nothing-here -o out
bad "missing IR" 3 "nothing-here.ir" "$EBRU" compile -q ./nothing-here.ir -o out
bad "missing checkpoint" 3 "nothing.safetensors" "$EBRU" compile -q ./nothing.safetensors -o out
bad "missing LoRA" 3 "nothing.lora" "$EBRU" compile -q "$MODELS/shapes-32" --lora=nothing.lora -o out
bad "missing model to inspect" 3 "nothing-here" "$EBRU" inspect nothing-here
unet m; rm m/$W
bad "missing weights" 3 "no weights in this folder" compile m
unet m; rm m/$W; ln -s nowhere m/$W
bad "weights that are a link to nowhere" 3 "$W" compile m
mkdir -p empty
bad "empty folder" 1 "empty" compile empty

# -- IR text
printf 'ebru ir 3 graph\nfunc @f(%%0 x : f32[99999999999,99999999999,99999999999] step) {\n  return y = %%0\n}\n' >big.ir
bad "IR: shape overflows" 1 "big.ir:[0-9]+:[0-9]+: error" compile big.ir
printf 'ebru ir 3 graph\nfunc @f(%%0 x : f32[2] step) {\n  %%1 = sillu %%0 : f32[2]\n  return y = %%1\n}\n' >op.ir
bad "IR: unknown op" 1 "op.ir:3:[0-9]+: error" compile op.ir

# -- surroundings
check "an empty environment" env -i "$EBRU" compile -q $QUICK "$MODELS/shapes-32" -o bare

# -- command line
bad "unknown option, suggestion" 2 "did you mean '--emit" "$EBRU" compile -q x --emti=ir -o out
bad "unknown command" 2 "did you mean 'compile'" "$EBRU" complie x -o out
bad "bad size" 2 "WIDTHxHEIGHT" "$EBRU" compile -q x --size=12x -o out
bad "unknown pass" 1 "fuse_nothing" "$EBRU" compile -q "$GOLDENS/unet2d-class" -fno-fuse_nothing -o out
bad "unknown cpu" 1 "x86-64-v9" "$EBRU" compile -q "$GOLDENS/unet2d-class" -mcpu=x86-64-v9 -o out
bad "unwritable output" 3 "no/such/dir" "$EBRU" compile -q "$GOLDENS/unet2d-class" --emit=ir -o no/such/dir/x
bad "full disk" 3 "/dev/full" "$EBRU" compile -q "$GOLDENS/unet2d-class" --emit=ir -o /dev/full

# -- the emitted program
if "$EBRU" compile -q $QUICK "$MODELS/shapes-128" -o s128 2>compile.txt; then
    bad "prompt: invalid UTF-8" 1 "byte" ./s128 -q -p "$(printf 'a \377 circle')" --steps 1 -o out
    bad "program: unknown option" 2 "did you mean '--steps'" ./s128 --stesp 3 -p x -o out
    bad "program: no LoRA was kept" 2 "ebru compile --lora-slot=FILE keeps one" ./s128 --lora=x -p x -o out
    for o in --size --precision --batch=2 --clip-skip=1 --prompt-chunks --prediction --sampler --scheduler-config --weights; do
        bad "program: $o is the compiler's" 2 "when the program is compiled: ebru compile ${o%=*}" ./s128 $o -p x -o out
        check "  and it is" sh -c "'$EBRU' compile --help | grep -q -e '^ *${o%=*}='"
    done
    bad "program: diffusers' name of --steps" 2 "--steps is the number" ./s128 --num-inference-steps 3 -p x -o out
    bad "program: two numbers in a name" 2 "has 2 numbers" ./s128 -p x -o 'x%d-%04d.png'
    bad "program: a number too wide" 2 "at most 2 digits" ./s128 -p x -o 'x%100d.png'
    bad "program: no prompt" 2 "prompt" ./s128 -q -o out
    bad "program: another size" 2 "128x128" ./s128 -q -p x -W 512 -o out
    bad "program: output in no folder" 3 "no/such" ./s128 -q -p x --steps 1 -o no/such/x.png
    bad "program: full disk" 3 "/dev/full|No space" ./s128 -q -p x --steps 1 -o /dev/full
    mkdir -p dir
    bad "program: output is a folder" 3 "dir" ./s128 -q -p x --steps 1 -o dir
    bad "program: class for a text model" 2 "no classes" ./s128 -q --class 3 -o out
    python3 -c 'print("word " * 10000)' >long.txt
    check "prompt: 10,000 words are cut and told" sh -c './s128 --progress=none -p @long.txt --steps 1 -o long.png 2>&1 | grep "tokens more"'
    sh -c 'ulimit -f 4; ./s128 -q -p x --steps 1 -o limited.png' 2>stderr.txt
    code=$?
    if [ $code = 3 ] && [ ! -e limited.png ] && [ -z "$(ls -A . | grep 'limited')" ]; then pass "program: file size limit"; else fail "program: file size limit (exit $code)"; fi
else
    fail "compile shapes-128"
    cat compile.txt
fi
done_testing
