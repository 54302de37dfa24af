"""Python run in a process of its own, with a time limit."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent

# What most scripts begin with: threads from the first sample on, and the bits of a fit,
# by one engine after the other.
PREAMBLE = """
import hashlib, os, sys, threading, time
import numpy as np
from fastkm import kmeans
from fastkm.engines import ENGINES, InMemory

InMemory.n_chunks = lambda self, work: self.n_threads
X = np.random.default_rng(0).normal(size=(2000, 6))

def fit(seed=0, n_threads=4):
    engine = [*ENGINES][(seed + n_threads) % len(ENGINES)]
    result = kmeans(X, 7, random_state=seed, n_threads=n_threads, engine=engine)
    fields = result.centers.tobytes(), result.labels.tobytes(), str(result.inertia)
    return hashlib.sha256(repr(fields).encode()).hexdigest()
"""


def script(*parts):
    """The preamble, then the parts, each of an indentation of its own."""
    return "\n".join(textwrap.dedent(part) for part in (PREAMBLE, *parts))


def run(code, *arguments, env=None, timeout=240, returncode=0, **options):
    """Run code, or a file of code; returns what it printed, last line only."""
    if isinstance(code, Path):
        command = [sys.executable, str(code), *arguments]
    else:
        command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        cwd=ROOT / "tests",  # else the checkout would come before PYTHONPATH
        **options,
    )
    assert done.returncode == returncode, done.stdout + done.stderr
    return done.stdout.strip().rpartition("\n")[2]
