# Stopping after a pass and going on from the text gives the same picture.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

for pass in dce fuse_attention lay_out pack_weights select_kernels plan_memory; do
    check "stop after $pass" "$EBRU" compile -q "$MODELS/shapes-128" --stop-after=$pass -o "stop-$pass.ir"
    check "go on after $pass" "$EBRU" compile -q $QUICK "stop-$pass.ir" -o "from-$pass"
    check "paint from $pass" paint "from-$pass" "from-$pass.png"
    check "same picture from $pass" cmp base.png "from-$pass.png"
done
done_testing
