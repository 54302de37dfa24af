"""Seconds to the first result in a new process: python benchmarks/startup.py.

With an empty disk cache (everything is compiled) and again with the cache filled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

SCRIPT = """
import time
start = time.perf_counter()
import numba, numpy as np
numba_done = time.perf_counter()
import fastkm
imported = time.perf_counter()
X = np.random.default_rng(0).standard_normal((2000, {d}), dtype="{dtype}")
begin = time.perf_counter()
result = fastkm.kmeans(X, {k}, random_state=0)
first_fit = time.perf_counter() - begin
print(numba_done - start, imported - numba_done, first_fit, result.report.engine)
"""
SHAPES = {
    "2 features, k=6, float64": {"d": 2, "k": 6, "dtype": "float64"},
    "50 features, k=20, float32": {"d": 50, "k": 20, "dtype": "float32"},
}


def _run(shape, cache):
    """Seconds to import Numba, to import fastkm, and of the first fit; the engine."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(**shape)],
        env={**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": _path()},
        capture_output=True,
        text=True,
        check=True,
    )
    *seconds, engine = done.stdout.split()
    return [float(word) for word in seconds], engine


def _path():
    """PYTHONPATH by which a new process finds this process's fastkm."""
    import fastkm

    return str(Path(fastkm.__file__).parents[1])


class Import:
    """Importing, in a new interpreter."""

    timeout = 60
    rounds = 1
    repeat = 5
    number = 1

    def timeraw_fastkm(self):
        return "import fastkm"

    def timeraw_numba_only(self):
        return "import numba"

    timeraw_fastkm.pretty_name = "import fastkm"
    timeraw_numba_only.pretty_name = "import numba"


class FirstFit:
    """First fit of 2000 samples in a new process, without the imports."""

    params = (["filled", "empty"], list(SHAPES))
    param_names = ("cache", "shape")
    timeout = 300
    unit = "seconds"

    def setup(self, cache, shape):
        self.folder = tempfile.TemporaryDirectory()
        self.cache = self.folder.name
        if cache == "filled":
            self.cache = os.environ.get("NUMBA_CACHE_DIR", self.cache)
            _run(SHAPES[shape], self.cache)

    def track_first_fit(self, cache, shape):
        return _run(SHAPES[shape], self.cache)[0][2]

    track_first_fit.pretty_name = "First fit of a process"

    def teardown(self, cache, shape):
        self.folder.cleanup()


def main() -> None:
    print("| shape | engine | cache | import numba | import fastkm | first fit |")
    print("|---|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "filled"):
                seconds, engine = _run(shape, cache)
                cells = " | ".join(f"{value:.2f} s" for value in seconds)
                print(f"| {name} | {engine} | {state} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
