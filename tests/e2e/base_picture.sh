# Sourced by the scripts that vary how shapes-128 is compiled or run: base.png is its picture as it is.
prompt="a green triangle left of a pink heart on a black background"
paint() { # paint PROGRAM OUT [OPTIONS]
    program=$1
    out=$2
    shift 2
    "./$program" -q -p "$prompt" --steps 2 --cfg-scale 4 -s 42 -o "$out" "$@"
}
ln -s "$EBRU_PROGRAMS/shapes-128" base
check "paint" paint base base.png
