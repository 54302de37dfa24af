"""The tile kernel against its limit: python benchmarks/tiles.py [-o FOLDER].

1. Share of the multiply-add peak (measured in the same run) over n_features and
   n_clusters, for float32 and float64 scores, packing and certification included.
2. The power of the error bound: samples that float32 and then float64 scores leave
   undecided, per case of `data.py` and for data made to defeat it.

Writes tiles.md and tiles.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, too

from benchmarks import data, limits, peers
from fastkm.engines import Lanes, Tiles
from fastkm.engines.lanes import NONE, block_rows
from fastkm.engines.tiles import UNDECIDED, score_margin
from fastkm.kernels import tiles

FEATURES = (4, 8, 16, 32, 64, 128, 512, 2048)
CLUSTERS = (8, 32, 128, 1024, 8192)
DTYPES = (np.float32, np.float64)
WORK = 1.2e10  # multiply-adds of one run


def scores_per_second(X: Any, centers: Any, dtype: Any) -> float:
    """Multiply-adds per second, times two, of one labelling by scores of a dtype."""
    engine = Tiles(X, None, peers.N_THREADS)
    labels = np.empty(len(X), np.int32)
    queue = np.empty(len(X), np.int64)
    best = np.inf
    for _ in range(4):
        start = time.perf_counter()
        packed, norms, reach = engine._pack_scores(centers, dtype)
        margin = score_margin(dtype, X.shape[1], reach)
        tiles.label_by_scores(
            peers.N_THREADS, engine.X, queue, NONE, engine.shift, packed, norms, margin,
            block_rows(X.shape[1]), labels,
        )  # fmt: skip
        best = min(best, time.perf_counter() - start)
    return 2.0 * X.size * len(centers) / best


def grid() -> dict[Any, np.ndarray]:
    """Share of the peak, (n_features, n_clusters) per dtype of scores."""
    shares = {}
    for dtype in DTYPES:
        peak = limits.flops(np.dtype(dtype).name, peers.N_THREADS)
        print(f"{np.dtype(dtype).name}: peak {peak / 1e9:.0f} GFLOP/s", flush=True)
        share = np.zeros((len(FEATURES), len(CLUSTERS)))
        for row, d in enumerate(FEATURES):
            for column, k in enumerate(CLUSTERS):
                n = int(np.clip(WORK / (d * k), 4096, 4e8 / (8 * d)))
                rng = np.random.default_rng(0)
                X = rng.standard_normal((n, d), dtype=dtype)
                centers = rng.normal(size=(k, d))
                share[row, column] = scores_per_second(X, centers, dtype) / peak
            cells = " ".join(f"{value:5.0%}" for value in share[row])
            print(f"  {d:5} features: {cells}", flush=True)
        shares[dtype] = share
    return shares


def hard_cases() -> dict[str, tuple[Any, Any]]:
    """Samples and centers that defeat the float32 bound, or every bound."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50_000, 64), dtype=np.float32)
    centers = X[:1000]
    return {
        "normal, offset 1e6": (X + np.float32(1e6), centers + np.float32(1e6)),
        "1000 centers, each twice": (X, np.repeat(centers[:500], 2, axis=0)),
        "all samples equal": (np.ones_like(X), centers),
        "all centers equal": (X, np.repeat(centers[:1], 1000, axis=0)),
        "one center 1e12 away": (
            X,
            np.concatenate([centers[:999], centers[:1] + 1e12]),
        ),
    }


def power(X: Any, centers: Any) -> tuple[float, float, float]:
    """Shares undecided by float32 and float64, and the time as lanes takes it."""
    engine, exact = Tiles(X, None, peers.N_THREADS), Lanes(X, None, peers.N_THREADS)
    labels = np.empty(len(X), np.int32)
    times = []
    for some in (engine, exact):
        some.find(centers.astype(np.float64), labels)
        start = time.perf_counter()
        some.find(centers.astype(np.float64), labels)
        times.append(time.perf_counter() - start)
    narrow, wide = (
        engine.counts[UNDECIDED[dtype]] / engine.counts["samples labelled"]
        for dtype in DTYPES
    )
    return narrow, wide, times[0] / times[1]


def power_table() -> str:
    lines = [
        "| data | needed float64 | needed exact distances | time / all exact |",
        "|---|---|---|---|",
    ]
    problems = dict(hard_cases())
    for name, case in data.CASES.items():
        if case.n_clusters > 2000:
            continue  # exact distances of all pairs would take minutes
        try:
            X = case.make()
        except NotImplementedError:
            continue
        problems[name] = (X, data.initial_centers(X, case.n_clusters))
    for name, (X, centers) in problems.items():
        narrow, wide, ratio = power(X, centers)
        lines.append(f"| {name} | {narrow:.3%} | {wide:.3%} | {ratio:.2f} |")
    return "\n".join(lines)


def grid_table(share: np.ndarray) -> str:
    lines = [
        "| features | " + " | ".join(f"k={k}" for k in CLUSTERS) + " |",
        "|---" * (len(CLUSTERS) + 1) + "|",
    ]
    for d, row in zip(FEATURES, share, strict=True):
        lines.append(f"| {d} | " + " | ".join(f"{value:.0%}" for value in row) + " |")
    return "\n".join(lines)


def picture(shares: dict[Any, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for ax, (dtype, share) in zip(axes, shares.items(), strict=True):
        image = ax.imshow(share, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for (row, column), value in np.ndenumerate(share):
            colour = "black" if value > 0.6 else "white"
            ax.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
        ax.set_xticks(range(len(CLUSTERS)), CLUSTERS)
        ax.set_yticks(range(len(FEATURES)), FEATURES)
        ax.set(xlabel="clusters", ylabel="features", title=f"{np.dtype(dtype)} scores")
    figure.colorbar(image, ax=axes, label="share of the multiply-add peak")
    plt.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("tiles"))
    output = parser.parse_args().output
    shares = grid()
    text = "\n\n".join(
        [f"{np.dtype(dtype)} scores\n\n{grid_table(s)}" for dtype, s in shares.items()]
        + [power_table()]
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "tiles.md").write_text(text + "\n")
    picture(shares, output / "tiles.png")
    print(f"\n{text}\n\nwritten to {output}")


if __name__ == "__main__":
    main()
