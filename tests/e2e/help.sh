# Every example of a help text runs as it stands; manual pages and completions are well formed, and complete.
. "$(dirname "$0")/lib.sh"
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }
mkdir bin
# what is compiled need not be fast: the last -O counts
cat >bin/ebru <<W
#!/bin/sh
case \$1 in compile | verify | bench) exec "$EBRU" "\$@" -O0 ;; *) exec "$EBRU" "\$@" ;; esac
W
chmod +x bin/ebru
ln -s "$EBRU_SOURCE/models" models
ln -s "$EBRU_SOURCE/tests" tests
PATH=$PWD/bin:$PATH
commands=$(ebru help | sed -n 's/^  ebru \([a-z]*\) .*/\1/p')

examples() { sed -n '/^Examples:/,$s/^  \([^# ].*\)/\1/p'; } # of a help text
run() { # run LINE: in a shell of its own; the models' pictures and networks are small
    if bash -c "$1" >example.out 2>&1; then pass "$1"; else
        fail "$1: exit $?"
        cat example.out
    fi
}
ebru --help | examples >lines
for c in $commands; do
    ebru "$c" --help | examples >of_command
    [ -s of_command ] && pass "$c has examples" || fail "$c has no examples"
    cat of_command >>lines
done
while read -r line; do run "$line" </dev/null; done <lines
./classes --help >program.txt
sed -n 's/^Example: //p' program.txt >lines
is "a program has an example" 1 "$(wc -l <lines)"
while read -r line; do run "$line" </dev/null; done <lines

man_page() { # man_page OPTION FILE
    check "$2" sh -c 'ebru help $0 >$1' "$1" "$2"
    if command -v mandoc >/dev/null; then check "  mandoc" sh -c 'mandoc -T lint -W style $0' "$2"; else echo "skipped: mandoc (not installed)"; fi
    if command -v groff >/dev/null; then is "  groff" "" "$(groff -man -ww -z "$2" 2>&1)"; fi
}
man_page --man ebru.1
man_page --man-program ebru-program.1
sed 's/\\-/-/g' ebru.1 >plain.1
sed 's/\\-/-/g' ebru-program.1 >plain-program.1
missing=
for c in $commands; do
    for o in $(ebru "$c" --help | sed -n 's/^  \(-[^ =]*\).*/\1/p'); do
        grep -qF -- "$o" plain.1 || missing="$missing $o"
    done
done
is "  has every option" "" "$missing"
missing=
for o in $(sed -n 's/^  \(-., \|    \)\(--[^ ]*\).*/\2/p' program.txt); do
    grep -qF -- "$o" plain-program.1 || missing="$missing $o"
done
is "  the program's, too" "" "$missing"

# whoever built the target ebru alone can install all of it
tree=$(dirname "$EBRU")/..
check "all is installed" cmake --install "$tree" --prefix "$PWD/installed"
for file in bin/ebru share/man/man1/ebru.1 share/man/man1/ebru-program.1 share/bash-completion/completions/ebru \
    share/zsh/vendor-completions/_ebru share/fish/vendor_completions.d/ebru.fish; do
    [ -s "installed/$file" ] && pass "  $file" || fail "  no $file"
done
if command -v ninja >/dev/null && [ -e "$tree/build.ninja" ]; then
    check "  the linker's step makes the pages" sh -c 'ninja -C "$0" -t query driver/ebru.1 | grep -q EXECUTABLE_LINKER' "$tree"
fi

for shell in bash zsh fish; do
    check "completion of $shell" sh -c 'ebru completion $0 >complete.$0' $shell
    if command -v $shell >/dev/null; then check "  is a script" $shell -n complete.$shell; else echo "skipped: $shell -n (not installed)"; fi
done
cat >try.bash <<'B'
. ./complete.bash
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
read -r -a COMP_WORDS <<<"$1"
[[ $1 = *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
${2:-_ebru}
printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | tr '\n' ' '
B
completes() { is "  '$1' completes to '$2'" "$2" "$(bash try.bash "$1" $3)"; }
completes "ebru rep" "report "
completes "ebru compile --prec" "--precision= "
completes "ebru compile --precision=b" "bf16 bf16x3 "
completes "ebru compile --emit=ir:f" "fused "
completes "ebru compile -fno-fuse_att" "-fno-fuse_attention "
completes "ebru opt --emit" " "
completes "ebru report cla" "classes "
completes "ebru completion f" "fish "
completes "./classes --neg" "--negative-prompt " _ebru_program
if command -v fish >/dev/null; then
    fish_completes() { is "  fish: '$1'" "$2" "$(XDG_CONFIG_HOME=$PWD fish --no-config -c "source complete.fish; complete -C '$1'" | cut -f 1 | tr '\n' ' ')"; }
    fish_completes "ebru compile --prec" "--precision "
    fish_completes "ebru compile --precision=bf" "--precision=bf16 --precision=bf16x3 "
    fish_completes "ebru repo" "report "
fi
# values that a shell offers are values that ebru takes
for pair in $(sed -n "s/^ *--emit=\*) _ebru_reply \"\$word\" ' \(.*\)' ;;/\1/p; s/^ *--precision=\*) _ebru_reply \"\$word\" ' \(.*\)' ;;/\1/p; s/^ *--plan=\*) _ebru_reply \"\$word\" ' \(.*\)' ;;/\1/p" complete.bash); do
    ebru compile nothing "$pair" -o x 2>err.txt
    grep -q "nothing" err.txt && ! grep -qE "unknown|expects" err.txt || fail "$pair is offered, but $(cat err.txt)"
done
[ -n "$pair" ] && pass "what is offered is taken"

near() { # near WHAT COMMAND...: refused with a suggestion
    what=$1
    shift
    "$@" >out.txt 2>err.txt && fail "$* is taken" || check "suggests $what" grep -qF -- "did you mean '$what'?" err.txt
}
near compile ebru complie x
near --precision= ebru compile models/shapes-32 --precison=bf16x3 -o x
near bf16x3 ebru compile models/shapes-32 --precision=bf163x -o x
near fuse_attention ebru compile models/shapes-32 -fno-fuse_atention -o x
near fuse_attention ebru compile models/shapes-32 --stop-after=fuse_atention -o x
near x86-64-v4 ebru compile models/shapes-32 -mcpu=x86-64-4v -o x
near unet ebru compile models/shapes-32 --component=uent -o x
near ir:fused ebru compile models/shapes-32 --emit=ir:fuesd -o x
near zsh ebru completion zhs
near report ebru help reprot
near --negative-prompt ./classes --negativ-prompt=x
near euler ./classes --class 0 --sampling-method eulre
near heart ./classes --class hert
near unet.step ./classes --bench --function=unet.stpe
near x86-64-v3 ./any --class 0 --cpu-level x86-64-3v
check "an option of another command says so" sh -c '! ebru opt x.ir --analyze 2>err.txt && grep -q "compile has it" err.txt'
done_testing
