# The programs of the two trained models, for the scripts that run them.
. "$(dirname "$0")/lib.sh"

check "compile shapes-128" "$EBRU" compile -q "$MODELS/shapes-128" -o shapes-128
check "compile shapes-32" "$EBRU" compile -q "$MODELS/shapes-32" -o shapes-32
done_testing
