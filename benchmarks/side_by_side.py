"""All peers on the same work, in turn: python benchmarks/side_by_side.py [CASE ...].

Times fits of 1 and of 1 + n_iter iterations from the same initial centers, in rounds in
which the peers take turns, and reports the difference of the bests (of the medians) per
iteration. Writes side_by_side.md, .json and .png into the folder given with -o.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import comparison, data, limits, peers
from benchmarks.comparison import describe, digits, mark
from benchmarks.data import CASES, N_THREADS

ACCENT, GREY, INK = "#2f6db3", "#b9bec4", "#333333"


def measure(name: str, n_rounds: int, runs: dict[str, peers.Run]) -> dict[str, Any]:
    """Milliseconds per iteration of every peer on one case, and the machine's limit."""
    work = data.work(name)
    (n, d), k = work.X.shape, len(work.centers)
    paces = peers.race(runs, work, n_rounds)
    limit = limits.iteration(n, d, k, str(work.X.dtype), N_THREADS)
    best = {peer: 1e3 * pace.best for peer, pace in paces.items()}
    median = {peer: 1e3 * pace.median for peer, pace in paces.items()}
    return {
        "case": name,
        "shape": [n, d],
        "dtype": str(work.X.dtype),
        "n_clusters": k,
        "limit_ms": 1e3 * limit,
        "share_of_limit": 1e3 * limit / best["fastkm"],
        "best_ms": best,
        "median_ms": median,
        "ratio": {peer: value / best["fastkm"] for peer, value in best.items()},
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: best / median milliseconds per iteration, and best over fastkm's."""
    names = list(results[0]["best_ms"])
    heads = ["case", *map(mark, names), "limit", "share of it"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for result in results:
        cells = [describe(result)]
        for name in names:
            best, median = result["best_ms"][name], result["median_ms"][name]
            cell = f"{digits(best)} / {digits(median)}"
            if name != "fastkm":
                cell += f" ({result['ratio'][name]:.1f}x)"
            cells.append(cell)
        cells += [digits(result["limit_ms"]), f"{result['share_of_limit']:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(results: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """Markdown of everything."""
    notes = [
        f"- {mark(name)}: {peers.PEERS[name].difference}."
        for name in results[0]["best_ms"]
        if peers.PEERS[name].difference
    ]
    return "\n".join(
        [
            f"Milliseconds per Lloyd iteration, best / median of {where['rounds']} "
            "rounds, and the best in fastkm's.",
            comparison.place(where),
            "",
            table(results),
            "",
            "The limit is what the machine's multiply-adds in float32, or reading the "
            "samples, allow when every pair of sample and center is computed; over "
            "100 %, pairs were skipped.",
            *notes,
            "",
        ]
    )


def picture(results: list[dict[str, Any]], where: dict[str, Any], path: Path) -> None:
    """Draw a panel of bars for each case, milliseconds and times fastkm's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(results[0]["best_ms"])
    n_columns = min(2, len(results))
    n_rows = -(-len(results) // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(5.4 * n_columns, 0.8 + n_rows * (0.75 + 0.27 * len(names))),
        layout="constrained",
        squeeze=False,
    )
    for ax in axes.flat[len(results) :]:
        ax.remove()
    for ax, result in zip(axes.flat, results, strict=False):
        panel(ax, result, names)
    figure.suptitle(
        f"Milliseconds per iteration: shorter is better\n{where['processor']}",
        fontsize=10,
        color=INK,
    )
    figure.supxlabel(
        "dashed: limit of the machine when every pair of sample and center is "
        "computed;  ~ approximate",
        fontsize=8,
        color=INK,
    )
    plt.savefig(path, dpi=130)
    plt.close(figure)


def panel(ax: Any, result: dict[str, Any], names: list[str]) -> None:
    """Bars of one case."""
    best, ratio = result["best_ms"], result["ratio"]
    values = [best[name] for name in names]
    colors = [ACCENT if name == "fastkm" else GREY for name in names]
    bars = ax.barh(range(len(names)), values, 0.72, color=colors)
    labels = [
        f"{digits(best[name])} ms"
        + ("" if name == "fastkm" else f"   {ratio[name]:.1f}x")
        for name in names
    ]
    ax.bar_label(bars, labels, padding=4, fontsize=8, color=INK)
    ax.axvline(result["limit_ms"], color="#c2410c", linestyle="--", linewidth=1.2)
    ax.set_yticks(range(len(names)), map(mark, names), fontsize=9)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.3 * max(values))
    ax.set_title(describe(result), fontsize=9, loc="left", color=INK)
    ax.tick_params(axis="x", labelsize=7, colors="#777777")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    given = comparison.arguments(__doc__, CASES, "side_by_side", argv)
    runs = peers.installed()
    results = list(
        comparison.gather(
            given.cases, lambda name: measure(name, given.rounds, runs), table
        )
    )
    if results:
        where = comparison.circumstances(given.rounds, runs)
        text = page(results, where)
        comparison.write(given.output, "side_by_side", text, where, results)
        picture(results, where, given.output / "side_by_side.png")


if __name__ == "__main__":
    main()
