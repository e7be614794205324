# Command lines of the README run as they stand there: those of ebru and of programs. What a line makes the next may use.
# How well the pictures look is for people to judge; here they are painted in few steps, by code that was compiled in haste.
. "$(dirname "$0")/lib.sh"
mkdir bin out
cat >bin/ebru <<W
#!/bin/sh
case \$1 in compile | verify | bench | tune) exec "$EBRU" "\$@" -O0 ;; *) exec "$EBRU" "\$@" ;; esac
W
chmod +x bin/ebru
ln -s "$EBRU_SOURCE/models" models
ln -s "$EBRU_SOURCE/docs" docs
PATH=$PWD/bin:$PATH

# lines of ```sh blocks, those that end in \ joined; without comments
sed -n '/^```sh$/,/^```$/p' "$EBRU_SOURCE/README.md" | sed -e ':a' -e '/\\$/{N;s/\\\n *//;ba' -e '}' |
    grep -v '^```' | sed 's/  *# .*//' >all
# what builds, installs and tests is for scripts/demo and for other tests
grep -vE '^(scripts/|cmake |bench/compare )' all >lines
check "the rest is of ebru and of programs" sh -c '! grep -vE "^(ebru|\./[a-z]+|out/[a-z0-9-]+) " lines'
check "there are enough" test "$(wc -l <lines)" -ge 15
check "what scripts/demo compiles" ebru compile models/shapes-128 -q -o out/shapes-128

hurry='/--call\|--bench\|--help/!s|^\(\./shapes\|out/[a-z0-9-]*\) |&--steps 2 |; s/--budget=[0-9]*/--budget=1/; s/| less$/>code.s/'
while read -r line; do
    sh -c "$(echo "$line" | sed "$hurry")" >line.out 2>&1 </dev/null
    code=$?
    case $line in "ebru diff "*) [ $code = 1 ] && code=0 ;; esac # they differ
    if [ $code = 0 ]; then pass "$line"; else
        fail "$line: exit $code"
        cat line.out
    fi
    for picture in $(echo "$line" | sed -n 's/.* -o \([a-z]*\.png\).*/\1/p'); do
        [ -s "$picture" ] || fail "  no $picture"
    done
done <lines
done_testing
