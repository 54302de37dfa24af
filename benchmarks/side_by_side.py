"""All peers on the same work, in turn: python benchmarks/side_by_side.py [CASE ...].

Times fits of 1 and of 1 + n_iter iterations from the same initial centers and reports
their difference per iteration: best and median of several rounds, in which the peers
take turns. Writes side_by_side.md, .json and .png into the folder given with -o.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, too

from benchmarks import limits, peers
from benchmarks.data import CASES, initial_centers


def seconds(run, X, centers, n_iter: int) -> float:
    start = time.perf_counter()
    run(X, centers, n_iter)
    return time.perf_counter() - start


def measure(name: str, n_rounds: int, runs: dict[str, peers.Run]) -> dict:
    """Milliseconds per iteration of every peer on one case."""
    case = CASES[name]
    X = case.make()
    centers = initial_centers(X, case.n_clusters)
    times: dict[str, list[float]] = {peer: [] for peer in runs}
    for run in runs.values():  # compile, start threads
        run(X[: 4 * len(centers)], centers, 1)
    for _ in range(n_rounds):
        for peer, run in runs.items():
            one = seconds(run, X, centers, 1)
            more = seconds(run, X, centers, 1 + case.n_iter)
            times[peer].append(1e3 * (more - one) / case.n_iter)
    n, d = X.shape
    limit = limits.iteration(n, d, case.n_clusters, str(X.dtype), peers.N_THREADS)
    return {
        "case": name,
        "shape": [n, d],
        "dtype": str(X.dtype),
        "n_clusters": case.n_clusters,
        "limit_ms": 1e3 * limit,
        "best_ms": {peer: min(values) for peer, values in times.items()},
        "median_ms": {p: statistics.median(values) for p, values in times.items()},
    }


def table(results: list[dict]) -> str:
    """Markdown: best milliseconds per iteration, and how many times fastkm's."""
    names = list(results[0]["best_ms"])
    lines = [
        "| case | " + " | ".join(names) + " | limit | share of it |",
        "|---" * (len(names) + 3) + "|",
    ]
    for result in results:
        best = result["best_ms"]
        n, d = result["shape"]
        cells = [
            f"{result['case']}: {n} x {d} {result['dtype']}, k={result['n_clusters']}"
        ]
        for name in names:
            ratio = best[name] / best["fastkm"]
            cells.append(
                f"{best[name]:.1f}" + ("" if name == "fastkm" else f" ({ratio:.1f}x)")
            )
        cells += [
            f"{result['limit_ms']:.1f}",
            f"{result['limit_ms'] / best['fastkm']:.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(results: list[dict], path: Path) -> None:
    """Bars: times fastkm's milliseconds, per case and peer."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(results[0]["best_ms"])
    _, ax = plt.subplots(figsize=(8, 1 + 0.9 * len(results)), layout="constrained")
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        at = [row + i * height for row in range(len(results))]
        ratios = [r["best_ms"][name] / r["best_ms"]["fastkm"] for r in results]
        bars = ax.barh(at, ratios, height, label=name)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    ax.set_yticks(
        [row + 0.4 - height / 2 for row in range(len(results))],
        [result["case"] for result in results],
    )
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="time per iteration, fastkm = 1")
    ax.legend(
        frameon=False, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, 1.15)
    )
    plt.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("side_by_side"))
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {sorted(unknown)[0]}; there are {', '.join(CASES)}")
    runs = peers.installed()
    results = []
    for name in arguments.cases or CASES:
        try:
            results.append(measure(name, arguments.rounds, runs))
        except NotImplementedError as reason:
            print(f"{name} left out: {reason}")
            continue
        print(table(results[-1:]), flush=True)
    if not results:
        return
    versions = ", ".join(f"{peer} {peers.version(peer)}" for peer in runs)
    text = (
        f"Best milliseconds per iteration of {arguments.rounds} rounds, "
        f"{datetime.date.today()}.\n{platform.machine()}, {peers.N_THREADS} threads, "
        f"Python {platform.python_version()}; {versions}.\n\n{table(results)}\n"
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "side_by_side.md").write_text(text)
    (arguments.output / "side_by_side.json").write_text(json.dumps(results, indent=1))
    picture(results, arguments.output / "side_by_side.png")
    print(f"\n{text}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
