"""Checks a page of --emit=html without a browser: it is whole, loads nothing, its policy names its script and style, its data are
JSON whose references fit.

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
check("ASCII", data.isascii())
check("version", d["version"] == 2)
check("a compilation, or a run", "after" in d or "trace" in d)
nodes = [n for side in ("before", "after") if side in d for f in d[side]["functions"] for n in f["nodes"]]
for side in ("before", "after"):
    if "after" not in d:
        break
    weights = {w["name"] for w in d[side]["weights"]}
    for f in d[side]["functions"]:
        seen = set()
        for n in f["nodes"]:
            check("operands come before", all(o is None or o in (weights if isinstance(o, str) else seen) for o in n["operands"]))
            seen.add(n["id"])
        check("outputs exist", f["outputs"] and all(o["value"] in (weights if isinstance(o["value"], str) else seen) for o in f["outputs"]))
for n in nodes:
    check("ops are explained", d["ops"][n["op"]]["summary"] and len(d["ops"][n["op"]]["operands"]) >= len(n["operands"]))
    check("attributes have defaults", d["ops"][n["op"]]["attrs"].keys() == n["attrs"].keys())
for k in d.get("trace", {}).get("tracks", []):
    columns = {name: c for name, c in k.items() if name != "name"}
    check("columns of a track are equally long", len({len(c) for c in columns.values()}) == 1)
    functions = d["trace"]["functions"]
    check("events have a function and an op that exist", all(f < len(functions) and (f < 0 or o < len(functions[f][2])) for f, o in zip(k["func"], k["op"])))
if "after" not in d:
    print("%d checks, %d bytes, %d events" % (checks, len(page.encode()), sum(len(k["op"]) for k in d["trace"]["tracks"])))
    sys.exit()
check("passes have names and times", d["after"]["passes"] and all(p["pass"] and p["summary"] and p["ms"] >= 0 for p in d["after"]["passes"]))
check("decisions are of passes", {x["pass"] for x in d["decisions"]} <= {p["pass"] for p in d["after"]["passes"]})

if len(sys.argv) > 2:
    lines = re.findall(r"^  (%\d+) = (\w+) ?(.*)$", open(sys.argv[2]).read(), re.M)
    mine = [n["op"] for f in d["after"]["functions"] for n in f["nodes"] if n["op"] != "input"]
    check("the nodes are those of the text form", mine == [op for _, op, _ in lines])
print("%d checks, %d bytes, %d nodes" % (checks, len(page.encode()), sum(len(f["nodes"]) for f in d["after"]["functions"])))
