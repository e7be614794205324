# The same bits for any thread count.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

for t in 1 2 3 7; do
    check "paint -t $t" paint base "t$t.png" -t $t
    check "bits -t $t" cmp base.png "t$t.png"
done
done_testing
