# check_binaries.sh FILE...: prints what is wrong with the ELF files among them; ends with 1 if something is. A run path (or an
# interpreter) that is empty or relative in one of its parts is code of the current folder; a table of calls that is writable
# while the program runs, and a stack that is executable, are what attacks need.
bad=0
say() {
    echo "$1"
    bad=1
}
for file in "$@"; do
    [ -f "$file" ] && [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
    for path in $(readelf -dW "$file" | sed -n 's/.*(\(RPATH\|RUNPATH\)).*\[\(.*\)\]/:\2:/p' | tr ' ' '?'); do
        case $path in
        *::*) say "$file: an empty part in the run path $path" ;;
        esac
        for part in $(echo "$path" | tr ':' ' '); do
            case $part in
            /*) ;;
            *) say "$file: a relative part in the run path $path" ;;
            esac
        done
    done
    readelf -lW "$file" | grep -q 'GNU_STACK.*RWE' && say "$file: an executable stack"
    readelf -lW "$file" | grep -q INTERP || continue # a library
    readelf -lW "$file" | grep -q GNU_RELRO || say "$file: no RELRO"
    readelf -dW "$file" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || say "$file: RELRO is not full, calls are bound late"
done
exit $bad
