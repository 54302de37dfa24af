"""All peers on the same work, in turn: python benchmarks/side_by_side.py [CASE ...].

Every case is clustered to convergence by fastkm, as the user calls it with tol=0, all
that is built for it and the final labels included: the best and the median of several
fits. Peers take turns with fits of 1 and of 1 + n_iter iterations from the same initial
centers; the difference is what an iteration costs, and from that follows what their
whole fit would cost, for all of their iterations cost them the same. Writes
side_by_side.md, .json and .png into the folder given with -o.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import comparison, data, limits, peers
from benchmarks.comparison import describe, digits, mark
from benchmarks.data import CASES, LONGEST, N_THREADS
from fastkm import KMeansResult, kmeans

COLOURS = {
    "fastkm": "#2f6db3",
    "scikit-learn": "#e08214",
    "oneDAL": "#7b3294",
    "faiss": "#1a9850",
    "superkmeans": "#999999",
}
INK = "#333333"


def measure(name: str, n_rounds: int, runs: dict[str, peers.Run]) -> dict[str, Any]:
    """Whole fits and single iterations of everyone on one case."""
    work = data.work(name)
    (n, d), k = work.X.shape, len(work.centers)

    def fit() -> KMeansResult:
        options = {"max_iter": LONGEST, "tol": 0, "n_threads": N_THREADS}
        return kmeans(work.X, k, init=work.centers, **options)

    result = fit()  # compiles its engine
    own = [data.elapsed(fit) for _ in range(n_rounds)]
    paces = peers.race(runs, work, n_rounds)
    seconds = {peer: pace.fit(result.n_iter) for peer, pace in paces.items()}
    seconds["fastkm"] = min(own)
    iteration = {peer: 1e3 * pace.best for peer, pace in paces.items()}
    limit = 1e3 * limits.iteration(n, d, k, str(work.X.dtype), N_THREADS)
    return {
        "case": name,
        "shape": [n, d],
        "dtype": str(work.X.dtype),
        "n_clusters": k,
        "n_iter": result.n_iter,
        "engine": result.report.engine,
        "counts": result.report.counts,
        "seconds": seconds,
        "median_seconds": statistics.median(own),
        "ratio": {peer: value / min(own) for peer, value in seconds.items()},
        "iteration_ms": iteration,
        "median_iteration_ms": {p: 1e3 * pace.median for p, pace in paces.items()},
        "limit_ms": limit,
        "share_of_limit": limit / iteration["fastkm"],
    }


def fits_table(results: list[dict[str, Any]]) -> str:
    """Markdown: seconds of whole fits, and times fastkm's."""
    names = list(results[0]["seconds"])
    lines = [
        "| case | iterations | engine | " + " | ".join(map(mark, names)) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for result in results:
        seconds, ratio = result["seconds"], result["ratio"]
        cells = [f"{seconds['fastkm']:.3g} / {result['median_seconds']:.3g} s"]
        cells += [
            f"{float(f'{seconds[name]:.3g}'):,g} s ({digits(ratio[name])}x)"
            for name in names
            if name != "fastkm"
        ]
        heads = [describe(result), str(result["n_iter"]), result["engine"]]
        lines.append("| " + " | ".join(heads + cells) + " |")
    return "\n".join(lines)


def is_known(result: dict[str, Any], name: str) -> bool:
    """Whether a difference of fits is more than their noise."""
    both = result["iteration_ms"][name], result["median_iteration_ms"][name]
    return min(both) > 0


def iterations_table(results: list[dict[str, Any]]) -> str:
    """Markdown: best / median milliseconds per iteration, and the machine's limit."""
    names = list(results[0]["iteration_ms"])
    heads = ["case", *map(mark, names), "limit", "share of it"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for result in results:
        best, median = result["iteration_ms"], result["median_iteration_ms"]
        cells = [result["case"]]
        cells += [
            f"{digits(best[name])} / {digits(median[name])}"
            if is_known(result, name)
            else "?"
            for name in names
        ]
        share = result["share_of_limit"]
        cells += [digits(result["limit_ms"])]
        cells += [f"{share:.0%}" if is_known(result, "fastkm") else "?"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(results: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """Markdown of everything."""
    notes = [
        f"{mark(name)}: {peers.PEERS[name].difference}."
        for name in results[0]["seconds"]
        if peers.PEERS[name].difference
    ]
    return "\n".join(
        [
            f"Whole fits from the same initial centers, best of {where['rounds']} (and "
            "the median of fastkm's), and times fastkm's best.",
            comparison.place(where),
            *notes,
            "",
            fits_table(results),
            "",
            "Milliseconds of one of the first iterations, best / median (?: the "
            "difference of fits was lost in the noise; what fastkm builds for a long "
            "fit and not for one iteration is in the difference):",
            "",
            iterations_table(results),
            "",
            "The limit is what the machine's multiply-adds in float32, or reading the "
            "samples, allow when every pair of sample and center is computed; over "
            "100 %, pairs were skipped.",
            "",
        ]
    )


def picture(results: list[dict[str, Any]], where: dict[str, Any], path: Path) -> None:
    """Draw a row for each case, with everyone's seconds on one logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(results[0]["seconds"])
    rows = range(len(results))
    figure, ax = plt.subplots(
        figsize=(9, 1.7 + 0.42 * len(results)), layout="constrained"
    )
    for row, result in zip(rows, results, strict=True):
        values = result["seconds"].values()
        ax.plot([min(values), max(values)], [row, row], color="#e4e7ea", zorder=1)
    for name in names:
        ax.scatter(
            [result["seconds"][name] for result in results],
            rows,
            s=90 if name == "fastkm" else 45,
            color=COLOURS[name],
            label=mark(name),
            zorder=3 if name == "fastkm" else 2,
        )
    ax.set_xscale("log")
    ax.set_yticks(rows, [describe(result) for result in results], fontsize=9)
    ax.invert_yaxis()
    ax.margins(y=0.6 / max(2, len(results)))
    ax.xaxis.set_major_formatter("{x:g} s")
    ax.grid(axis="x", color="#eef0f2")
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_title(
        "Seconds of a whole fit: the same iterations from the same centers\n"
        f"{where['processor']}, {where['threads']} threads;  ~ approximate",
        loc="left",
        fontsize=11,
        color=INK,
    )
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False)
    plt.savefig(path, dpi=130)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    given = comparison.arguments(__doc__, CASES, "side_by_side", argv)
    runs = peers.installed()
    results = list(
        comparison.gather(
            given.cases, lambda name: measure(name, given.rounds, runs), fits_table
        )
    )
    if results:
        where = comparison.circumstances(given.rounds, runs)
        text = page(results, where)
        comparison.write(given.output, "side_by_side", text, where, results)
        picture(results, where, given.output / "side_by_side.png")


if __name__ == "__main__":
    main()
