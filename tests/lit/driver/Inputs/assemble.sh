# assemble.sh A.s B.s OUT: the two assemble to the same code.
case "$(cc -dumpmachine)" in x86_64*) ;; *) echo "skip: no assembler for x86-64" && exit 0 ;; esac
set -e
code() { # code FILE.s OUT
    cc -c "$1" -o "$2.o"
    objcopy -O binary -j .text "$2.o" "$2.bin"
    test -s "$2.bin"
}
code "$1" "$3.a"
code "$2" "$3.b"
cmp "$3.a.bin" "$3.b.bin"
