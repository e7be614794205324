"""The engines: each is made ready once, then run round by round, one process a round.

An engine has a name, `missing(work, batch)` (why it cannot run here, or None), `prepare(work, batch)` and `run(work, batch, runs)`, which
returns {"median_ms", "min_ms", ...}."""
import json
import os
import subprocess
import tempfile

import machine
import trace

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PEERS = os.path.join(HERE, "peers")


class Failed(Exception):
    pass


def command(words, env=None, cwd=None):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        tail = (done.stderr.strip() or done.stdout.strip() or "exit code %d" % done.returncode).splitlines()
        raise Failed("%s: %s" % (os.path.basename(str(words[0])), tail[-1][:200] if tail else done.returncode))
    return done.stdout


def full_name(kind, precision, level):
    return "%s-%s%s" % (kind, precision, "@" + level if level else "")


def last_object(text):
    return json.loads(text.strip().splitlines()[-1])


class Ebru:
    peer = False

    def __init__(self, setup, precision, level=None):
        self.setup, self.precision = setup, precision
        self.level = level or machine.best_level()
        self.name = full_name("ebru", precision, level)

    def missing(self, work, batch):
        return None if batch in work.functions else "no function for batch %d" % batch

    def program(self, work, batch):
        """One program has the code of all levels that are measured; weights are the same for all."""
        name = os.path.basename(work.model).removesuffix(".json") + "-" + self.precision
        return self.setup.path(name + ("-%d" % batch if work.program_batch else ""))

    def prepare(self, work, batch):
        program = self.program(work, batch)
        words = [self.setup.ebru, "compile", "-q", os.path.join(os.path.dirname(HERE), work.model), "--weights=random:1",
                 "-mcpu=" + ",".join(self.setup.levels), "--precision=" + self.precision]
        words += ["--batch=%d" % batch] if work.program_batch else []
        if self.setup.stale(program, words):
            command([*words, "-o", program])
            self.setup.made(program, words)

    def run(self, work, batch, runs):
        out = command([*self.setup.prefix, self.program(work, batch), "--bench=json", "--runs=%d" % runs, "-t", self.setup.threads,
                       "--function=" + work.functions[batch], "--cpu-level=" + self.level])
        rows = [json.loads(line) for line in out.splitlines()]
        # all stages: the peers compute in one call what ebru computes once a prompt or a schedule
        total = {k: sum(r[k] for r in rows) for k in ("median_ms", "min_ms", "gflop", "weight_bytes")}
        return {**total, "peak_rss_bytes": max(r["peak_rss_bytes"] for r in rows), "level": self.level, **self.traced(work, batch)}

    def traced(self, work, batch):
        """What the program's code can reach, measured by itself behind one more evaluation, and what it multiplies and moves."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            command([*self.setup.prefix, self.program(work, batch), "--bench=json", "--runs=1", "-q", "-t", self.setup.threads,
                     "--function=" + work.functions[batch], "--cpu-level=" + self.level, "--profile=" + path])
            peaks, cores, ops = trace.network(path, work.functions[batch])
        return {"peaks": peaks, "peak_core_share": cores, "ops": ops}


class Torch:
    peer = True
    MODES = ("jit", "eager", "eager-contiguous")

    def __init__(self, setup, precision, level=None):
        self.setup, self.precision, self.level = setup, precision, level
        self.name, self.best_mode = full_name("torch", precision, level), {}

    def missing(self, work, batch):
        if self.precision == "bf16" and not machine.has_bf16():
            return "this CPU has no bf16 instructions, torch would only emulate them"
        return None

    def prepare(self, work, batch):
        pass

    def run(self, work, batch, runs):
        """In the first round every way to run a model; after that the fastest of them."""
        best = None
        for mode in self.best_mode.get((work.name, batch), self.MODES):
            try:
                one = self.run_mode(work, batch, runs, mode)
            except Failed:
                if mode == self.MODES[-1] and best is None:
                    raise
                continue
            if best is None or one["median_ms"] < best["median_ms"]:
                best = {**one, "mode": mode}
        self.best_mode[work.name, batch] = (best["mode"],)
        return best

    def run_mode(self, work, batch, runs, mode):
        out = command([*self.setup.prefix, self.setup.python, os.path.join(PEERS, "torch_bench.py"), "time", work.network, batch,
                       self.precision, mode, self.setup.threads, runs], env={**self.setup.torch_env(), **self.setup.torch_level(self.level)})
        return last_object(out)


class Ort:
    peer = True

    def __init__(self, setup, precision, level=None):
        self.setup, self.precision, self.level = setup, precision, level
        self.name = full_name("ort", precision, level)

    def missing(self, work, batch):
        return None if self.precision == "f32" else "onnxruntime's CPU provider has no convolutions in bf16"

    def model(self, work, batch):
        return self.setup.path("%s-%d" % (work.network, batch), "model.onnx")

    def prepare(self, work, batch):
        if not os.path.exists(self.model(work, batch)):
            command([self.setup.python, os.path.join(PEERS, "torch_bench.py"), "export", work.network, batch, self.model(work, batch)],
                    env=self.setup.torch_env())
        if self.level:  # not every machine lets CPUID fault
            command(["true"], env=self.setup.ort_level(self.level))

    def run(self, work, batch, runs):
        out = command([*self.setup.prefix, "node", os.path.join(PEERS, "ort.cjs"), self.model(work, batch), self.setup.threads, runs,
                       *work.feeds_of(batch)], env={"ORT_MODULE": self.setup.path("node_modules", "onnxruntime-node"), **self.setup.ort_level(self.level)})
        return last_object(out)


KINDS = {"ebru": Ebru, "torch": Torch, "ort": Ort}
PRECISIONS = {"ebru": ("f32", "bf16x3", "bf16", "int8"), "torch": ("f32", "bf16"), "ort": ("f32",)}


def engine(setup, name):
    """ebru-f32, ebru-f32@x86-64-v3, torch-bf16, ort-f32@x86-64-v3 ...; None if there is none of that name. Peers can be held to x86-64-v3."""
    kind, _, rest = name.partition("-")
    precision, _, level = rest.partition("@")
    levels = machine.levels() if kind == "ebru" else ("x86-64-v3",)
    if precision not in PRECISIONS.get(kind, ()) or (level and level not in levels):
        return None
    return KINDS[kind](setup, precision, level or None)
