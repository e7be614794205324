"""Checks a page of --emit=html without a browser: it is whole, loads nothing, its policy names its script and style, its data are
JSON whose columns and indices fit.

html_check.py PAGE [MODULE.ir]    with the text of the same module: the page has all of its nodes"""
import base64, hashlib, json, re, sys

page = open(sys.argv[1], encoding="utf-8", errors="strict").read()
checks = 0


def check(what, condition):
    global checks
    checks += 1
    if not condition:
        sys.exit("fail: " + what)


data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S).group(1)
script = re.search(r"<script>('use strict'.*?)</script>", page, re.S).group(1)
style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)


def csp(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


check("the policy forbids what it does not name", policy.startswith("default-src 'none'; ") and "unsafe" not in policy)
check("the policy names the script", "script-src " + csp(script) in policy)
check("the policy names the style", "style-src " + csp(style) in policy)
check("scripts end twice", len(re.findall(r"</script", page, re.I)) == 2 and len(re.findall(r"<script", page, re.I)) == 2)
rest = page.replace(data, "")
links = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^\s'"]*""", rest))
check("no address but the name space of SVG: %s" % links, links <= {"http://www.w3.org/2000/svg"})
for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "fetch(", "XMLHttpRequest", "WebSocket", "import(", "@import"):
    check("no " + word, word not in rest)
check("no address in style", not re.search(r"url\((?!#)", rest))
check("no src and no href but one to the page itself", set(re.findall(r"""\b(?:src|href)=["']?([^"'\s>]*)""", rest)) <= {"#main"})
check("no markup and no hidden character in the data", not re.search("[<>&\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", data))

d = json.loads(data)
strings = d["strings"]
check("version", d["version"] == 1)
check("strings stand once", len(strings) == len(set(strings)))
check("a compilation, or a run", "after" in d or "trace" in d)
for side in ("before", "after"):
    if "after" not in d:
        break
    m = d[side]
    for f in m["funcs"]:
        n = f["nodes"]
        count = len(n["op"])
        check("columns are equally long", all(len(c) == count for c in n.values()))
        check("operands come before", all(-1 <= o < i for i, ops in enumerate(n["operands"]) for o in ops))
        check("ops, types and origins exist", all(0 <= x < len(m["ops"]) for x in n["op"]) and all(0 <= x < len(m["types"]) for x in n["type"])
              and all(0 <= x < len(m["origins"]) for x in n["origin"]))
        check("outputs exist", f["outputs"] and all(0 <= i < count for _, i in f["outputs"]))
    check("texts exist", all(-1 <= o[k] < len(strings) for o in m["origins"] for k in (0, 3, 4)))
for k in d.get("trace", {}).get("tracks", []):
    columns = {name: c for name, c in k.items() if name != "name"}
    check("columns of a track are equally long", len({len(c) for c in columns.values()}) == 1)
    functions = d["trace"]["functions"]
    check("events have a function and an op that exist", all(f < len(functions) and (f < 0 or o < len(functions[f][2])) for f, o in zip(k["func"], k["op"])))
if "after" not in d:
    print("%d checks, %d bytes, %d events" % (checks, len(page.encode()), sum(len(k["op"]) for k in d["trace"]["tracks"])))
    sys.exit()
check("passes have names and times", d["passes"] and all(strings[p[0]] and p[2] >= 0 for p in d["passes"]))
check("decisions are of passes", all(0 <= x[0] < len(strings) for x in d["decisions"]))

if len(sys.argv) > 2:
    lines = re.findall(r"^  (%\d+) = (\w+) ?(.*)$", open(sys.argv[2]).read(), re.M)
    ops = [strings[o[0]] for o in d["after"]["ops"]]
    mine = [ops[o] for f in d["after"]["funcs"] for o in f["nodes"]["op"] if ops[o] not in ("input", "weight")]
    check("the nodes are those of the text form", mine == [op for _, op, _ in lines])
print("%d checks, %d bytes, %d nodes" % (checks, len(page.encode()), sum(len(f["nodes"]["op"]) for f in d["after"]["funcs"])))
