"""Seconds to the first result in a new process: python benchmarks/startup.py.

With an empty disk cache (everything is compiled) and again with the cache filled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import time
start = time.perf_counter()
import numba, numpy as np
numba_done = time.perf_counter()
import fastkm
imported = time.perf_counter()
X = np.random.default_rng(0).standard_normal((2000, {d}), dtype="{dtype}")
begin = time.perf_counter()
fastkm.kmeans(X, {k}, random_state=0)
print(numba_done - start, imported - numba_done, time.perf_counter() - begin)
"""
SHAPES = {
    "2 features, k=6, float64 (lanes)": {"d": 2, "k": 6, "dtype": "float64"},
    "50 features, k=20, float32 (tiles)": {"d": 50, "k": 20, "dtype": "float32"},
}


def run(shape: dict, cache: str) -> list[float]:
    """Seconds to import Numba, to import fastkm, and of the first fit."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(**shape)],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    print("| shape | cache | import numba | import fastkm | first fit |")
    print("|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "filled"):
                cells = " | ".join(f"{value:.2f} s" for value in run(shape, cache))
                print(f"| {name} | {state} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
