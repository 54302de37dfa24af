"""Few features: whole fits, growth with N, worst data: python benchmarks/plane.py.

A fit of fastkm is timed as the user calls it, to convergence with tol=0, the build of
the tree and the final labels included. The peers do the same number of iterations from
the same initial centers; where one needs minutes, that time is extrapolated from its
first iterations. Writes plane.md, .json and .png into the folder given with -o.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, too

from benchmarks import peers
from benchmarks.data import CASES, Array, initial_centers
from fastkm import kmeans
from fastkm.datasets import make_blobs_and_tail

FITS = ("plane", "plane++", "cells", "colours", "line")
ENGINES = ("blocks", "lanes", "tiles")
LONGEST = 10_000  # iterations


def seconds(run: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def fit(X: Array, centers: Array, max_iter: int = LONGEST, engine: str = "auto") -> Any:
    options = {"max_iter": max_iter, "tol": 0, "n_threads": peers.N_THREADS}
    return kmeans(X, len(centers), init=centers, engine=engine, **options)


def start(name: str, X: Array) -> Array:
    k = CASES[name].n_clusters
    if name.endswith("++"):
        return kmeans(X, k, random_state=0, max_iter=1, engine="lanes").centers
    # From seed 30 "plane" takes 365 iterations, as many as in the notebook.
    return initial_centers(X, k, seed=30 if name == "plane" else 1)


def extrapolated(run: peers.Run, X: Array, centers: Array, few: int, n: int) -> float:
    """Seconds of a fit of n iterations, from fits of 1 and of 1 + few."""
    one = seconds(run, X, centers, 1)
    if n <= 1 + few:
        return seconds(run, X, centers, n)
    return one + (seconds(run, X, centers, 1 + few) - one) * (n - 1) / few


def measure_fit(name: str, n_rounds: int, runs: dict[str, peers.Run]) -> dict:
    """Whole fits of everyone on one case."""
    case = CASES[name]
    X = case.make()
    centers = start(name, X)
    for run in runs.values():  # compile, start threads
        run(X[: 4 * len(centers) + 20_000], centers, 30)
    times = []
    for _ in range(n_rounds):
        begin = time.perf_counter()
        result = fit(X, centers)
        times.append(time.perf_counter() - begin)
    n_iter = result.n_iter
    best = {"fastkm": min(times)}
    for peer, run in runs.items():
        if peer != "fastkm":
            best[peer] = extrapolated(run, X, centers, case.n_iter, n_iter)
    counts = result.report.counts
    looked = counts.get("samples compared one by one", 0) / (n_iter + 1) / len(X)
    return {
        "case": f"{name}: {len(X)} x {X.shape[1]} {X.dtype}, k={len(centers)}",
        "n_iter": n_iter,
        "seconds": best,
        "looked_at": looked,
        "reason": result.report.reason,
    }


def growth(runs: dict[str, peers.Run], largest: int) -> list[dict]:
    """Fits of the notebook's mixture, N over its whole range and beyond."""
    found = []
    for n in np.geomspace(300, largest, 12).astype(int):
        X = make_blobs_and_tail(int(n), random_state=0)
        centers = initial_centers(X, 6)
        fit(X, centers)
        times = {"fastkm": seconds(fit, X, centers)}
        result = fit(X, centers, engine="blocks")
        run = runs["scikit-learn"]
        times["scikit-learn"] = extrapolated(run, X, centers, 20, result.n_iter)
        counts, n_steps = result.report.counts, result.n_iter + 1
        found.append(
            {
                "n": len(X),
                "n_iter": result.n_iter,
                "seconds": times,
                "looked_at": counts["samples compared one by one"] / n_steps,
                "visited": counts["nodes visited"] / n_steps,
            }
        )
    return found


def exponent(x: list[float], y: list[float]) -> float:
    """Slope of a line through the larger half on log-log axes."""
    half = len(x) // 2
    return float(np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0])


def worst(n: int) -> dict[str, tuple[Array, Array]]:
    """Data whose samples lie along the boundaries between centers."""
    rng = np.random.default_rng(0)
    line = np.stack([rng.normal(size=n) * 1e-9, rng.normal(size=n)], axis=1)
    across = np.array([[-1.0, 0.0], [1.0, 0.0]])
    normal = rng.normal(size=(n, 3))
    circle = rng.uniform(0, 2 * np.pi, n)
    ring = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    ring += 1e-6 * rng.normal(size=(n, 2))
    inside = 1e-3 * rng.normal(size=(20, 2))
    return {
        "a line on the bisector of 2 centers": (line, across),
        "a ring around 20 close centers": (ring, inside),
        "normal in 3-D, 1000 centers": (normal, initial_centers(normal, 1000)),
        "all samples equal": (np.ones((n, 2)), np.array([[0.0, 0], [3, 3], [1, 1]])),
    }


def measure_worst(n: int, n_iter: int = 5) -> list[dict]:
    found = []
    for name, (X, centers) in worst(n).items():
        for engine in ENGINES:
            fit(X[:5000], centers, 2, engine)
        times = {
            e: min(seconds(fit, X, centers, n_iter, e) for _ in range(2))
            for e in ENGINES
        }
        found.append({"data": name, "seconds": times})
    return found


def markdown(fits: list[dict], curve: list[dict], bad: list[dict], n: int) -> str:
    names = list(fits[0]["seconds"]) if fits else []
    lines = ["## Whole fits, milliseconds", ""]
    lines.append("| case | iterations | " + " | ".join(names) + " | compared |")
    lines.append("|---" * (len(names) + 3) + "|")
    for row in fits:
        own = row["seconds"]["fastkm"]
        cells = [
            f"{1e3 * row['seconds'][name]:.1f}"
            + ("" if name == "fastkm" else f" ({row['seconds'][name] / own:.1f}x)")
            for name in names
        ]
        share = f"{row['looked_at']:.2%}"
        lines.append(
            f"| {row['case']} | {row['n_iter']} | "
            + " | ".join(cells)
            + f" | {share} |"
        )
    lines += ["", "compared: share of the samples compared one by one per iteration."]
    if curve:
        sizes = [row["n"] for row in curve]
        slopes = {
            name: exponent(
                sizes, [row["seconds"][name] / row["n_iter"] for row in curve]
            )
            for name in ("fastkm", "scikit-learn")
        }
        looked = exponent(sizes, [row["looked_at"] for row in curve])
        lines += ["", "## Growth with N (2-D mixture, k=6)", ""]
        lines.append(
            "| N | iterations | fastkm ms | scikit-learn ms | nodes | compared |"
        )
        lines.append("|---" * 6 + "|")
        lines += [
            f"| {row['n']} | {row['n_iter']} | {1e3 * row['seconds']['fastkm']:.2f} | "
            f"{1e3 * row['seconds']['scikit-learn']:.2f} | {row['visited']:.0f} | "
            f"{row['looked_at']:.0f} |"
            for row in curve
        ]
        lines += [
            "",
            "Exponents of N over the larger half: time per iteration "
            f"{slopes['fastkm']:.2f} (scikit-learn {slopes['scikit-learn']:.2f}), "
            f"samples compared per iteration {looked:.2f}.",
        ]
    if bad:
        lines += ["", f"## Worst data: {n} samples, 5 iterations, milliseconds", ""]
        lines.append("| data | " + " | ".join(ENGINES) + " |")
        lines.append("|---" * (len(ENGINES) + 1) + "|")
        lines += [
            f"| {row['data']} | "
            + " | ".join(f"{1e3 * row['seconds'][e]:.1f}" for e in ENGINES)
            + " |"
            for row in bad
        ]
    return "\n".join(lines)


def picture(curve: list[dict], path: Path) -> None:
    """Time per fit and samples compared against N, log-log."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sizes = [row["n"] for row in curve]
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name in ("scikit-learn", "fastkm"):
        times = [row["seconds"][name] for row in curve]
        left.loglog(sizes, times, "o-", label=name)
    left.set(xlabel="samples", ylabel="seconds per fit")
    left.legend(frameon=False)
    right.loglog(sizes, sizes, color="gray", label="all samples")
    right.loglog(sizes, [row["looked_at"] for row in curve], "o-", label="compared")
    right.set(xlabel="samples", ylabel="per iteration")
    right.legend(frameon=False)
    plt.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(FITS))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-l", "--largest", type=int, default=2_500_000)
    parser.add_argument("-w", "--worst", type=int, default=500_000)
    parser.add_argument("-o", "--output", type=Path, default=Path("plane"))
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(FITS)
    if unknown:
        parser.error(f"unknown case {sorted(unknown)[0]}; there are {', '.join(FITS)}")
    runs = peers.installed()
    fits = []
    for name in arguments.cases or FITS:
        fits.append(measure_fit(name, arguments.rounds, runs))
        print(markdown(fits[-1:], [], [], 0), flush=True)
    curve = growth(runs, arguments.largest) if arguments.largest else []
    bad = measure_worst(arguments.worst) if arguments.worst else []
    versions = ", ".join(f"{peer} {peers.version(peer)}" for peer in runs)
    text = (
        f"{datetime.date.today()}, {platform.machine()}, {peers.N_THREADS} threads, "
        f"Python {platform.python_version()}; {versions}.\n\n"
        f"{markdown(fits, curve, bad, arguments.worst)}\n"
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "plane.md").write_text(text)
    results = {"fits": fits, "growth": curve, "worst": bad}
    (arguments.output / "plane.json").write_text(json.dumps(results, indent=1))
    if curve:
        picture(curve, arguments.output / "plane.png")
    print(f"\n{text}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
