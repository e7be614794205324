# Where packed weights are: inside, behind and beside the program; what strip, copies and cuts do to them.
. "$(dirname "$0")/lib.sh"
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }
paints() { # paints WHAT PROGRAM: the program gives the picture of all the others
    rm -f now.png
    if "$2" -q --steps 1 --class 0 -o now.png 2>stderr.txt && { [ -e first.png ] || cp now.png first.png; } && cmp -s now.png first.png; then
        pass "$1"
    else
        fail "$1"
        cat stderr.txt
    fi
}
refuses() { # refuses WHAT CODE PATTERN PROGRAM: it ends with CODE, says PATTERN and paints nothing
    rm -f now.png
    timeout 60 "$4" -q --steps 1 --class 0 -o now.png >/dev/null 2>stderr.txt
    got=$?
    if [ $got = "$2" ] && grep -qE -- "$3" stderr.txt && [ ! -e now.png ]; then
        pass "$1"
    else
        fail "$1: exit $got, expected $2 and '$3'"
        cat stderr.txt
    fi
}
size_of() { wc -c <"$1"; }
cut_to() { # cut_to FROM BYTES TO
    head -c "$2" "$1" >"$3"
    chmod +x "$3"
}
compile() { "$EBRU" compile -q $QUICK "$MODELS/shapes-32" "$@"; }
strips="strip"
command -v llvm-strip-19 >/dev/null && strips="$strips llvm-strip-19"

for where in embed append; do
    check "$where" compile --weights=$where -o $where
    paints "$where: runs" ./$where
    for s in $strips; do
        for how in --strip-all --strip-debug; do
            rm -f stripped
            check "$where: $s $how" $s $how -o stripped $where
            paints "$where: runs after it" ./stripped
        done
    done
    $s --strip-all -o stripped $where
    strip stripped
    paints "$where: runs after both" ./stripped
    check "$where: objcopy" objcopy $where copied
    paints "$where: runs after it" ./copied
    full=$(size_of $where)
    weights=$(./$where --build-info | sed -n 's/^weights: \([0-9]*\) bytes.*/\1/p')
    for cut in 1 4096 $((weights / 2)) $((weights - 1)); do
        cut_to $where $((full - cut)) cut
        refuses "$where: $cut bytes short" 1 "'.*/cut' is truncated: it has $((full - cut)) bytes" ./cut
        cut_to stripped $(($(size_of stripped) - cut)) cut
        refuses "$where: stripped and $cut bytes short" 1 "'.*/cut' is truncated" ./cut
    done
    cp $where damaged
    dd if=/dev/zero of=damaged bs=1 count=48 seek=$((full - 48)) conv=notrunc 2>/dev/null
    refuses "$where: another trailer" 1 "damaged" ./damaged
    ln -sf $where link
    paints "$where: through a link" ./link
done
is "nothing is left in the folder" "" "$(ls -A | grep '^\.' )"

check "--verbose tells when the first op began" sh -c './embed -v --progress=none --steps 1 --class 0 -o now.png 2>&1 | grep -E "^first op [0-9.]+ ms after"'

# a linker that leaves the weights no segment of their own
printf '#!/bin/sh\nexec clang-19 -fuse-ld=lld-19 "$@"\n' >lld
chmod +x lld
check "another linker, embed" compile --weights=embed --linker=./lld -o lld-embed
paints "runs" ./lld-embed
check "another linker, append" compile --weights=append --linker=./lld -o lld-append
paints "runs" ./lld-append
cut_to lld-append $(($(size_of lld-append) - 1)) cut
refuses "cut by a byte" 1 "truncated" ./cut
strip -o cut lld-append
refuses "stripped" 1 "truncated" ./cut

# beside
mkdir -p there elsewhere
check "external" compile --weights=external -o there/ext
paints "external: runs" there/ext
strip there/ext
paints "external: runs stripped" there/ext
ln -s ../there/ext elsewhere/linked
paints "external: through a link" elsewhere/linked
mv there/ext there/renamed
paints "external: renamed" there/renamed
cp there/renamed elsewhere/alone
refuses "external: copied without its weights" 3 "cannot open the weights '.*/elsewhere/ext.weights'" elsewhere/alone
cp there/ext.weights elsewhere/
paints "external: copied with its weights" elsewhere/alone
full=$(size_of there/ext.weights)
for cut in 1 48 4096 $((full / 2)) $((full - 1)) $full; do
    head -c $((full - cut)) there/ext.weights >elsewhere/ext.weights
    refuses "external: $cut bytes short" 1 "elsewhere/ext.weights' (is truncated|does not end)" elsewhere/alone
done
head -c "$full" /dev/zero >elsewhere/ext.weights
refuses "external: zeros of its length" 1 "does not end with the weights" elsewhere/alone
check "weights of another program" "$EBRU" compile -q $QUICK "$GOLDENS/unet2d-class" --weights=external -o elsewhere/other
cp elsewhere/other.weights elsewhere/ext.weights
refuses "external: weights of another program" 1 "truncated|another program" elsewhere/alone
cat there/ext.weights elsewhere/other.weights >elsewhere/ext.weights
refuses "external: weights of another program behind them" 1 "another program" elsewhere/alone
rm elsewhere/ext.weights
mkfifo elsewhere/ext.weights
refuses "external: a FIFO" 3 "not a regular file" elsewhere/alone
rm elsewhere/ext.weights
ln -s ext.weights elsewhere/ext.weights
refuses "external: a link to itself" 3 "cannot open" elsewhere/alone

# weights that become shorter while the program runs
rm elsewhere/ext.weights
cp there/ext.weights elsewhere/
elsewhere/alone -q --steps 900 --class 0-9 -o elsewhere/late%d.png >/dev/null 2>stderr.txt &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q ext.weights /proc/$pid/maps; do sleep 0.1; done
: >elsewhere/ext.weights
wait $pid
is "external: cut while it runs" 3 $?
check "  is told" grep -q "became shorter" stderr.txt

# large weights: address and place in the file are the same modulo a huge page
congruent() { # congruent WHAT PROGRAM: so the kernel maps them once the program runs
    "./$2" -q --steps 999 --class 0 -o large.png >/dev/null 2>stderr.txt &
    pid=$!
    while kill -0 $pid 2>/dev/null && ! large_mapping; do sleep 0.1; done
    kill $pid 2>/dev/null
    wait $pid
    # shellcheck disable=SC2046 # two words
    if python3 -c 'import sys; a, o = (int(x, 16) for x in sys.argv[1:]); sys.exit((a - o) % (2 << 20))' $(cat at); then
        pass "$1"
    else
        fail "$1: address and offset are $(cat at)"
        cat stderr.txt
    fi
}
large_mapping() { # of 64 MiB and more: its address and offset to the file `at`
    grep 'r--p.* [^ ]*large' /proc/$pid/maps | python3 -c '
import sys
for line in sys.stdin:
    begin, end = (int(x, 16) for x in line.split()[0].split("-"))
    if end - begin >= 64 << 20: print("%x" % begin, line.split()[2])' >at
    [ -s at ]
}
for where in embed append external; do
    check "$where: large weights" "$EBRU" compile -q $QUICK "$MODELS/class-unet-32.json" --weights=random:1 --weights=$where -o large-$where
    congruent "$where: mapped by huge pages" large-$where
done
strip large-embed
congruent "embed: stripped, mapped by huge pages" large-embed
done_testing
