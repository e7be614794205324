# The same bits for any thread count: also where work is cut otherwise for each, and with far more threads than cores.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

for t in 1 2 3 5 8 16 64 128; do
    check "paint -t $t" paint base "t$t.png" -t $t
    check "bits -t $t" cmp base.png "t$t.png"
done

# a network of small layers, in every precision
small() { # small PROGRAM OUT [OPTIONS]
    program=$1
    out=$2
    shift 2
    "./$program" -q --class 1 --steps 2 -s 7 -o "$out" "$@"
}
ln -s "$EBRU_PROGRAMS/shapes-32" f32
for precision in bf16 bf16x3; do
    check "compile $precision" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --precision=$precision -o $precision
done
for precision in f32 bf16 bf16x3; do
    check "$precision" small $precision $precision.png -t 1
    for t in 2 3 5 8 16 64 128; do
        check "$precision -t $t" small $precision $precision.t$t.png -t $t
        check "$precision bits -t $t" cmp $precision.png $precision.t$t.png
    done
done

# work cut for other threads than there are: only timed, so told in the report
check "partition" sh -c './f32 --bench=json --function=unet.step --runs=1 --partition=16 -t 2 --profile p.json >p.out'
check "its row" grep -q '"partition":16' p.out
check "its tasks" grep -q '"tasks":[1-9][0-9]*,"cpu":' p.json
./f32 --bench --partition=0 >/dev/null 2>&1
check "partition 0 is refused" [ $? = 2 ]
done_testing
