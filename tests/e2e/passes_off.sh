# Each optional pass switched off, alone, leaves the picture.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

for pass in $("$EBRU" compile --list-passes | grep -v -e '^ ' -e required | awk '{print $1}'); do
    check "compile -fno-$pass" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" -fno-$pass -o off
    check "paint -fno-$pass" paint off off.png
    check "picture -fno-$pass" "$EBRU_PNGDIFF" base.png off.png 60
done
done_testing
