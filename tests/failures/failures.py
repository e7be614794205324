#!/usr/bin/env python3
"""What ebru and its programs do when the system refuses something, or kills them.

    failures.py calls EBRU FAIL_CALLS MODELS FOLDER [--most=N] [--only=KIND]
    failures.py kills EBRU MODELS FOLDER [--count=200] [--seed=1]

calls: FAIL_CALLS is the library of fail_calls.c. For each command and each kind of call, the N-th call fails, and then
it and all behind it, for at most N points spread over all. What is asked of each run: it ends by itself, with an exit
code that the docs name for the system (3) or for input (1), or as if nothing had been; when it fails it says so; the
output is complete or what was there before; nothing else stays in the folder.

kills: a compilation or a program is killed at a random moment. The output must be complete or what was there before,
and the next run must leave nothing but its output.

Prints a line a finding, a summary, and exits with 1 when there was one. Standard library only.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time

OLD = b"what was there before"


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


class Command:
    """A command line that writes files into a folder of its own."""

    def __init__(self, name, words, outputs, folder, end=None):
        self.name, self.words, self.outputs = name, words, outputs
        self.folder = os.path.join(folder, name)
        self.good = {}
        self.end = end  # what a complete output ends with, where its bytes depend on what could be found out

    def prepare(self, old):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        for name in self.outputs if old else ():
            with open(os.path.join(self.folder, name), "wb") as f:
                f.write(OLD)

    def start(self, **environment):
        return subprocess.Popen(self.words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, env=dict(os.environ, **environment))

    def run(self, timeout=120, **environment):
        p = self.start(**environment)
        try:
            words = p.communicate(timeout=timeout)[1]
        except subprocess.TimeoutExpired:
            p.kill()
            return None, p.communicate()[1].decode(errors="replace")
        return p.returncode, words.decode(errors="replace")

    def learn(self, **environment):
        """The outputs of an undisturbed run."""
        self.prepare(False)
        code, words = self.run(**environment)
        if code != 0:
            sys.exit("%s: exit code %s: %s" % (self.name, code, words))
        self.good = {name: read(os.path.join(self.folder, name)) for name in self.outputs}

    def complete(self, name, now):
        return now is not None and (now.endswith(self.end) if self.end else now == self.good[name])

    def faults(self, done):
        """What is wrong in the folder; `done`: the run said that it was successful."""
        wrong = []
        for name in self.outputs:
            now = read(os.path.join(self.folder, name))
            complete = self.complete(name, now)
            if done and not complete:
                wrong.append("%s is not complete" % name)
            elif not complete and now not in (OLD, None):
                wrong.append("%s is half written" % name)
        wrong += ["%s is left" % name for name in sorted(os.listdir(self.folder)) if name not in self.outputs]
        states = {self.complete(n, read(os.path.join(self.folder, n))) for n in self.outputs}
        if len(states) > 1:
            wrong.append("some outputs are new and some are not")
        return wrong


def commands(ebru, models, folder):
    compile_ = [ebru, "compile", os.path.join(models, "shapes-32"), "-O0", "-mcpu=x86-64-v3", "--tuning=none", "-q"]
    program = os.path.join(folder, "program")
    subprocess.run(compile_ + ["-o", program], check=True)
    return [
        Command("compile", compile_ + ["-o", "p"], ["p"], folder),
        Command("external", compile_ + ["--weights=external", "-o", "p"], ["p", "p.weights"], folder),
        Command("ir", compile_ + ["--emit=ir", "-o", "m.ir"], ["m.ir"], folder),
        Command("html", compile_ + ["--emit=html", "-o", "m.html"], ["m.html"], folder, b"</html>\n"),
        Command("paint", [program, "--class", "0", "--steps", "1", "-t", "2", "-q", "-o", "a.png"], ["a.png"], folder),
    ]


def points(count, most):
    """At most `most` of 1..count, both ends among them."""
    if count <= most:
        return range(1, count + 1)
    return sorted({1 + round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})


def calls(o):
    total = told = silent = 0
    for c in commands(o.ebru, o.models, o.folder):
        c.learn(EBRU_CACHE_DIR=o.folder)
        counts = os.path.join(o.folder, "counts")
        inside = os.path.basename(c.words[0])
        c.prepare(False)
        c.run(LD_PRELOAD=o.fail_calls, EBRU_FAIL_IN=inside, EBRU_FAIL_COUNT=counts, EBRU_CACHE_DIR=o.folder)
        for line in (read(counts) or b"").decode().splitlines():
            kind, count = line.split()
            if o.only and kind != o.only:
                continue
            here = 0
            for n in points(int(count), o.most):
                for more in "", "+":
                    c.prepare(True)
                    code, words = c.run(LD_PRELOAD=o.fail_calls, EBRU_FAIL_IN=inside, EBRU_CACHE_DIR=o.folder,
                                        EBRU_FAIL="%s:%d%s" % (kind, n, more))
                    wrong = c.faults(code == 0)
                    if code is None:
                        wrong.append("it does not end")
                    elif code not in (0, 1, 3):
                        wrong.append("exit code %d" % code)
                    elif code and not words.strip():
                        wrong.append("exit code %d without a word" % code)
                    told += code not in (None, 0)
                    silent += code == 0
                    here += 1
                    total += 1
                    if wrong:
                        o.findings += 1
                        print("%s, EBRU_FAIL=%s:%d%s: %s: %s" % (c.name, kind, n, more, "; ".join(wrong),
                                                                 words.strip()[:160].replace("\n", " ")))
                        sys.stdout.flush()
            print("%-10s %-8s %6s calls, %5d failed" % (c.name, kind, count, here))
            sys.stdout.flush()
    print("%d failed calls: %d told, %d without effect, %d findings" % (total, told, silent, o.findings))


def kills(o):
    r = random.Random(o.seed)
    all_ = commands(o.ebru, o.models, o.folder)
    took = {}
    for c in all_:
        begin = time.monotonic()
        c.learn()
        took[c.name] = time.monotonic() - begin
    early = late = 0
    for i in range(o.count):
        c = r.choice(all_)
        c.prepare(r.random() < 0.5)
        p = c.start()
        time.sleep(r.random() * took[c.name])
        p.send_signal(signal.SIGKILL)
        p.communicate()
        time.sleep(0.05)  # its children die with it
        late += p.returncode == 0
        early += p.returncode != 0
        wrong = [w for w in c.faults(p.returncode == 0) if not w.endswith("is left")]
        code, words = c.run()
        wrong += ["afterwards: " + w for w in c.faults(code == 0)]
        if code != 0:
            wrong.append("afterwards exit code %s: %s" % (code, words.strip()[:160]))
        if wrong:
            o.findings += 1
            print("%s, kill %d: %s" % (c.name, i, "; ".join(wrong)))
            sys.stdout.flush()
    print("%d kills: %d in time, %d when it was done, %d findings" % (o.count, early, late, o.findings))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    s = a.add_subparsers(dest="what", required=True)
    c = s.add_parser("calls")
    c.add_argument("ebru")
    c.add_argument("fail_calls")
    c.add_argument("models")
    c.add_argument("folder")
    c.add_argument("--most", type=int, default=100)
    c.add_argument("--only")
    k = s.add_parser("kills")
    k.add_argument("ebru")
    k.add_argument("models")
    k.add_argument("folder")
    k.add_argument("--count", type=int, default=200)
    k.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    for name in ("ebru", "fail_calls", "models", "folder"):
        if hasattr(o, name):
            setattr(o, name, os.path.abspath(getattr(o, name)))
    os.makedirs(o.folder, exist_ok=True)
    o.findings = 0
    {"calls": calls, "kills": kills}[o.what](o)
    if o.findings == 0 and "EBRU_KEEP_WORK" not in os.environ:
        shutil.rmtree(o.folder)
    sys.exit(o.findings > 0)


main()
