# Textual inversion and added tokens: a new token whose vector is a copy of "circle" paints what "circle" paints, whichever file says
# it; a tokenizer of tokenizer.json alone; IR on the way that keeps rows and tokens.
. "$(dirname "$0")/lib.sh"
G=$GOLDENS/embeddings

check "text_encoder, compiled" "$EBRU" verify -q "$G/text_encoder" --io="$G/io-prompts.safetensors" --embedding="$G/learned_embeds-1.safetensors" \
    --embedding="$G/learned_embeds-3.bin" --embedding="$G/a1111-1.safetensors:easyneg" --embedding="$G/a1111-3.pt"
check "text_encoder_2, compiled" "$EBRU" verify -q "$G/text_encoder_2" --component=text_encoder_2 --io="$G/io-text_encoder_2.safetensors" \
    --embedding="$G/sdxl-3.pt:<s0>" --embedding="$G/sdxl-1.safetensors:<s1>"

# model FOLDER HOW: shapes-128, with a token "<dot>" of the tokenizer or one file of it
model() {
    mkdir "$1"
    for part in model_index.json scheduler text_encoder tokenizer unet vae; do cp -r "$MODELS/shapes-128/$part" "$1"; done
    chmod -R u+w "$1"
    python3 - "$1" "$2" <<'PY'
import json, struct, sys
d, how = sys.argv[1:]
p, t = f"{d}/text_encoder/model.safetensors", f"{d}/tokenizer"
raw = open(p, "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
vocab = json.load(open(f"{t}/vocab.json"))
name, = (k for k in head if k.endswith("token_embedding.weight"))
table = head[name]
rows, width = table["shape"]
begin, end = table["data_offsets"]
size = (end - begin) // rows  # bytes of a row
row = data[begin + vocab["circle</w>"] * size:][:size]
def save(path, tensors):
    out, blob = {}, b""
    for k, (dtype, shape, b) in tensors.items():
        out[k] = {"dtype": dtype, "shape": shape, "data_offsets": [len(blob), len(blob) + len(b)]}
        blob += b
    h = json.dumps(out).encode()
    open(path, "wb").write(struct.pack("<Q", len(h)) + h + blob)
if how == "embedding":
    save(f"{d}.safetensors", {"<dot>": (table["dtype"], [width], row)})
    sys.exit()
special = [{"id": vocab[x], "content": x, "special": True, "normalized": False} for x in ("<|startoftext|>", "<|endoftext|>")]
merges = [m for m in open(f"{t}/merges.txt").read().split("\n")[1:] if m]
fast = {"added_tokens": special, "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab, "merges": [m.split(" ") for m in merges]}}
if how == "fast":
    json.dump(fast, open(f"{t}/tokenizer.json", "w"))
    import os
    os.remove(f"{t}/vocab.json"), os.remove(f"{t}/merges.txt")
    sys.exit()
tensors = {k: (v["dtype"], v["shape"], data[slice(*v["data_offsets"])]) for k, v in head.items() if k != "__metadata__"}
tensors[name] = (table["dtype"], [rows + 1, width], data[begin:end] + row)
save(p, tensors)
config = json.load(open(f"{d}/text_encoder/config.json"))
config["vocab_size"] = rows + 1
json.dump(config, open(f"{d}/text_encoder/config.json", "w"))
json.dump({"<dot>": rows}, open(f"{t}/added_tokens.json", "w"))
PY
}
paint() { "./$1" -q -p "$2" -s 1 --steps 4 -t 1 --no-metadata -o "$3"; }

model plain embedding
check "compile" "$EBRU" compile -q $QUICK plain --embedding=plain.safetensors -o embedded
check "paint a circle" paint embedded "a red circle" circle.png
check "paint the token" paint embedded "a red <dot>" dot.png
check "they are the same" "$EBRU_PNGDIFF" circle.png dot.png 60
check "paint something else" paint embedded "a red <DOT>" text.png
if "$EBRU_PNGDIFF" circle.png text.png 60 >/dev/null; then fail "other text is no token"; else pass "other text is no token"; fi

model added added
check "compile an added token" "$EBRU" compile -q $QUICK added -o token
check "paint it" paint token "a red <dot>" added.png
check "it is the same" cmp dot.png added.png

model fast fast
check "compile tokenizer.json" "$EBRU" compile -q $QUICK fast -o fast-program
check "paint with it" paint fast-program "a red circle" fast.png
check "it is the same" cmp circle.png fast.png

check "IR" "$EBRU" compile -q plain --embedding=plain.safetensors --emit=ir:placed -o placed.ir
check "compile it" "$EBRU" compile -q $QUICK placed.ir -o again
check "paint with it" paint again "a red <dot>" again.png
check "it is the same" cmp dot.png again.png
done_testing
