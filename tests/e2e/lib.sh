# Sourced by the end-to-end scripts: pass, fail, check; EBRU, EBRU_SOURCE, EBRU_WORK, EBRU_PNGDIFF, EBRU_PUBLISHED come from ctest.
# EBRU_PROGRAMS: a folder of programs many scripts run (programs.sh). EBRU_LONG: scripts/test --long asks for everything.
failures=0
pass() { echo "pass: $1"; }
fail() { echo "fail: $1"; failures=$((failures + 1)); }
# check WHAT COMMAND...: passes when the command succeeds
check() {
    what=$1
    shift
    if "$@" >"$EBRU_WORK/check.out" 2>&1; then
        pass "$what $(tail -n 1 "$EBRU_WORK/check.out" | tr '\n' ' ')"
    else
        fail "$what"
        cat "$EBRU_WORK/check.out"
    fi
}
# done_testing: ends the script. A script that passed leaves nothing behind, else all of them leave ten
# gigabytes; EBRU_KEEP_WORK=1 keeps their folders, as what other scripts use is always kept.
done_testing() {
    [ "$failures" = 0 ] || exit 1
    [ -n "${EBRU_KEEP_WORK:-}" ] || [ "$EBRU_WORK" = "$EBRU_PROGRAMS" ] || { cd / && rm -rf "$EBRU_WORK"; }
    exit 0
}
rm -rf "$EBRU_WORK"
mkdir -p "$EBRU_WORK"
cd "$EBRU_WORK" || exit 1
long() { [ -n "${EBRU_LONG:-}" ]; }
# effort for programs whose code is not what a script is about: efforts.sh shows that it changes no bit
QUICK=-O0
long && QUICK=-O3
EBRU_CACHE_DIR=$EBRU_WORK/cache # not the user's tuning records
export EBRU_CACHE_DIR
MODELS=$EBRU_SOURCE/models
GOLDENS=$EBRU_SOURCE/tests/goldens
has_level() { # has_level x86-64-v4: this CPU runs it
    "$EBRU" compile --list-cpu-levels | grep -q "^$1 .* runs\$"
}
f32_levels() { # the CPU levels that have f32 kernels of their own, lowest first
    "$EBRU" compile --list-cpu-levels | awk '$1 == $3 { print $1 }'
}
