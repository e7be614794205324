# Memory plans: one buffer a tensor, and buffers poisoned when they are taken and given back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

check "compile separate" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --plan=separate -o separate
check "paint separate" paint separate separate.png
check "bits separate" cmp base.png separate.png
check "compile poison" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --poison -o poison
check "paint poison" paint poison poison.png
check "bits poison" cmp base.png poison.png
done_testing
