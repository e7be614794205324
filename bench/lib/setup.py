"""What the measurements need: a build of ebru, torch and a BLAS worth its name, onnxruntime-node; all but Debian's packages below one folder."""
import glob
import os
import shutil
import subprocess
import sys

import machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(text):
    print(text, file=sys.stderr, flush=True)


def quietly(*words, **more):
    subprocess.run(words, check=True, stdout=sys.stderr, **more)


class Setup:
    def __init__(self, options):
        self.folder = os.path.abspath(options.work)
        self.threads, self.prefix, self.python = options.threads, options.prefix.split(), options.python
        self.ebru = os.path.abspath(options.ebru) if options.ebru else None
        self.levels = [machine.best_level()]
        os.makedirs(self.folder, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def need_levels(self, engines):
        wanted = {e.level for e in engines if not e.peer}
        self.levels = [l for l in machine.levels() if l in wanted] or self.levels

    # ---- what is made once ----

    def stale(self, program, words):
        """Made by other words, or by an older compiler?"""
        note = program + ".made"
        if not os.path.exists(program) or not os.path.exists(note) or os.path.getmtime(note) < os.path.getmtime(self.ebru):
            return True
        with open(note) as f:
            return f.read() != " ".join(words)

    def made(self, program, words):
        with open(program + ".made", "w") as f:
            f.write(" ".join(words))

    def build_ebru(self):
        if self.ebru:
            return
        quietly(os.path.join(ROOT, "scripts", "setup"), "base")
        if not os.path.isdir(os.path.join(ROOT, "build", "release")):
            quietly("cmake", "--preset", "release", cwd=ROOT)
        quietly("cmake", "--build", "--preset", "release", "--target", "ebru", cwd=ROOT)
        self.ebru = os.path.join(ROOT, "build", "release", "bin", "ebru")

    def install_peers(self, kinds):
        missing = []
        if "torch" in kinds or "ort" in kinds:  # torch exports the models, too
            if subprocess.run([self.python, "-c", "import torch"], capture_output=True).returncode != 0:
                missing.append("python3-torch")
        if "ort" in kinds and not (shutil.which("npm") and shutil.which("node")):
            missing += ["nodejs", "npm"]
        if missing:
            sudo = [] if os.getuid() == 0 else ["sudo"]
            quietly(*sudo, "apt-get", "update", "-qq")
            quietly(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", *missing)
        if "ort" in kinds and not os.path.isdir(self.path("node_modules", "onnxruntime-node")):
            quietly("npm", "init", "-y", cwd=self.folder)
            quietly("npm", "install", "--ignore-scripts", "--no-fund", "--no-audit", "onnxruntime-node", cwd=self.folder)
        if "torch" in kinds or "ort" in kinds:
            self.fetch_blas()

    # ---- torch ----

    def blas(self):
        found = glob.glob(self.path("blas", "usr", "lib", "*", "openblas-pthread"))
        return found[0] if found else None

    def fetch_blas(self):
        """Debian's torch calls whatever libblas is installed, often the reference one, which is 100 times slower: OpenBLAS, unpacked here and
        put in front for torch alone."""
        if self.blas():
            return
        folder = self.path("blas")
        os.makedirs(folder, exist_ok=True)
        try:
            quietly("apt-get", "download", "-qq", "libopenblas0-pthread", cwd=folder)
            for package in glob.glob(os.path.join(folder, "*.deb")):
                quietly("dpkg", "-x", package, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            say("bench/compare: torch runs without OpenBLAS: %s" % error)

    def torch_env(self):
        """Bound threads: moved and sleeping ones have cost torch a factor of ten at small networks."""
        n = str(self.threads)
        env = {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "OMP_PROC_BIND": "true", "PYTHONWARNINGS": "ignore"}
        if self.blas():
            env["LD_LIBRARY_PATH"] = self.blas() + (":" + os.environ["LD_LIBRARY_PATH"] if os.environ.get("LD_LIBRARY_PATH") else "")
        return env

    # ---- peers held to AVX2 ----

    def torch_level(self, level):
        return {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"} if level else {}

    def ort_level(self, level):
        """onnxruntime has no switch for it: CPUID is made to say so."""
        if not level:
            return {}
        library = self.path("no_avx512.so")
        if not os.path.exists(library):
            quietly("cc", "-shared", "-fPIC", "-O2", "-o", library, os.path.join(ROOT, "bench", "no_avx512.c"), "-ldl")
        return {"LD_PRELOAD": library}
