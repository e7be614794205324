# Programs for AArch64, linked by the cross compiler and run under qemu's user emulation: goldens, thread counts, levels.
# What this shows is that they compute the right numbers, never how fast.
. "$(dirname "$0")/lib.sh"

TARGET=aarch64-linux-gnu
case $(uname -m) in
aarch64) echo "skip: aarch64 under emulation (this machine is one)" && done_testing ;;
esac
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v $tool >/dev/null; then
        echo "skip: aarch64 programs (no $tool)"
        done_testing
    fi
done
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
export QEMU_LD_PREFIX

if ! "$EBRU" compile -q $QUICK "$GOLDENS/vae-tiny" --target=$TARGET -mcpu=armv8-a,armv8-a+bf16 -o both 2>both.err; then
    if grep -q "has no runtime" both.err; then
        echo "skip: aarch64 programs (ebru was built without aarch64-linux-gnu-gcc)"
    else
        fail "a program of two levels: $(cat both.err)"
    fi
    done_testing
fi
pass "a program of two levels"
# the level that a program chooses by the CPU's features
for pair in cortex-a53:armv8-a max:armv8-a+bf16; do
    cpu=${pair%%:*}
    QEMU_CPU=$cpu qemu-aarch64 ./both --call=vae.encode -v </dev/null >out 2>&1
    if grep -qF "level ${pair#*:}, " out; then pass "$cpu runs ${pair#*:}"; else fail "$cpu: $(cat out)"; fi
done
check "a program that needs bf16" "$EBRU" compile -q $QUICK "$GOLDENS/vae-tiny" --target=$TARGET -mcpu=armv8-a+bf16 -o bf16
QEMU_CPU=cortex-a53 qemu-aarch64 ./bf16 --call=vae.encode </dev/null >out 2>&1
code=$?
if [ $code = 4 ] && grep -qF "needs armv8-a+bf16 (bf16, asimddp); this CPU offers armv8-a" out; then
    pass "is refused where there is none"
else
    fail "is refused where there is none: exit $code, $(cat out)"
fi
# without libpng of the architecture a pipeline is refused, with what to install; its networks alone are not
if "$EBRU" compile $QUICK "$MODELS/shapes-32" --target=$TARGET -o shapes >out 2>&1; then
    check "a picture" qemu-aarch64 ./shapes --class 1 -s 1 --steps 1 -q -o picture.png
elif [ ! -e shapes ] && grep -q "error: .*without libpng" out && grep -q "apt install libpng-dev:arm64" out; then
    pass "no libpng: no program"
else
    fail "no libpng: $(cat out)"
fi
check "a pipeline's networks" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --target=$TARGET --no-pictures -o networks
qemu-aarch64 ./networks --class 1 -o picture.png >out 2>&1
code=$?
if [ $code = 2 ] && grep -qE "linked without libpng|networks but no pipeline" out; then pass "  paint nothing"; else fail "  paint: exit $code, $(cat out)"; fi
check "an object" "$EBRU" compile -q $QUICK "$GOLDENS/vae-tiny" --target=$TARGET --emit=obj -o tiny.o
check "a library" "$EBRU" compile -q $QUICK "$GOLDENS/vae-tiny" --target=$TARGET --emit=lib -o tiny.so
for file in tiny.o tiny.so; do # EM_AARCH64 is 183
    check "$file is for AArch64" test "$(od -An -tu2 -j18 -N2 $file | tr -d ' ')" = 183
done
for where in append external; do
    check "weights $where" "$EBRU" verify "$GOLDENS/vae-tiny" --io="$GOLDENS/vae-tiny/io.safetensors" --target=$TARGET \
        --emulator=qemu-aarch64 --weights=$where $QUICK
done

golden() { # golden NAME LEVELS: with specialised kernels on one thread, with the kernels as they are on three
    io=$GOLDENS/$1/io.safetensors
    for t in 1 3; do
        effort=-O3
        [ $t = 3 ] && effort=$QUICK
        check "$1 on $2, $t threads" "$EBRU" verify "$GOLDENS/$1" --io="$io" --target=$TARGET -mcpu="$2" $effort \
            --emulator=qemu-aarch64 -t $t --write="$1-$t.safetensors"
    done
    check "$1 on $2: the same bits" cmp "$1-1.safetensors" "$1-3.safetensors"
}
QEMU_CPU=cortex-a53
export QEMU_CPU
golden unet2d-class armv8-a
golden vae-tiny armv8-a
golden text-quickgelu armv8-a
QEMU_CPU=max
golden vae-tiny armv8-a+bf16
# products in bf16: as f32 arithmetic, and by the instructions for them
for precision in bf16 bf16x3; do
    effort=-O3
    [ $precision = bf16x3 ] && effort=$QUICK
    for level in armv8-a armv8-a+bf16; do
        check "vae-tiny in $precision on $level" "$EBRU" verify "$GOLDENS/vae-tiny" --io="$GOLDENS/vae-tiny/io.safetensors" \
            --target=$TARGET -mcpu=$level --precision=$precision $effort --emulator=qemu-aarch64
    done
done
done_testing
