# Pictures as input: the PNG decoder is in the programs that take pictures and in no other; what such a program accepts and
# refuses. Runs in sanitizer builds too.
. "$(dirname "$0")/lib.sh"

for p in without with; do
    option=
    [ $p = without ] && option=--no-image-input
    "$EBRU" compile -q "$MODELS/class-unet-32.json" --weights=random:1 $option --emit=ir -o $p.ir || exit 1
done
check "the IR says who takes pictures" test "$(grep -lE '^meta "pipeline.image_input" = 1' without.ir with.ir)" = with.ir
for p in without with; do check "compiles $p pictures" "$EBRU" compile -q $QUICK $p.ir -o $p; done
# names and messages of libpng's and zlib's readers, which a program holds stripped or not
for text in "Not enough image data" "invalid distance too far back" png_read_row inflateInit; do
    check "a program with pictures has '$text'" grep -q "$text" with
    check "one without has not" sh -c '! grep -q "$1" without' sh "$text"
done
with=$(wc -c <with)
without=$(wc -c <without)
if [ "$with" -gt $((without + 50000)) ]; then
    pass "sizes: $without bytes without, $with with"
else
    fail "sizes: $without bytes without, $with with"
fi
for p in without with; do check "a program $p pictures paints" ./$p -q --class 1 --steps 1 -o $p.png; done
check "the same picture" cmp with.png without.png

# a.png is good, the others are not
python3 - <<'PY'
import struct, zlib
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
def png(path, w, h, depth, kind, raw, before=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, 0))
    b = b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    open(path, "wb").write(b)
    return b
good = png("a.png", 32, 32, 8, 2, b"".join(b"\0" + bytes((x * y * 7 + c * 50) % 256 for x in range(32) for c in range(3)) for y in range(32)))
png("dot.png", 1, 1, 8, 2, b"\0\x80\x40\x20")
png("gray16.png", 48, 20, 16, 0, b"".join(b"\0" + struct.pack(">48H", *[x * 1000 for x in range(48)]) for y in range(20)))
png("palette.png", 8, 8, 1, 3, b"\0\xa5" * 8, chunk(b"PLTE", b"\xff\0\0\0\0\xff"))
png("mask.png", 32, 32, 8, 0, b"".join(b"\0" + bytes(255 * (x > 15) for x in range(32)) for y in range(32)))
png("holes.png", 32, 32, 8, 4, b"".join(b"\0" + b"".join(bytes([0, 255 * (x <= 15)]) for x in range(32)) for y in range(32)))
png("strokes.png", 32, 32, 8, 4, b"".join(b"\0" + b"".join(bytes([255, 255 * (x > 15)]) for x in range(32)) for y in range(32)))
png("black.png", 32, 32, 8, 0, (b"\0" + bytes(32)) * 32)
png("white.png", 32, 32, 8, 0, (b"\0" + b"\xff" * 32) * 32)
png("huge.png", 20000, 20000, 8, 2, b"")
png("claims.png", 8192, 8192, 16, 6, b"\0" * 100)
png("rows.png", 32, 32, 8, 2, b"\0" * 97 * 31)
open("cut.png", "wb").write(good[:-40])
open("flipped.png", "wb").write(good[:60] + bytes([good[60] ^ 1]) + good[61:])
open("cat.jpg", "wb").write(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100))
open("cat.webp", "wb").write(b"RIFF\x64\0\0\0WEBPVP8 " + bytes(100))
open("text.png", "w").write("a picture of a cat\n")
open("empty.png", "w")
open("a\x1b[31m\nb.png", "w").write("no")
PY
mkdir folder
mkfifo pipe
# refused WHAT CODE PATTERN ARGUMENTS...: ends with CODE and one line that says PATTERN, without control characters; paints nothing
refused() {
    what=$1
    code=$2
    pattern=$3
    shift 3
    timeout 60 ./with -q --class 1 --steps 2 -o out.png "$@" >stdout.txt 2>stderr.txt </dev/null
    got=$?
    if [ $got = "$code" ] && grep -qE -- "$pattern" stderr.txt && [ "$(wc -l <stderr.txt)" = 1 ] && [ ! -e out.png ] &&
        ! LC_ALL=C grep -q "$(printf '\033')" stderr.txt && [ ! -s stdout.txt ]; then
        pass "$what"
    else
        fail "$what: exit $got, expected $code and '$pattern'"
        cat stderr.txt
        rm -f out.png
    fi
}
for option in -i --mask; do
    also=
    [ $option = --mask ] && also='-i a.png'
    # $also are words
    refused "$option: missing" 3 "cannot read 'none.png': No such file" $also $option none.png
    refused "$option: no name" 3 "cannot read ''" $also $option ""
    refused "$option: folder" 3 "'folder': Is a directory" $also $option folder
    refused "$option: pipe" 3 "'pipe': not a regular file" $also $option pipe
    refused "$option: device" 3 "'/dev/zero': not a regular file" $also $option /dev/zero
    refused "$option: standard input" 2 "standard input" $also $option -
    refused "$option: JPEG" 1 "'cat.jpg' is a JPEG picture; only PNG is read" $also $option cat.jpg
    refused "$option: WebP" 1 "a WebP picture" $also $option cat.webp
    refused "$option: text" 1 "'text.png' is not a PNG picture" $also $option text.png
    refused "$option: empty" 1 "'empty.png' is empty" $also $option empty.png
    refused "$option: truncated" 1 "'cut.png' is truncated" $also $option cut.png
    refused "$option: too few rows" 1 "'rows.png' is damaged" $also $option rows.png
    refused "$option: damaged" 1 "'flipped.png' is damaged: IDAT" $also $option flipped.png
    refused "$option: huge" 1 "has 20000x20000 pixels; at most 16384 a side" $also $option huge.png
    refused "$option: more pixels than bytes" 1 "'claims.png' is truncated" $also $option claims.png
    refused "$option: hostile name" 1 'a\\x1b\[31m\\x0ab.png' $also $option "$(printf 'a\033[31m\nb.png')"
done
./without -q --class 1 --steps 1 -i a.png -o out.png 2>stderr.txt
check "a program without pictures refuses them" test $? = 2
check "  and says why" grep -q "without picture input" stderr.txt
paint() { ./with -q --class 1 --steps 2 "$@"; }
for f in a dot gray16 palette; do check "paints from $f.png" paint -i $f.png -o from-$f.png; done
ln -s dot.png "$(printf 'dot\033[31m.png')"
./with --class 1 --steps 2 --progress=none -i "$(printf 'dot\033[31m.png')" -o noted.png 2>stderr.txt
check "a note names the file printably" grep -q "note: 'dot.x1b\[31m.png' is 1x1 pixels, resized to 32x32" stderr.txt
check "another picture than without" sh -c '! cmp -s from-a.png from-dot.png'
check "paints half" paint -i a.png --mask mask.png -o half.png
for m in holes strokes; do
    ./with --class 1 --steps 2 --progress=none --no-metadata -i a.png --mask $m.png -o $m-out.png 2>stderr.txt
    check "a mask drawn as transparency ($m) is told" grep -q "is drawn as transparency" stderr.txt
    check "  and is the gray one" "$EBRU_PNGDIFF" $m-out.png half.png 99
done
refused "a mask that repaints nothing" 1 "'black.png' is dark everywhere" -i a.png --mask black.png
./with --class 1 --steps 2 --progress=none -i a.png --mask white.png -o white-out.png 2>stderr.txt
check "one that repaints everything is told" grep -q "'white.png' is white everywhere" stderr.txt
./with --class 1 --steps 2 --progress=none -i holes.png -o hidden.png 2>stderr.txt
check "colours under transparency are told" grep -q "'holes.png' has transparent parts" stderr.txt
# An animation: acTL, which says how many frames, stands behind IHDR.
python3 -c 'import struct, zlib
png = open("a.png", "rb").read()
for frames in 1, 3:
    body = b"acTL" + struct.pack(">II", frames, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    open("frames%d.png" % frames, "wb").write(png[:33] + chunk + png[33:])'
for frames in 1 3; do
    ./with --class 1 --steps 2 --progress=none --no-metadata -i frames$frames.png -o moving$frames.png 2>told$frames.txt
done
check "an animation is told" grep -q "note: 'frames3.png' is an animation of 3 frames; its still picture is used" told3.txt
check "  one frame is none" sh -c '! grep -q animation told1.txt'
check "  and its still picture is read" cmp moving1.png moving3.png
check "with a mask of another size" paint -i a.png --mask palette.png -o half2.png
done_testing
