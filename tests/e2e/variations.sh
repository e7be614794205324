# Random components, compiled and in the reference evaluator; tests/variations/variations.py says how to run more.
. "$(dirname "$0")/lib.sh"

"${PYTHON:-python3}" "$EBRU_SOURCE/tests/variations/variations.py" "$EBRU" "$EBRU_WORK" --seed=12 --count=12 || failures=1
done_testing
