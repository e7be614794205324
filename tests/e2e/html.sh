# The page of --emit=html: what it holds, that names from a model stay text; in Chromium, where there is one, that it opens, draws and
# can be used. How long it took to open is printed, not asserted.
. "$(dirname "$0")/lib.sh"
E2E=$EBRU_SOURCE/tests/e2e

check "shapes-32 as a page" "$EBRU" compile -q "$MODELS/shapes-32/model.json" --emit=html -o shapes.html
"$EBRU" compile -q "$MODELS/shapes-32/model.json" --emit=ir -o shapes.ir
check "the page is whole and loads nothing:" python3 "$E2E/html_check.py" shapes.html shapes.ir

# Names that end scripts, open tags, turn the direction of text, are no UTF-8.
name='\"</ScRiPt><script>hostile=1</script><img src=x onerror=hostile=1>&lt;\\'"'"'`${x}\xe2\x80\xae\xe2\x80\xa8\x1b[31m\xff'
# Functions, inputs and outputs have no control characters, and the latter two no blanks: --call reads them.
function=$(printf '%s' "$name" | sed 's/\\x1b//')
tensor=$(printf '%s' "$function" | tr ' ' /)
cat >hostile.ir <<IR
ebru ir 3 graph
meta "model.name" = "$name"
weight @"w$name.b.weight" : f32[16,16,3,3] = random 1 0.1 0.0
func @"f$function"(%0 "i$tensor" : f32[1,16,8,8] step loc("m$name.json":1:1 "a$name.0")) {
  %1 = conv2d %0, @"w$name.b.weight" {pad=[1,1,1,1]} : f32[1,16,8,8] loc("m$name.json":1:2 "a$name.0.b")
  %2 = silu %1 : f32[1,16,8,8] loc("m$name.json":1:3 "a$name.0.b")
  %3 = add %2, %0 : f32[1,16,8,8] loc("m$name.json":1:3 "__proto__.constructor.toString")
  return "o$tensor" = %3
}
IR
check "names from a model that are no names" "$EBRU" compile -q hostile.ir --emit=html -o hostile.html
check "they stay text:" python3 "$E2E/html_check.py" hostile.html

"$EBRU" compile -q hostile.ir --emit=html 2>err.txt
if [ $? = 2 ] && grep -q 'name the output with -o' err.txt; then pass "a page needs a file"; else fail "a page without a file: $(cat err.txt)"; fi
"$EBRU" compile -q hostile.ir --emit=html --stop-after=lay_out 2>err.txt
if [ $? = 2 ]; then pass "and so does one of a level before the last"; else fail "a page of a level without a file: $(cat err.txt)"; fi
check "a page of a level before the last" "$EBRU" compile -q "$MODELS/shapes-32/model.json" --emit=html --stop-after=lay_out -o layout.html
check "is whole:" python3 "$E2E/html_check.py" layout.html
"$EBRU" compile -q hostile.ir --emit=htm -o x.html 2>err.txt
if [ $? = 2 ] && grep -q "did you mean 'html'" err.txt; then pass "near kinds are suggested"; else fail "near kinds: $(cat err.txt)"; fi
"$EBRU" compile -q "$MODELS/no-such-model" --emit=html -o none.html 2>/dev/null
if [ $? = 3 ] && [ ! -e none.html ]; then pass "no page of a model that is not there"; else fail "a page of a model that is not there"; fi

# A run: its trace with the model, and with the program alone, with hostile names in it.
check "a program" "$EBRU" compile -q "$MODELS/shapes-32" --weights=random:1 -O0 -o net
check "and its trace" ./net -q --class 1 --steps 2 -t 2 --profile=run.json -o picture.png
check "the trace with its model" "$EBRU" report "$MODELS/shapes-32" run.json --weights=random:1 -o run.html
check "its page:" python3 "$E2E/html_check.py" run.html
python3 - <<'PY'
import json
t = json.load(open("run.json"))
bad = "\"</ScRiPt><script>hostile=1</script><img src=x onerror=hostile=1>\u202e\u2028\x1b"
t["otherData"]["program"] = t["otherData"]["model"] = bad
for f in t["otherData"]["functions"]:
    for o in f["ops"]:
        o["block"] = bad
for e in t["traceEvents"]:
    if "block" in e.get("args", {}):
        e["args"]["block"] = bad
json.dump(t, open("bad.json", "w"))
PY
check "a trace alone, with names that are no names" "$EBRU" report ./net bad.json -o bad.html
check "its page:" python3 "$E2E/html_check.py" bad.html
"$EBRU" report ./net run.json run.json -o two.html 2>err.txt
if [ $? = 2 ] && grep -q 'a page shows one trace' err.txt && [ ! -e two.html ]; then pass "two traces are no page"; else fail "two traces: $(cat err.txt)"; fi

# What is hidden or turns a text is spelled out by the script that reads the data, in every string.
cat >hidden.js <<'JS'
const fs = require('fs'), vm = require('vm'), [script, page] = process.argv.slice(2).map((f) => fs.readFileSync(f, 'utf8'));
const text = /<script id="data" type="application\/json">([^]*?)<\/script>/.exec(page)[1];
const raw = vm.runInNewContext(script + '; raw', {document: {getElementById: () => ({textContent: text})}});
const all = JSON.stringify(raw), spelled = (c) => all.includes('\\\\u{' + c + '}');
if (!/[\u202e\u2028]/.test(JSON.stringify(JSON.parse(text)))) throw new Error('nothing is hidden in the data');
if (/[\u202e\u2028]|\\u001b/.test(all) || !['202e', '2028', '001b'].every(spelled)) throw new Error('hidden characters reach the page');
JS
if command -v node >/dev/null; then
    cat "$EBRU_SOURCE"/driver/html/page/*.js >all.js
    check "the scripts are well-formed" node --check all.js
    cat >address.js <<'JS'
const fs = require('fs'), vm = require('vm');
const script = fs.readFileSync(process.argv[2], 'utf8');
const cut = (name) => new RegExp('^function ' + name + '\\([^]*?^}', 'm').exec(script)[0];
const {addressOf, addressed} = vm.runInNewContext(['addressOf', 'meanings', 'addressed'].map(cut).join('\n') + '; ({addressOf, addressed})');
const labels = new Set(['%64', '%6', 'a/b %', 'unet.step']), find = (text) => labels.has(text) && text;
const same = (a, b) => { if (a !== b) throw new Error(a + ' is not ' + b); };
same(addressOf(['graph', 'after', 'unet.step', '%64']), '#graph/after/unet.step/%64');
same(addressOf(['a/b %']), '#a%2Fb%20%25');
for (const [part, means] of [['%64', '%64'], ['%2564', '%64'], ['%6', '%6'], ['a%2Fb%20%25', 'a/b %'], ['unet.step', 'unet.step'], ['%', null], ['', null], [undefined, null]])
  same(addressed(part, find), means);
JS
    check "addresses are read as typed, then decoded" node address.js "$EBRU_SOURCE/driver/html/page/app.js"
    for page in hostile bad; do
        check "hidden characters of $page.html are spelled out" node hidden.js "$EBRU_SOURCE/driver/html/page/data.js" $page.html
    done
else
    echo "skip: the scripts are well-formed, hidden characters are spelled out (no node)"
fi

# selftest PAGE: what the page found out about itself (driver/html/page/selftest.js), as JSON in result.json
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
selftest() {
    rm -rf profile
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$PWD/profile" --virtual-time-budget=2000 --dump-dom \
        "file://$PWD/$1#selftest" >dom.html 2>browser.log
    python3 - <<'PY'
import html, json, re, sys
found = re.search(r'data-selftest="([^"]*)"', open("dom.html", encoding="utf-8").read())
if not found:
    sys.exit("the page did not finish")
r = json.loads(html.unescape(found.group(1)))
json.dump(r, open("result.json", "w"))
if r["faults"] or r.get("alerts"):
    sys.exit("faults: %s" % r)
print("views %s; drawn in %d ms" % (" ".join(r["views"]), r["ms"]))
PY
}
if [ -z "$browser" ]; then
    echo "skip: the page in a browser (no chromium)"
else
    check "shapes-32 in a browser:" selftest shapes.html
    check "a level before the last in a browser:" selftest layout.html
    check "hostile names in a browser:" selftest hostile.html
    check "a run in a browser:" selftest run.html
    check "a trace alone in a browser:" selftest bad.html
    check "Stable Diffusion 1.5 as a page" "$EBRU" compile -q "$MODELS/configs/sd-v1-5" --weights=random:1 --emit=html -o sd.html
    check "under 5 MB:" sh -c 'test "$(stat -c %s sd.html)" -lt 5000000 && stat -c %s sd.html'
    check "Stable Diffusion 1.5 in a browser:" selftest sd.html
fi
done_testing
