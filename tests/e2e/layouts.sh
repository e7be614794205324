# Folders as users have them: the cache of huggingface_hub with its links, shards, variants, old names, other element types. Each
# compiles to the same weights as the plain folder. And links that lead nowhere, in circles or to no file.
. "$(dirname "$0")/lib.sh"
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }
id_of() { "$1" --build-info | sed -n 's/^weights: .* id //p'; }
compile() { "$EBRU" compile -q $QUICK "$@"; }
same() { # same WHAT MODEL: compiles to the weights of the original
    rm -f out
    if compile "$2" -o out 2>stderr.txt; then is "$1" "$id" "$(id_of ./out)"; else fail "$1"; cat stderr.txt; fi
}
loads() { # loads WHAT MODEL: is read to the end (a whole compilation takes seconds)
    check "$1" "$EBRU" compile -q "$2" --emit=ir:graph -o loaded.ir
}
ends_with() { # ends_with CODE WHAT PATTERN MODEL
    rm -f out
    timeout 60 "$EBRU" compile -q "$4" -o out >/dev/null 2>stderr.txt
    got=$?
    if [ $got = "$1" ] && grep -qE -- "$3" stderr.txt && [ ! -e out ]; then pass "$2"; else
        fail "$2: exit $got, expected $1 and '$3'"
        cat stderr.txt
    fi
}
refuses() { ends_with 1 "$@"; } # refuses WHAT PATTERN MODEL: what is there is not acceptable
misses() { ends_with 3 "$@"; }  # misses WHAT PATTERN MODEL: a file is missing
W=diffusion_pytorch_model.safetensors
fresh() { # fresh DIR: the original with files that may be changed
    rm -rf "$1"
    cp -r "$MODELS/shapes-128" "$1"
    chmod -R u+w "$1"
}
# resave FILE TO ...: TO may be FILE, which the tool does not read and replace in one run
resave() {
    cp "$1" source.safetensors
    shift
    "$EBRU_RESAVE" source.safetensors "$@" || fail "resave $*"
}

check "the plain folder" compile "$MODELS/shapes-128" -o plain
id=$(id_of ./plain)

# -- shards, variants, old names, element types in one folder: each component another way
fresh mixed
resave mixed/unet/$W mixed/unet/$W --shards 3 --dtype F32
rm mixed/unet/$W
resave mixed/text_encoder/model.safetensors mixed/text_encoder/model.safetensors --shards 2
rm mixed/text_encoder/model.safetensors
resave mixed/vae/$W mixed/vae/diffusion_pytorch_model.fp16.safetensors --legacy
rm mixed/vae/$W
same "sharded U-Net in f32, sharded text encoder, old attention names in a variant" mixed

fresh shards16
resave shards16/unet/$W shards16/unet/diffusion_pytorch_model.fp16.safetensors --shards 2
mv shards16/unet/diffusion_pytorch_model.fp16.safetensors.index.json shards16/unet/diffusion_pytorch_model.safetensors.index.fp16.json
rm shards16/unet/$W
same "a variant in shards" shards16
mv shards16/unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors gone
misses "a shard is missing" "fp16-00002-of-00002.safetensors.*cannot open" shards16

fresh wide
resave wide/vae/$W wide/vae/$W --dtype F64
refuses "f64 is refused by name" "'.*' is F64; weights may be F32, F16 or BF16" wide
fresh bf16
resave bf16/unet/$W bf16/unet/$W --dtype BF16
check "bf16 compiles" compile bf16 -o out
[ "$(id_of ./out)" != "$id" ] && pass "to other weights: they were rounded" || fail "bf16 gave the weights of f16"

# -- the cache of huggingface_hub
repo=hub/models--somebody--shapes-128
revision=0123456789abcdef0123456789abcdef01234567
mkdir -p $repo/blobs $repo/refs $repo/snapshots/$revision
fresh hub-source
number=0
(cd hub-source && find . -type f ! -path './expected/*' | sed 's|^\./||') >files.txt
while read -r file; do
    number=$((number + 1))
    blob=$(printf '%040d' $number)
    up=$(printf '%s' "$file" | sed 's|[^/]*$||; s|[^/]*/|../|g')
    mv "hub-source/$file" "$repo/blobs/$blob"
    mkdir -p "$repo/snapshots/$revision/$(dirname "$file")"
    ln -s "../../$up""blobs/$blob" "$repo/snapshots/$revision/$file"
done <files.txt
printf '%s' $revision >$repo/refs/main
same "a snapshot of the cache" $repo/snapshots/$revision
loads "the repository's folder in the cache" $repo
check "  is called by the repository's name" grep -q '^meta "model.name" = "shapes-128"' loaded.ir
mkdir $repo/snapshots/another
loads "  with a second snapshot: refs/main decides" $repo
rm $repo/refs/main
refuses "  two snapshots and no refs/main" "2 snapshots" $repo
printf '../../../../etc' >$repo/refs/main
refuses "  refs/main that leaves the folder" "2 snapshots" $repo
rmdir $repo/snapshots/another
loads "  one snapshot and a strange refs/main" $repo
blob=$(readlink -f "$repo/snapshots/$revision/unet/$W")
mv "$blob" gone
misses "  a blob that is not there" "unet/$W: error: cannot open: No such file" $repo
mkdir "$blob"
refuses "  a folder in its place" "unet/$W: error: is a folder" $repo
rmdir "$blob"
mkfifo "$blob"
refuses "  a FIFO in its place" "unet/$W: error: is a FIFO" $repo
rm "$blob"
ln -s "$blob" "$blob"
misses "  a link to itself in its place" "unet/$W: error: cannot open: Too many levels" $repo
rm "$blob"
ln -s /dev/zero "$blob"
refuses "  a device in its place" "unet/$W: error: is a device" $repo
rm "$blob"
mv gone "$blob"
loads "  and the blob again" $repo
ln -sf loop $repo/snapshots/$revision/model_index.json
ln -sf loop $repo/snapshots/$revision/loop
misses "  model_index.json in a circle" "model_index.json: error: cannot open: Too many levels" $repo
mkdir -p empty/snapshots
misses "a repository without snapshots" "no snapshot" empty
done_testing
