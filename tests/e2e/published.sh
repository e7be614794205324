# Compiled programs paint the pictures whose pixels diffusers' own tests print: tiny pipelines with seeded weights.
. "$(dirname "$0")/lib.sh"

for run in ddim:2 ddpm:2 pndm:20; do
    name=${run%:*}
    mkdir "$name"
    check "write $name" "$EBRU_PUBLISHED" write "$name" "$name"
    check "compile $name" "$EBRU" compile -q $QUICK "$name" -o "$name.program"
    check "paint $name" "./$name.program" -q -s 0 --steps "${run#*:}" -o "$name.png"
    check "$name is as published" "$EBRU_PUBLISHED" check "$name" "$name.png"
done
done_testing
