"""Few features: growth with N, and the worst data: python benchmarks/plane.py.

Whole fits of the study notebook's mixture in the plane over the range of N, with the
exponents of time and of the samples that are looked at; and data whose samples lie
along the boundaries, where Blocks gains least. Writes plane.md, .json and .png into the
folder given with -o.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import peers
from benchmarks.data import LONGEST, N_THREADS, Array, Work, elapsed, initial_centers
from fastkm import kmeans
from fastkm.datasets import make_blobs_and_tail

ENGINES = ("blocks", "lanes", "tiles")


def fit(X: Array, centers: Array, max_iter: int = LONGEST, engine: str = "auto") -> Any:
    options = {"max_iter": max_iter, "tol": 0, "n_threads": N_THREADS}
    return kmeans(X, len(centers), init=centers, engine=engine, **options)


def growth(largest: int) -> list[dict]:
    """Fits of the notebook's mixture, N over its whole range and beyond."""
    found = []
    for n in np.geomspace(300, largest, 12).astype(int):
        X = make_blobs_and_tail(int(n), random_state=0)
        centers = initial_centers(X, 6)
        fit(X, centers)
        times = {"fastkm": elapsed(partial(fit, X, centers))}
        result = fit(X, centers, engine="blocks")
        runs = {"scikit-learn": peers.find("scikit-learn")}
        (pace,) = peers.race(runs, Work(X, centers, 20), n_rounds=1).values()
        times["scikit-learn"] = pace.fit(result.n_iter)
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
            e: min(elapsed(partial(fit, X, centers, n_iter, e)) for _ in range(2))
            for e in ENGINES
        }
        found.append({"data": name, "seconds": times})
    return found


def markdown(curve: list[dict], bad: list[dict], n: int) -> str:
    sizes = [row["n"] for row in curve]
    slopes = {
        name: exponent(sizes, [row["seconds"][name] / row["n_iter"] for row in curve])
        for name in ("fastkm", "scikit-learn")
    }
    looked = exponent(sizes, [row["looked_at"] for row in curve])
    lines = ["## Growth with N (2-D mixture, k=6)", ""]
    lines.append("| N | iterations | fastkm ms | scikit-learn ms | nodes | compared |")
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
        "",
        f"## Worst data: {n} samples, 5 iterations, milliseconds",
        "",
        "| data | " + " | ".join(ENGINES) + " |",
        "|---" * (len(ENGINES) + 1) + "|",
    ]
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-l", "--largest", type=int, default=2_500_000)
    parser.add_argument("-w", "--worst", type=int, default=500_000)
    parser.add_argument("-o", "--output", type=Path, default=Path("plane"))
    arguments = parser.parse_args()
    curve, bad = growth(arguments.largest), measure_worst(arguments.worst)
    text = markdown(curve, bad, arguments.worst)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "plane.md").write_text(text + "\n")
    results = {"growth": curve, "worst": bad}
    (arguments.output / "plane.json").write_text(json.dumps(results, indent=1))
    picture(curve, arguments.output / "plane.png")
    print(f"{text}\n\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
