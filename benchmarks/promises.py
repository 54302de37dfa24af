"""What can go wrong, asked of fastkm and scikit-learn: python benchmarks/promises.py.

Every question is a process of its own, which may crash or hang. Writes the README's
table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

LIMIT = 120  # seconds

PREAMBLE = """
import os, signal, sys, threading, time, warnings
import numpy as np
from threadpoolctl import threadpool_limits

PEER = sys.argv[1]
if PEER == "fastkm":
    from fastkm import KMeans
else:
    from sklearn.cluster import KMeans
warnings.simplefilter("ignore")

def model(k, **options):
    return KMeans(k, **{"random_state": 0, "n_init": 1} | options)

def yes(value):
    return "yes" if value else "**no**"
"""
FAR = """
rng = np.random.default_rng(0)
places = rng.normal(size=(5, 64)) * 2
X = places[rng.integers(0, 5, 5000)] + rng.normal(size=(5000, 64))
X = (X + 1e5).astype(np.float32)
fitted = model(5, init=X[:5]).fit(X)
double = X.astype(float)
"""
TEN_MILLION = """
rng = np.random.default_rng(0)
X = rng.random((20_000_000, 1), dtype=np.float32)
X[::2] += 1
X[1::2] += 10
exact = [X[i::2].mean(dtype=float) for i in (0, 1)]
fitted = model(2, init=X[:2]).fit(X)
"""
BLOBS = """
X = np.random.default_rng(0).normal(size=(20_000, 8))
"""
REFUSED = """
X = np.arange(8.0).reshape(4, 2)
try:
    model(2).fit(X * ([1, np.nan] if WHAT == "NaN" else 1), sample_weight=WEIGHT)
    print("**accepted**")
except ValueError as error:
    print("refused")
"""
CTRL_C = """
X = np.random.default_rng(0).normal(size=(300_000, 16)).astype(np.float32)
slow = model(K, init=INIT, tol=0, max_iter=10**6)
model(3, max_iter=2).fit(X)
model(10, max_iter=2, init=INIT).fit(X)
began = []
def interrupt():
    began.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(2.0, interrupt).start()
try:
    slow.fit(X)
    print("finished first")
except KeyboardInterrupt:
    print(f"{time.perf_counter() - began[0]:.1f} s")
"""

QUESTIONS = {
    "float32 about 100,000 (64 features): labels that predict gets wrong": FAR
    + """
table = ((double[:, None] - fitted.cluster_centers_.astype(float)) ** 2).sum(2)
wrong = (fitted.predict(X) != table.argmin(1)).mean()
print(f"{wrong:.0%}" if wrong == 0 else f"**{wrong:.0%}**")
""",
    "... labels_ == predict(X)": FAR
    + "print(yes((fitted.labels_ == fitted.predict(X)).all()))",
    "... inertia_ == -score(X)": FAR
    + "print(yes(fitted.inertia_ == -fitted.score(X)))",
    "2 x 10 million float32 numbers: error of the centers": TEN_MILLION
    + """
error = np.abs(np.sort(fitted.cluster_centers_.ravel()) - exact).max()
print(f"{error:.1g}" if error < 1e-5 else f"**{error:.2g}**")
""",
    "... error of the inertia": TEN_MILLION
    + """
labels = X[:, 0] > 5
true = sum(((X[i::2].astype(float) - exact[i]) ** 2).sum() for i in (0, 1))
error = abs(fitted.inertia_ / true - 1)
print(f"{error:.0e}" if error < 1e-5 else f"**{error:.0%}**")
""",
    "Same centers, bit for bit, on 1 and on 2 threads": BLOBS
    + """
found = set()
for n in (1, 2):
    if PEER == "fastkm":
        fitted = model(20, n_threads=n).fit(X)
    else:
        with threadpool_limits(n):
            fitted = model(20).fit(X)
    found.add(fitted.cluster_centers_.tobytes())
print(yes(len(found) == 1))
""",
    "Same centers, bit for bit, of samples in another order": BLOBS
    + """
order = np.random.default_rng(1).permutation(len(X))
fits = [model(20, init=X[:20]).fit(Y) for Y in (X, X[order])]
found = {fitted.cluster_centers_.tobytes() for fitted in fits}
print(yes(len(found) == 1))
""",
    "Same centers, bit for bit, of C and Fortran order": BLOBS
    + """
Y = np.asfortranarray(X)
found = {model(20, init=X[:20]).fit(Z).cluster_centers_.tobytes() for Z in (X, Y)}
print(yes(len(found) == 1))
""",
    "NaN among the samples": "WHAT, WEIGHT = 'NaN', None" + REFUSED,
    "A negative weight": "WHAT, WEIGHT = '', [1, 1, 1, -5]" + REFUSED,
    "Ctrl-C in iterations stops after": "K, INIT = 300, 'random'" + CTRL_C,
    "Ctrl-C in k-means++ stops after": "K, INIT = 5000, 'k-means++'" + CTRL_C,
    "After os.fork, a fit in the child": BLOBS
    + """
expected = model(20).fit(X).cluster_centers_
child = os.fork()
if not child:
    os._exit(not np.allclose(model(20).fit(X).cluster_centers_, expected))
for _ in range(200):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        break
    time.sleep(0.1)
else:
    os.kill(child, signal.SIGKILL)
print("works" if done and status == 0 else "**fails**" if done else "**hangs**")
""",
    "8 threads fit at once, same bits": BLOBS
    + """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    fits = list(pool.map(lambda _: model(20).fit(X), range(16)))
print(yes(len({fitted.cluster_centers_.tobytes() for fitted in fits}) == 1))
""",
    "Callback, time limit, checkpoint": """
names = set(model(2).get_params())
print(yes({"callback", "max_time", "checkpoint"} <= names))
""",
}


def ask(code: str, peer: str) -> str:
    """The last line of what the code prints; in words when it fails."""
    root = str(Path(__file__).parents[1])
    try:
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), peer],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "PYTHONPATH": root},
        )
    except subprocess.TimeoutExpired:
        return f"**still running after {LIMIT} s**"
    if done.returncode < 0:
        return f"**ended by signal {-done.returncode}**"
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip().rpartition("\n")[2]


def main() -> None:
    print("| | fastkm | scikit-learn |")
    print("|---|---|---|")
    for question, code in QUESTIONS.items():
        cells = " | ".join(ask(code, peer) for peer in ("fastkm", "sklearn"))
        print(f"| {question} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
